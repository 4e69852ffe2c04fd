"""Making and naming mailboxes (RFC 3501 section 6.3): CREATE to UNSUBSCRIBE, STATUS, NAMESPACE (RFC 2342)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lightmail.errors import Invalid, LimitReached, MailError
from lightmail.imap import deleted, mutf7, responses
from lightmail.imap.commands import AUTH, OK, Command, Completion, no_arguments
from lightmail.imap.tokens import Bad, Tokens
from lightmail.model import HIERARCHY_DELIMITER
from lightmail.operations import mailboxes as operations
from lightmail.store import epochs
from lightmail.store import mailboxes as stored

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

# The special uses of RFC 6154 that a mailbox can be made for, by their name in lower case.
SPECIAL_USES: Final = {
    use.lower(): use.decode("ascii")
    for use in (b"\\Archive", b"\\Drafts", b"\\Junk", b"\\Sent", b"\\Trash", b"\\Flagged")
}

# STATUS items by name: the attribute of the store's answer.
STATUS_ITEMS: Final = {
    b"MESSAGES": "messages",
    b"RECENT": "recent",
    b"UIDNEXT": "uidnext",
    b"UIDVALIDITY": "uidvalidity",
    b"UNSEEN": "unseen",
}

# Those that need no look at the messages.
_COUNTERS: Final = frozenset({b"UIDNEXT", b"UIDVALIDITY"})


class UnsupportedUse(MailError):
    """CREATE for a special use that is not offered (RFC 6154 section 3)."""

    imap_code = b"USEATTR"
    text = "No mailbox can be made for that special use."


@dataclass(frozen=True, slots=True)
class Creation:
    """What CREATE asks for."""

    name: str
    special_use: str | None


def _one_name(tokens: Tokens) -> str:
    tokens.sp()
    name = tokens.mailbox()
    tokens.end()
    return name


def _parse_create(tokens: Tokens) -> Creation:
    tokens.sp()
    # A delimiter at the end says that inferior names will follow (RFC 3501 section 6.3.3): any mailbox may have them.
    name = tokens.mailbox().removesuffix(HIERARCHY_DELIMITER)
    uses: list[bytes] = []
    if tokens.skip(b" (USE "):
        uses = tokens.flag_list()
        tokens.expect(b")")
    tokens.end()
    if not uses:
        return Creation(name, None)
    if len(uses) > 1 or uses[0].lower() not in SPECIAL_USES:
        raise UnsupportedUse
    return Creation(name, SPECIAL_USES[uses[0].lower()])


def check_name(session: ImapServer, name: str) -> None:
    """Whether a mailbox may be called `name`; raises a MailError that says why not."""
    limits = session.services.limits
    levels = name.split(HIERARCHY_DELIMITER)
    if len(levels) > limits.mailbox_depth:
        raise LimitReached("The mailbox name has too many levels.")
    if len(mutf7.encode(name)) > limits.mailbox_name_octets or len(name.encode("utf-8")) > limits.mailbox_name_octets:
        raise LimitReached("The mailbox name is too long.")
    if not all(levels) or any(level in (".", "..") for level in levels):
        raise Invalid("The mailbox name has an empty or dotted level.")
    if any(character in "*%\x7f" or character < " " for character in name):
        raise Invalid("The mailbox name has wildcards or control characters.")


async def _create(session: ImapServer, creation: Creation) -> Completion:
    check_name(session, creation.name)
    await deleted.refuse(session.services, session.owner, creation.name)
    await operations.create(session.services.transactions, session.owner, creation.name, creation.special_use)
    return OK


async def _delete(session: ImapServer, name: str) -> Completion:
    await deleted.refuse(session.services, session.owner, name)
    await operations.delete(session.services.transactions, session.owner, name)
    if session.selected is not None and session.selected.mailbox.name == name:
        session.deselect()
    return OK


def _parse_rename(tokens: Tokens) -> tuple[str, str]:
    tokens.sp()
    old = tokens.mailbox()
    tokens.sp()
    new = tokens.mailbox().removesuffix(HIERARCHY_DELIMITER)
    tokens.end()
    return old, new


async def _rename(session: ImapServer, names: tuple[str, str]) -> Completion:
    old, new = names
    check_name(session, new)
    await deleted.refuse(session.services, session.owner, old, new)
    depth = session.services.limits.mailbox_depth
    await operations.rename(session.services.transactions, session.owner, old, new, depth)
    return OK


async def _subscribe(session: ImapServer, name: str) -> Completion:
    check_name(session, name)
    await operations.subscribe(session.services.transactions, session.owner, name)
    return OK


async def _unsubscribe(session: ImapServer, name: str) -> Completion:
    await operations.unsubscribe(session.services.transactions, session.owner, name)
    return OK


def _parse_status(tokens: Tokens) -> tuple[str, list[bytes]]:
    tokens.sp()
    name = tokens.mailbox()
    tokens.sp()
    items = tokens.list(tokens.word, empty=False)
    tokens.end()
    if any(item not in STATUS_ITEMS for item in items):
        raise Bad("Unknown STATUS item")
    return name, list(dict.fromkeys(items))


async def _status(session: ImapServer, args: tuple[str, list[bytes]]) -> Completion:
    name, items = args
    counts = not _COUNTERS.issuperset(items)
    database = session.services.database
    status = await epochs.read(database, "status", stored.status_txn, session.owner.id, name, counts)
    if status is None:
        status = await deleted.status(session.services, session.owner, name)
    values = [b"%b %d" % (item, getattr(status, STATUS_ITEMS[item])) for item in items]
    session.untagged(b"STATUS", responses.mailbox(name), responses.parenthesized(values))
    return OK


async def _namespace(session: ImapServer, args: None) -> Completion:
    session.untagged(b'NAMESPACE (("" "/")) NIL NIL')
    return OK


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"CREATE", AUTH, _parse_create, _create, capabilities=(b"CREATE-SPECIAL-USE",)),
    Command(b"DELETE", AUTH, _one_name, _delete),
    Command(b"RENAME", AUTH, _parse_rename, _rename),
    Command(b"SUBSCRIBE", AUTH, _one_name, _subscribe),
    Command(b"UNSUBSCRIBE", AUTH, _one_name, _unsubscribe),
    Command(b"STATUS", AUTH, _parse_status, _status),
    Command(b"NAMESPACE", AUTH, no_arguments, _namespace, capabilities=(b"NAMESPACE",)),
)
