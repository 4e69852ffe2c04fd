r"""LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9), with CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154).

Names that exist only as superiors of others are listed as ``\Noselect``. Special uses are in every LIST response, as
RFC 6154 has it for servers without extended LIST; its selection and return options are understood all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lightmail.errors import Invalid
from lightmail.imap import deleted, responses
from lightmail.imap.commands import AUTH, OK, Command, Completion
from lightmail.imap.patterns import NamePattern, read_pattern
from lightmail.imap.tokens import Bad, Tokens
from lightmail.model import HIERARCHY_DELIMITER, Mailbox
from lightmail.store import mailboxes as stored
from lightmail.turns import Turn

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

_DELIMITER: Final = b'"' + HIERARCHY_DELIMITER.encode("ascii") + b'"'
_PATTERN_OCTETS: Final = 2000
_NAMES_AT_ONCE: Final = 500

# LIST options by name. Selecting by special use narrows the list; what can be asked to be returned always is.
SELECTION_OPTIONS: Final = frozenset({b"SPECIAL-USE"})
RETURN_OPTIONS: Final = frozenset({b"SPECIAL-USE", b"CHILDREN"})


@dataclass(frozen=True, slots=True)
class Listing:
    """What LIST asks for. `pattern` is None where nothing can match, empty for the question of the delimiter."""

    pattern: str | None
    special_use_only: bool = False


def _parse_patterns(tokens: Tokens) -> str | None:
    reference = tokens.astring()
    tokens.sp()
    pattern = tokens.list_mailbox()
    if len(reference) + len(pattern) > _PATTERN_OCTETS:
        raise Invalid("The pattern is too long.")
    return read_pattern(reference, pattern) if pattern else ""


def _parse_list(tokens: Tokens) -> Listing:
    tokens.sp()
    selection: set[bytes] = set()
    if tokens.peek() == b"(":
        selection = _options(tokens, SELECTION_OPTIONS)
        tokens.sp()
    pattern = _parse_patterns(tokens)
    if tokens.skip(b" RETURN "):
        _options(tokens, RETURN_OPTIONS)
    tokens.end()
    return Listing(pattern, b"SPECIAL-USE" in selection)


def _options(tokens: Tokens, known: frozenset[bytes]) -> set[bytes]:
    options = set(tokens.list(tokens.word))
    if options - known:
        raise Bad("Unknown LIST option")
    return options


async def _list(session: ImapServer, listing: Listing) -> Completion:
    if listing.pattern == "":
        session.untagged(b"LIST", b"(\\Noselect)", _DELIMITER, b'""')
        return OK
    if listing.pattern is None:
        return OK
    account = session.owner
    mailboxes = await session.services.database.read("list", stored.list_txn, account.id)
    mailboxes += await deleted.listed(session.services, account, listing.pattern)
    existing = {mailbox.name: mailbox for mailbox in mailboxes}
    superiors = {superior for name in existing for superior in _superiors(name)}
    names = await _matching(session, existing.keys() | superiors, listing.pattern)
    uses = session.services.config.special_use_names
    await _send(session, b"LIST", _list_lines(names, existing, superiors, listing.special_use_only, uses))
    return OK


async def _matching(session: ImapServer, names: Iterable[str], pattern: str) -> list[str]:
    """Those of `names` that match, in their order; others are served meanwhile."""
    turn, wanted, found = Turn(session.services.database.reactor), NamePattern(pattern), []
    for name in sorted(names):
        if wanted.matches(name):
            found.append(name)
        await turn.offer()
    return found


def _list_lines(
    names: Iterable[str],
    existing: Mapping[str, Mailbox],
    superiors: Set[str],
    special_use_only: bool,
    uses: Mapping[str, str],
) -> Iterator[tuple[list[bytes], str]]:
    """(attributes, name) of each of `names` that is to be listed."""
    for name in names:
        mailbox = existing.get(name)
        use = (mailbox.special_use or uses.get(name)) if mailbox is not None else None
        if special_use_only and not use:
            continue
        attributes = [] if mailbox is not None else [b"\\Noselect"]
        attributes.append(b"\\HasChildren" if name in superiors else b"\\HasNoChildren")
        if use:
            attributes.append(use.encode("ascii"))
        yield attributes, name


def _parse_lsub(tokens: Tokens) -> str | None:
    tokens.sp()
    pattern = _parse_patterns(tokens)
    tokens.end()
    return pattern


async def _lsub(session: ImapServer, pattern: str | None) -> Completion:
    if pattern == "":
        session.untagged(b"LSUB", b"(\\Noselect)", _DELIMITER, b'""')
        return OK
    if pattern is None:
        return OK
    names = await session.services.database.read("lsub", stored.subscriptions_txn, session.owner.id)
    lines = await _lsub_lines(session, set(names), pattern)
    await _send(session, b"LSUB", lines)
    return OK


async def _lsub_lines(session: ImapServer, subscribed: Set[str], pattern: str) -> list[tuple[list[bytes], str]]:
    """Subscribed names that match, whether or not they exist; and where ``%`` stopped short of one, its superior."""
    shown: dict[str, list[bytes]] = {name: [] for name in await _matching(session, subscribed, pattern)}
    if pattern.endswith("%"):
        short = {superior for name in subscribed - shown.keys() for superior in _superiors(name)} - subscribed
        shown.update({name: [b"\\Noselect"] for name in await _matching(session, short, pattern)})
    return [(shown[name], name) for name in sorted(shown)]


def _superiors(name: str) -> Iterator[str]:
    """``a`` and ``a/b`` for ``a/b/c``."""
    end = name.find(HIERARCHY_DELIMITER)
    while end >= 0:
        yield name[:end]
        end = name.find(HIERARCHY_DELIMITER, end + 1)


async def _send(session: ImapServer, kind: bytes, lines: Iterable[tuple[list[bytes], str]]) -> None:
    chunk: list[bytes] = []
    for attributes, name in lines:
        chunk.append(b"* %b (%b) %b %b\r\n" % (kind, b" ".join(attributes), _DELIMITER, responses.mailbox(name)))
        if len(chunk) >= _NAMES_AT_ONCE:
            await session.write(b"".join(chunk))
            chunk.clear()
    if chunk:
        await session.write(b"".join(chunk))


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"LIST", AUTH, _parse_list, _list, capabilities=(b"CHILDREN", b"SPECIAL-USE")),
    Command(b"LSUB", AUTH, _parse_lsub, _lsub),
)
