"""SEARCH over the whole mailbox; every answer is compared with what is true of the generator's mail."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from bench.measuring import login, measured
from bench.messages import NEEDLE, Facts, facts, has_needle
from bench.model import Row, Settings, Target
from bench.wire import WrongAnswer

# So often is each asked in one measurement after the first time, unless it reads every message.
_TIMES = 5
_LARGER = 100_000
_SEEN_EVERY = 3


@dataclass(frozen=True)
class _Question:
    name: str
    key: bytes
    holds: Callable[[int, Facts], bool]
    times: int = _TIMES


def _questions(settings: Settings) -> list[_Question]:
    middle = facts(settings.seed, settings.count // 2)
    since = middle.date.date()
    sender, word = middle.sender, middle.subject.split()[0]
    return [
        _Question("SEARCH UNSEEN", b"UNSEEN", lambda number, _: number % _SEEN_EVERY != 0),
        _Question(
            "SEARCH SENTSINCE",
            b"SENTSINCE " + f"{since.day}-{since:%b-%Y}".encode(),
            lambda _, mail: mail.date.date() >= since,
        ),
        _Question(
            "SEARCH FROM SUBJECT",
            f'FROM "{sender}" SUBJECT "{word}"'.encode(),
            lambda _, mail: mail.sender == sender and word in mail.subject,
        ),
        _Question("SEARCH LARGER", b"LARGER %d" % _LARGER, lambda _, mail: mail.octets > _LARGER),
        _Question("SEARCH BODY", f'BODY "{NEEDLE}"'.encode(), lambda number, _: has_needle(number), times=0),
    ]


async def search(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """By flag, by date, by sender and subject, by size, by what texts say. An operation is one search.

    The first of each in a round comes after a restart, when the server was also measured cold.
    """
    session = await login(target)
    await session.command(b"STORE 1:* -FLAGS.SILENT (\\Seen)")
    seen = ",".join(str(number + 1) for number in range(0, settings.count, _SEEN_EVERY))
    await session.command(b"STORE %s +FLAGS.SILENT (\\Seen)" % seen.encode())
    truth = [facts(settings.seed, number) for number in range(settings.count)]
    for question in _questions(settings):
        answers: list[bytes] = []

        async def ask(times: int, question: _Question = question, answers: list[bytes] = answers) -> None:
            for _ in range(times):
                answers.append(await session.command(b"SEARCH " + question.key))

        rows = [await measured(f"{question.name}, first", target, 1, partial(ask, 1))]
        if question.times:
            rows.append(await measured(question.name, target, question.times, partial(ask, question.times)))
        wanted = [number + 1 for number, mail in enumerate(truth) if question.holds(number, mail)]
        for answer in answers:
            found = [int(each) for line in re.findall(rb"\* SEARCH([ \d]*)", answer) for each in line.split()]
            if sorted(found) != wanted:
                raise WrongAnswer(f"{question.name} found {len(found)} messages, wanted {len(wanted)}")
        for row in rows:
            yield row
    await session.command(b"STORE 1:* -FLAGS.SILENT (\\Seen)")
    await session.logout()
