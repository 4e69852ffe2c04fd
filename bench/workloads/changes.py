"""Changes to messages that are there: flags of all and of one, COPY, MOVE and EXPUNGE of many."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from bench.measuring import anew, exists, fresh_seeds, gone, login, measured
from bench.messages import message_id
from bench.model import Row, Settings, Target
from bench.wire import Imap, WrongAnswer, fetch_items

_UNTAGGED = re.compile(rb"^\* \d+ FETCH \([^\r]*FLAGS \(([^)]*)\)", re.MULTILINE)
# So often is each done in one measurement: CPU is read in steps of 10 ms.
_TIMES = 5


async def store(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """STORE over the whole mailbox, and of one message with each command; the flags are looked at afterwards."""
    session = await login(target)
    await session.command(b"STORE 1:* -FLAGS.SILENT (\\Flagged)")
    answers: list[bytes] = []

    async def all_of_them() -> None:
        for _ in range(_TIMES):
            for sign in (b"+", b"-"):
                answers.append(await session.command(b"STORE 1:* %sFLAGS (\\Flagged)" % sign))

    row = await measured("STORE of all", target, settings.count * _TIMES * 2, all_of_them)
    for number, answer in enumerate(answers):
        flagged = [b"\\Flagged" in flags for flags in _UNTAGGED.findall(answer)]
        if flagged != [number % 2 == 0] * settings.count:
            raise WrongAnswer(f"STORE of all told of {len(flagged)} messages, wanted {settings.count}")
    await _flagged(session, 0)
    yield row

    singles = min(settings.cycles, settings.count)
    answers.clear()

    async def one_by_one() -> None:
        for number in range(singles):
            answers.append(await session.command(b"STORE %d +FLAGS (\\Flagged)" % (number + 1)))

    row = await measured("STORE of one", target, singles, one_by_one)
    if any(b"\\Flagged" not in answer for answer in answers):
        raise WrongAnswer("a STORE of one message did not tell its flags")
    await _flagged(session, singles)
    await session.command(b"STORE 1:* -FLAGS.SILENT (\\Flagged)")
    await session.logout()
    yield row


async def _flagged(session: Imap, wanted: int) -> None:
    answer = await session.command(b"SEARCH FLAGGED")
    found = re.search(rb"\* SEARCH([ \d]*)", answer)
    count = len(found.group(1).split()) if found else 0
    if count != wanted:
        raise WrongAnswer(f"{count} messages are flagged, wanted {wanted}")


async def copies(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """COPY from INBOX to other mailboxes, MOVE from these to others, EXPUNGE there; each mailbox is looked at."""
    total = min(settings.changes, settings.count)
    mark = next(fresh_seeds)
    first = [f"bench-{mark}-{k}" for k in range(_TIMES)]
    second = [f"bench-{mark}-{k}-moved" for k in range(_TIMES)]
    session = await login(target)
    await anew(session, first + second)

    async def copy() -> None:
        for name in first:
            await session.command(b"COPY 1:%d %s" % (total, name.encode()))

    row = await measured(f"COPY of {total}", target, total * _TIMES, copy)
    for name in first:
        await _holds(target, settings, name, total)
    yield row

    sources = [await login(target, mailbox=name) for name in first]

    async def move() -> None:
        for source, name in zip(sources, second, strict=True):
            await source.command(b"MOVE 1:* " + name.encode())

    row = await measured(f"MOVE of {total}", target, total * _TIMES, move)
    for source, name in zip(sources, second, strict=True):
        await source.logout()
        await _holds(target, settings, name, total)
    for name in first:
        await _holds(target, settings, name, 0)
    yield row

    yield await _expunge(target, settings, second, total)
    await gone(session, first + second)
    await session.logout()


async def _expunge(target: Target, settings: Settings, names: list[str], total: int) -> Row:
    sessions = [await login(target, mailbox=name) for name in names]
    for session in sessions:
        await session.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
    answers: list[bytes] = []

    async def expunge() -> None:
        for session in sessions:
            answers.append(await session.command(b"EXPUNGE"))

    row = await measured(f"EXPUNGE of {total}", target, total * _TIMES, expunge)
    if any(answer.count(b" EXPUNGE\r\n") != total for answer in answers):
        raise WrongAnswer("EXPUNGE did not tell of every message")
    for session, name in zip(sessions, names, strict=True):
        await session.logout()
        await _holds(target, settings, name, 0)
    return row


async def _holds(target: Target, settings: Settings, mailbox: str, total: int) -> None:
    """The mailbox has the first `total` messages of the seed, in their order."""
    session = await login(target, mailbox=None)
    found = exists(await session.command(b"SELECT " + mailbox.encode()))
    ids = []
    if found:
        answer = await session.command(b"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        ids = [literals[0] for _text, literals in fetch_items(answer)]
    right = [message_id(settings.seed, k).encode() in each for k, each in enumerate(ids)]
    if found != total or right != [True] * total:
        raise WrongAnswer(f"{target.name}: {mailbox} has {sum(right)} right of {found} messages, wanted {total}")
    await session.logout()
