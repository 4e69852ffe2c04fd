"""What clients do first: log in, SELECT, and list the mailbox, warm and with a server that has just started."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from bench.measuring import exists, fresh, login, made, measured
from bench.messages import kind, message_id
from bench.model import Row, Settings, Target
from bench.wire import Imap, WrongAnswer, fetch_items

_FIELDS = b"DATE FROM TO CC SUBJECT MESSAGE-ID REFERENCES IN-REPLY-TO"
_FLAGS = re.compile(rb"\* \d+ FETCH \((?:UID \d+ FLAGS \([^)]*\)|FLAGS \([^)]*\) UID \d+)\)\r\n")
_VIEWS = {
    "FETCH 1:* (UID FLAGS)": b"FETCH 1:* (UID FLAGS)",
    "FETCH header fields": b"UID FETCH 1:* (RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (%s)])" % _FIELDS,
    "FETCH ENVELOPE": b"UID FETCH 1:* (ENVELOPE)",
    "FETCH ENVELOPE BODYSTRUCTURE": b"UID FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE)",
}
_TIMES = {"FETCH 1:* (UID FLAGS)": 10}
_HUGE = "bench-huge"
_SESSIONS = 50


async def logins(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Connect, LOGIN, SELECT, LOGOUT with credentials the server has seen before."""

    async def cycle() -> None:
        session = await login(target, mailbox=None)
        answer = await session.command(b"SELECT INBOX")
        if exists(answer) != settings.count or b"UIDVALIDITY" not in answer:
            raise WrongAnswer(f"SELECT gave {answer[-300:]!r}")
        await session.logout()

    async def cycles() -> None:
        for _ in range(settings.cycles):
            await cycle()

    await cycle()
    yield await measured("login, SELECT, logout", target, settings.cycles, cycles)


async def select(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """The first SELECT of sessions that are logged in already, of a mailbox that another session has open."""
    warm = await login(target)
    sessions = [await login(target, mailbox=None) for _ in range(min(_SESSIONS, settings.cycles))]
    answers: list[bytes] = []

    async def each() -> None:
        for session in sessions:
            answers.append(await session.command(b"SELECT INBOX"))

    row = await measured("SELECT", target, len(sessions), each)
    if any(exists(answer) != settings.count or b"UIDVALIDITY" not in answer for answer in answers):
        raise WrongAnswer(f"SELECT gave {answers[-1][-300:]!r}")
    for session in (warm, *sessions):
        await session.logout()
    yield row


async def listing(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """The list views of mail clients over the whole mailbox: the first of each session, after others have had them."""
    for name, command in _VIEWS.items():
        sessions = [await login(target) for _ in range(_TIMES.get(name, 3) + 1)]
        await sessions[0].command(command)
        yield await _view(target, sessions[1:], name, settings)
        for session in sessions:
            await session.logout()


async def cold(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """The first list views after a restart of the mail server; the kernel's page cache stays as it is."""
    if target.restart is None:
        return
    for names in (("FETCH 1:* (UID FLAGS)", "FETCH header fields"), ("FETCH ENVELOPE BODYSTRUCTURE",)):
        await fresh(target)
        session = await login(target, mailbox=None)
        opened = await _open(target, session, "INBOX", settings.count)
        if names[0] == "FETCH 1:* (UID FLAGS)":
            yield opened
        for name in names:
            yield await _view(target, [session], name, settings, after=", cold")
        await session.logout()


async def huge(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """SELECT and FETCH FLAGS of a mailbox of very many messages, after a restart."""
    if target.restart is None:
        return
    await _grow(target, settings)
    await fresh(target)
    session = await login(target, mailbox=None)
    answers: list[bytes] = []

    async def open_and_list() -> None:
        answers.append(await session.command(b"SELECT " + _HUGE.encode()))
        answers.append(await session.command(b"FETCH 1:* (UID FLAGS)"))

    row = await measured(f"SELECT and FETCH FLAGS of {settings.huge}, cold", target, 1, open_and_list)
    if exists(answers[0]) != settings.huge or len(_FLAGS.findall(answers[1])) != settings.huge:
        raise WrongAnswer(f"{target.name}: the huge mailbox was not listed whole")
    await session.logout()
    yield row


async def _grow(target: Target, settings: Settings) -> None:
    """Fill the huge mailbox with copies of INBOX; nothing to do where they are there."""
    session = await login(target, mailbox=None)
    await made(session, _HUGE)
    missing = settings.huge - exists(await session.command(b"EXAMINE " + _HUGE.encode()))
    await session.command(b"EXAMINE INBOX")
    while missing > 0:
        piece = min(missing, settings.count, 2_000)
        await session.command(b"COPY 1:%d %s" % (piece, _HUGE.encode()))
        missing -= piece
    # Who has it in memory as it is now writes its snapshot.
    await session.command(b"EXAMINE " + _HUGE.encode())
    await session.logout()


async def _open(target: Target, session: Imap, mailbox: str, count: int) -> Row:
    answers: list[bytes] = []

    async def open_it() -> None:
        answers.append(await session.command(b"SELECT " + mailbox.encode()))

    row = await measured("SELECT, cold", target, 1, open_it)
    if exists(answers[0]) != count:
        raise WrongAnswer(f"{target.name}: {mailbox} has {exists(answers[0])} messages, wanted {count}")
    return row


async def _view(target: Target, sessions: list[Imap], name: str, settings: Settings, *, after: str = "") -> Row:
    answers: list[bytes] = []

    async def view() -> None:
        for session in sessions:
            answers.append(await session.command(_VIEWS[name]))
            del answers[:-1]

    row = await measured(name + after, target, settings.count * len(sessions), view)
    _check(name, answers[0], settings)
    return row


def _check(name: str, answer: bytes, settings: Settings) -> None:
    if name == "FETCH 1:* (UID FLAGS)":
        found = len(_FLAGS.findall(answer))
    else:
        found = 0
        for number, (text, literals) in enumerate(fetch_items(answer)):
            whole = text + b"".join(literals)
            right = message_id(settings.seed, number).encode() in whole
            if "BODYSTRUCTURE" in name:
                right = right and b'"%s"' % kind(number).encode() in whole.lower()
            found += right
    if found != settings.count:
        raise WrongAnswer(f"{name}: {found} right answers of {settings.count}")
