"""APPEND (RFC 3501 section 6.3.11, APPENDUID of RFC 4315): the message streams into a spool, then into the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail import points
from lightmail.errors import Invalid, NoSuchDestination, TooBig, VirusFound
from lightmail.imap import deleted
from lightmail.imap.commands import AUTH, Command, Completion
from lightmail.imap.flags import settable
from lightmail.imap.tokens import Bad, Tokens
from lightmail.operations import viruses
from lightmail.operations.append import announce, bring
from lightmail.operations.viruses import Carrier

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer
    from lightmail.model import MailboxId
    from lightmail.objects.spool import Spool
    from lightmail.operations.append import Appended

log = Logger()

# A message up to this size is taken in unasked where the one before it could be stored.
_UNASKED_OCTETS: Final = 256 << 10


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
    known = session.appended_to
    if known is not None and known[0] == target.name and 0 < octets <= _UNASKED_OCTETS:
        return session.services.spools.new()
    mailbox = await _ask(session, target.name, octets)
    if not octets:
        raise Invalid("A message has at least one octet.")
    return session.services.spools.new(mailbox)


async def _ask(session: ImapServer, name: str, octets: int) -> MailboxId:
    """The mailbox of that name, where a message of so many octets may come to it."""
    await deleted.refuse(session.services, session.owner, name)
    return await announce(session.services.transactions, session.owner, name, octets)


async def _append(session: ImapServer, args: tuple[Target, Spool]) -> Completion:
    target, spool = args
    points.reached("message-received")
    await _scan(session, spool)
    session.then(partial(points.reached, "reply-written"))
    known, session.appended_to = session.appended_to, None
    if spool.mailbox is not None:
        # The one that had the name when the message was announced. If it is gone since, that refuses the message.
        mailbox = spool.mailbox
        appended = await _store(session, target, spool, mailbox)
    else:
        mailbox, appended = await _store_unasked(session, target, spool, None if known is None else known[1])
    session.appended_to = target.name, mailbox
    return Completion(code=b"APPENDUID %d %d" % (appended.uidvalidity, appended.uids[0]))


async def _scan(session: ImapServer, spool: Spool) -> None:
    """Have the message looked at, where that is wanted. Raises VirusFound, Unavailable."""
    services, owner = session.services, session.owner
    verdict = await services.scanner.appended(spool)
    if verdict is None or verdict.virus is None:
        return
    virus = verdict.virus
    log.info(
        "refused from {account}: a virus was found in a message of {octets} octets: {signature}",
        account=owner.address,
        octets=spool.octets,
        signature=virus.signature,
    )
    await viruses.refused(services.transactions, Carrier("imap", "", spool.octets, virus), [(owner.id, owner.address)])
    raise VirusFound(f"A virus was found in the message: {virus.signature}.")


async def _store_unasked(
    session: ImapServer, target: Target, spool: Spool, mailbox: MailboxId | None
) -> tuple[MailboxId, Appended]:
    """Store it where the one before it went, if that mailbox has its name still; else in the one that has it now."""
    if mailbox is not None:
        try:
            return mailbox, await _store(session, target, spool, mailbox, target.name)
        except NoSuchDestination:
            pass
    mailbox = await _ask(session, target.name, spool.octets)
    return mailbox, await _store(session, target, spool, mailbox)


async def _store(
    session: ImapServer, target: Target, spool: Spool, mailbox: MailboxId, name: str | None = None
) -> Appended:
    services, owner = session.services, session.owner
    moment = target.internaldate_us if target.internaldate_us is not None else int(time() * 1_000_000)
    making = services.blobs.making(spool, internaldate_us=moment, owners=[(owner.uuid, mailbox)])
    return await bring(services.transactions, owner, mailbox, making, target.flags, moment, name)


COMMANDS: Final[tuple[Command[Any], ...]] = (Command(b"APPEND", AUTH, _parse, _append, accept=_accept),)
