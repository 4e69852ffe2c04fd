"""APPEND (RFC 3501 section 6.3.11, APPENDUID of RFC 4315): the message streams into a spool, then into the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, Final

from lightmail import points
from lightmail.errors import Invalid, NoSuchDestination, TooBig
from lightmail.imap import deleted
from lightmail.imap.commands import AUTH, Command, Completion
from lightmail.imap.flags import settable
from lightmail.imap.tokens import Bad, Tokens
from lightmail.operations.append import NewMessage, announce, append

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer
    from lightmail.objects.spool import Spool


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how a message is to be kept; `internaldate_us` is None for now."""

    name: str
    flags: tuple[bytes, ...]
    internaldate_us: int | None


def _parse_target(tokens: Tokens) -> Target:
    """All up to the space before the message."""
    tokens.sp()
    name = tokens.mailbox()
    tokens.sp()
    flags: tuple[bytes, ...] = ()
    moment = None
    if tokens.peek() == b"(":
        flags = settable(tokens.flag_list())
        tokens.sp()
    if tokens.peek() == b'"':
        moment = tokens.date_time()
        tokens.sp()
    return Target(name, flags, moment)


def _parse(tokens: Tokens) -> tuple[Target, Spool]:
    target = _parse_target(tokens)
    message = tokens.literal()
    tokens.end()
    if isinstance(message, bytes):
        raise Bad("Expected a message")
    return target, message


async def _accept(session: ImapServer, tokens: Tokens, octets: int) -> Spool | None:
    """A spool for the message, if it may come; the mailbox's name may come as a literal before it."""
    if tokens.rest_is(b" "):
        return None
    target = _parse_target(tokens)
    tokens.end()
    if octets > session.services.limits.append_octets:
        raise TooBig
    await deleted.refuse(session.services, session.owner, target.name)
    mailbox = await announce(session.services.transactions, session.owner, target.name, octets)
    if not octets:
        raise Invalid("A message has at least one octet.")
    return session.services.spools.new(mailbox)


async def _append(session: ImapServer, args: tuple[Target, Spool]) -> Completion:
    target, spool = args
    points.reached("message-received")
    session.then(partial(points.reached, "reply-written"))
    services, owner = session.services, session.owner
    # The one that had the name when the message was announced. If it is gone since, that refuses the message.
    mailbox = spool.mailbox
    if mailbox is None:
        raise NoSuchDestination
    moment = target.internaldate_us if target.internaldate_us is not None else int(time() * 1_000_000)
    blob = await services.blobs.write(spool, internaldate_us=moment, owners=[(owner.uuid, mailbox)])
    appended = await append(services.transactions, owner, mailbox, [NewMessage(blob, target.flags, moment)])
    return Completion(code=b"APPENDUID %d %d" % (appended.uidvalidity, appended.uids[0]))


COMMANDS: Final[tuple[Command[Any], ...]] = (Command(b"APPEND", AUTH, _parse, _append, accept=_accept),)
