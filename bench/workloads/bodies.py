"""Messages over IMAP and POP3: whole, in one set, pipelined and one command each; and in pieces. Every octet counts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bench.measuring import WINDOW, empty, fresh_seeds, login, measured
from bench.messages import message
from bench.model import Row, Settings, Target
from bench.wire import Pop3, WrongAnswer, fetch_items

_SET = 2_000
_SINGLY = 500
_PIECE = 64 << 10
_LARGE = 8 << 20


async def bodies(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """FETCH BODY.PEEK[]."""
    session = await login(target)
    total = min(_SET, settings.count)
    got: list[bytes] = []

    async def in_a_set() -> None:
        got.append(await session.command(b"FETCH 1:%d (BODY.PEEK[])" % total))

    async def pipelined() -> None:
        got.extend(await session.pipeline([_one(number) for number in range(total)], WINDOW))

    async def one_by_one() -> None:
        for number in range(min(_SINGLY, total)):
            got.append(await session.command(_one(number)))

    ways = (
        ("FETCH BODY[] of a set", total, in_a_set),
        ("FETCH BODY[] pipelined", total, pipelined),
        ("FETCH BODY[] one by one", min(_SINGLY, total), one_by_one),
    )
    for name, wanted, work in ways:
        got.clear()
        row = await measured(name, target, wanted, work)
        _check(settings, [literals[0] for answer in got for _text, literals in fetch_items(answer)], wanted)
        yield row
    await session.logout()


def _one(number: int) -> bytes:
    return b"FETCH %d (BODY.PEEK[])" % (number + 1)


def _check(settings: Settings, found: list[bytes], wanted: int) -> None:
    if len(found) != wanted:
        raise WrongAnswer(f"{len(found)} bodies came, wanted {wanted}")
    for number, body in enumerate(found):
        # POP3 servers may end the last line of a message that does not.
        if body.rstrip(b"\r\n") != message(settings.seed, number).rstrip(b"\r\n"):
            raise WrongAnswer(f"message {number} differs from what was appended")


async def ranges(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """A message too large for a phone, in pieces: FETCH BODY.PEEK[]<n.65536>, one after the other."""
    user = target.scratch[0]
    await empty(target, user)
    octets = min(_LARGE, settings.large)
    body = message(next(fresh_seeds), 1, octets)
    session = await login(target, user, None)
    await session.append("INBOX", body)
    await session.command(b"SELECT INBOX")
    starts = range(0, len(body), _PIECE)
    got: list[bytes] = []

    async def in_pieces() -> None:
        for start in starts:
            got.append(await session.command(b"FETCH 1 (BODY.PEEK[]<%d.%d>)" % (start, _PIECE)))

    row = await measured(f"FETCH 64 KiB pieces of {octets >> 20} MiB", target, len(starts), in_pieces)
    if b"".join(fetch_items(answer)[0][1][0] for answer in got) != body:
        raise WrongAnswer(f"{target.name}: the pieces of a message are not the message")
    await session.logout()
    await empty(target, user)
    yield row


async def pop3(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """A POP3 client that reads the first messages, waiting for each and pipelined (RFC 2449)."""
    total = min(_SINGLY, settings.count)
    for name, window in (("POP3 RETR one by one", 1), ("POP3 RETR pipelined", WINDOW)):
        session = await Pop3.login(target.pop3, target.login_name(target.user), target.password)
        got: list[bytes] = []

        async def read(session: Pop3 = session, window: int = window, got: list[bytes] = got) -> None:
            got.extend(await session.retrieve_all(total, window))

        row = await measured(name, target, total, read)
        _check(settings, got, total)
        await session.quit()
        yield row
