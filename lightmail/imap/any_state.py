"""Commands of any state (RFC 3501 section 6.1): CAPABILITY, NOOP, LOGOUT, ID (RFC 2971), ENABLE (5161), STARTTLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail import __version__
from lightmail.imap.commands import ANY, AUTH, OK, UNAUTH, Command, Completion, no_arguments
from lightmail.imap.responses import parenthesized, string
from lightmail.imap.sync import poll
from lightmail.imap.tokens import Bad, Tokens

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

log = Logger()

# RFC 2971 section 3.3: no more than 30 pairs, values of at most 1,024 octets.
_ID_FIELDS: Final = 30
_ID_VALUE_OCTETS: Final = 1024
# What is kept of a client's name and version, to be shown in lists of sessions.
_CLIENT_LETTERS: Final = 100

# What ENABLE can turn on (RFC 5161). An extension that changes responses adds its name here.
ENABLEABLE: Final[frozenset[bytes]] = frozenset()


async def _capability(session: ImapServer, args: None) -> Completion:
    session.untagged(b"CAPABILITY", *session.listCapabilities())
    return OK


async def _noop(session: ImapServer, args: None) -> Completion:
    await poll(session)
    return OK  # the queue tells what has changed before every tagged response


async def _logout(session: ImapServer, args: None) -> Completion:
    session.deselect()
    session.untagged(b"BYE Logging out")
    session.then(session.close)
    return OK


def _parse_id(tokens: Tokens) -> dict[bytes, bytes | None]:
    tokens.sp()
    fields: dict[bytes, bytes | None] = {}
    if tokens.peek() != b"(":
        tokens.expect(b"NIL")
        tokens.end()
        return fields

    def pair() -> None:
        name = tokens.string()
        tokens.sp()
        value = tokens.nstring()
        if len(fields) >= _ID_FIELDS or len(value or b"") > _ID_VALUE_OCTETS:
            raise Bad("Too much to identify with")
        fields[name.lower()] = value

    tokens.list(pair)
    tokens.end()
    return fields


async def _id(session: ImapServer, fields: dict[bytes, bytes | None]) -> Completion:
    if fields:
        client = {
            name.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace") for name, value in fields.items()
        }
        session.client = f"{client.get('name', '')} {client.get('version', '')}".strip()[:_CLIENT_LETTERS]
        log.debug("session {session} is {client}", session=session.id, client=client)
    ours = (b"name", b"LightMail", b"version", __version__.encode("ascii"))
    session.untagged(b"ID", parenthesized(map(string, ours)))
    return OK


def _parse_enable(tokens: Tokens) -> list[bytes]:
    names = []
    tokens.sp()
    names.append(tokens.word())
    while tokens.skip(b" ") and not tokens.at_end:
        names.append(tokens.word())
    tokens.end()
    return names


async def _enable(session: ImapServer, names: list[bytes]) -> Completion:
    new = [name for name in dict.fromkeys(names) if name in ENABLEABLE and name not in session.enabled]
    session.enabled |= frozenset(new)
    session.untagged(b"ENABLED", *new)
    return OK


def _can_start_tls(session: ImapServer) -> bool:
    return session.services.tls is not None and not session.secure and session.state == "unauth"


async def _starttls(session: ImapServer, args: None) -> Completion:
    if not _can_start_tls(session):
        raise Bad("TLS is active already" if session.secure else "TLS is not available")
    session.then(session.start_tls)
    return Completion(text=b"Begin TLS negotiation now")


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"CAPABILITY", ANY, no_arguments, _capability),
    Command(b"NOOP", ANY, no_arguments, _noop),
    Command(b"LOGOUT", ANY, no_arguments, _logout, barrier=True),
    Command(b"ID", ANY, _parse_id, _id, capabilities=(b"ID",)),
    Command(b"ENABLE", AUTH, _parse_enable, _enable, capabilities=(b"ENABLE",)),
    Command(
        b"STARTTLS",
        UNAUTH,
        no_arguments,
        _starttls,
        capabilities=(b"STARTTLS",),
        offered=_can_start_tls,
        barrier=True,
    ),
)
