"""The TRANSACTION state, and UPDATE at QUIT (RFC 1939 sections 5 and 6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.pop3.commands import AUTHORIZATION, TRANSACTION, Command, NoSuchMessage, number, refusal
from lightmail.pop3.transfer import Stuffer, Top

if TYPE_CHECKING:
    from lightmail.pop3.maildrop import Maildrop
    from lightmail.pop3.server import Pop3Server

log = Logger()

_HERE: Final = frozenset({TRANSACTION})
_ANYWHERE: Final = frozenset({AUTHORIZATION, TRANSACTION})
# Lines of a listing, and octets of a message, that are written before the client has to have read some.
_LINES: Final = 1000
_OCTETS: Final = 64 << 10


async def _stat(session: Pop3Server, arguments: list[bytes]) -> None:
    drop = session.drop
    session.send(b"+OK %d %d\r\n" % (drop.count, drop.octets))


async def _list(session: Pop3Server, arguments: list[bytes]) -> None:
    drop = session.drop
    if arguments:
        position = _position(drop, arguments[0])
        session.send(b"+OK %d %d\r\n" % (position + 1, drop.sizes[position]))
        return
    session.send(b"+OK %d messages (%d octets)\r\n" % (drop.count, drop.octets))
    await _listing(session, (b"%d %d\r\n" % (position + 1, drop.sizes[position]) for position in drop.positions()))


async def _uidl(session: Pop3Server, arguments: list[bytes]) -> None:
    drop = session.drop
    if arguments:
        position = _position(drop, arguments[0])
        session.send(b"+OK %d %b\r\n" % (position + 1, drop.getUidl(position)))
        return
    session.send(b"+OK\r\n")
    await _listing(session, (b"%d %b\r\n" % (position + 1, drop.getUidl(position)) for position in drop.positions()))


async def _retr(session: Pop3Server, arguments: list[bytes]) -> None:
    position = _position(session.drop, arguments[0])
    answer = b"+OK %d octets\r\n" % session.drop.sizes[position]
    whole = await session.drop.whole(position, _OCTETS)
    if whole is None:
        await _send_message(session, position, answer, None)
        return
    stuffer = Stuffer()
    session.send(b"".join((answer, stuffer.feed(whole), stuffer.end())))
    await session.drained()


async def _top(session: Pop3Server, arguments: list[bytes]) -> None:
    position = _position(session.drop, arguments[0])
    await _send_message(session, position, b"+OK\r\n", Top(number(arguments[1])))


async def _dele(session: Pop3Server, arguments: list[bytes]) -> None:
    position = _position(session.drop, arguments[0])
    session.drop.deleteMessage(position)
    session.send(b"+OK Marked, goes at QUIT\r\n")


async def _rset(session: Pop3Server, arguments: list[bytes]) -> None:
    session.drop.undeleteMessages()
    session.send(b"+OK %d messages (%d octets)\r\n" % (session.drop.count, session.drop.octets))


async def _noop(session: Pop3Server, arguments: list[bytes]) -> None:
    session.send(b"+OK\r\n")


async def _quit(session: Pop3Server, arguments: list[bytes]) -> None:
    answer = b"+OK Bye\r\n"
    if session.mbox is not None:
        try:
            await session.drop.update()
        except MailError as error:
            answer = refusal(error)
        except Exception as error:
            log.failure("pop3 session {session} failed to remove messages", session=session.id)
            answer = refusal(error)
        # The maildrop is free before the client hears so: it may come again at once.
        await session.leave()
    session.send(answer)
    session.close()


def _position(drop: Maildrop, argument: bytes) -> int:
    """The position (from 0) of a message by its number (from 1). NoSuchMessage when it is deleted or never was."""
    position = number(argument) - 1
    if not drop.has(position):
        raise NoSuchMessage
    return position


async def _listing(session: Pop3Server, lines: Iterable[bytes]) -> None:
    """Send the lines of a listing and its end, at the client's pace."""
    rest = iter(lines)
    while some := b"".join(islice(rest, _LINES)):
        session.send(some)
        await session.drained()
    session.send(b".\r\n")


async def _send_message(session: Pop3Server, position: int, answer: bytes, top: Top | None) -> None:
    """Send a message, or the top of it, at the client's pace.

    An error before the first octet is an answer; one behind it can only cut the connection: a message that ends early
    would be taken for whole.
    """
    stuffer = Stuffer()
    begun = False
    try:
        async with aclosing(_pieces(session.drop, position, top)) as pieces:
            async for piece in pieces:
                session.send(stuffer.feed(piece) if begun else answer + stuffer.feed(piece))
                begun = True
                await session.drained()
    except MailError:
        if not begun:
            raise
        log.warn("pop3 session {session}: a message could not be sent to its end", session=session.id)
        session.abort()
        return
    session.send(stuffer.end() if begun else answer + stuffer.end())


async def _pieces(drop: Maildrop, position: int, top: Top | None) -> AsyncGenerator[bytes, None]:
    """A message, or the top of it, in pieces that need not wait for each other."""
    async with aclosing(drop.chunks(position)) as chunks:
        async for chunk in chunks:
            for start in range(0, len(chunk), _OCTETS):
                piece = chunk[start : start + _OCTETS]
                yield piece if top is None else top.feed(piece)
                if top is not None and top.done:
                    return
    if top is not None:
        yield top.end()


COMMANDS: Final = (
    Command(b"STAT", _HERE, _stat),
    Command(b"LIST", _HERE, _list, 0, 1),
    Command(b"UIDL", _HERE, _uidl, 0, 1),
    Command(b"RETR", _HERE, _retr, 1, 1),
    Command(b"TOP", _HERE, _top, 2, 2),
    Command(b"DELE", _HERE, _dele, 1, 1),
    Command(b"RSET", _HERE, _rset),
    Command(b"NOOP", _HERE, _noop),
    Command(b"QUIT", _ANYWHERE, _quit),
)
