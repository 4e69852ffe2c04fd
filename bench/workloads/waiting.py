"""Clients that wait in IDLE: what they cost in memory, and how soon they hear of a message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from statistics import median

from bench import cpu
from bench.measuring import WINDOW, empty, fresh_seeds, login, measured, settled, share
from bench.messages import message
from bench.model import Row, Settings, Target
from bench.wire import Imap, Lmtp, stuff

_AT_MOST = 10
# Clients of a crowd that come at the same time.
_AT_ONCE = 20
# Further apart than any server gathers changes before it tells them.
_APART_SECONDS = 0.1


async def _idling(target: Target, user: str, mailbox: str = "INBOX") -> Imap:
    session = await login(target, user, mailbox)
    session.connection.send(b"i IDLE\r\n")
    await session.connection.until(b"+ ")
    return session


async def idle(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Memory of a connection that has selected INBOX and waits in IDLE, plain."""
    pids = [pid for group in target.pids.values() for pid in group]
    warm = await login(target)
    before = cpu.resident_kib(pids)
    users = target.scratch
    sessions: list[Imap] = []
    started = time.perf_counter()
    for k in range(settings.idle):
        sessions.append(await _idling(target, users[k % len(users)]))
    await asyncio.sleep(1)
    grown = cpu.resident_kib(pids) - before
    wall = time.perf_counter() - started
    for session in sessions:
        session.connection.close()
    await warm.logout()
    yield Row("idle connection", target.name, settings.idle, wall, {}, also={"KiB": grown / settings.idle})


async def crowd(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """What very many connections take in one process, each in IDLE on a mailbox of its own. LightMail only: a server
    that has a process for each would fill the machine."""
    if target.metrics is None:
        return
    places = [f"bench-crowd-{number}" for number in range(-(-settings.crowd // len(target.scratch)))]
    await asyncio.gather(*(_make(target, user, places) for user in target.scratch))
    main = target.pids[""][0]
    before = cpu.own_resident_kib(main)
    sessions: list[Imap] = []

    async def come(_worker: int, numbers: list[int]) -> None:
        for number in numbers:
            place, user = divmod(number, len(target.scratch))
            sessions.append(await _idling(target, target.scratch[user], places[place]))

    started = time.perf_counter()
    await share(_AT_ONCE, settings.crowd, come)
    wall = time.perf_counter() - started
    await asyncio.sleep(1)
    held = cpu.own_resident_kib(main)
    for session in sessions:
        session.connection.close()
    also = {"MB": held * 1024 / 1e6, "KiB each": (held - before) / settings.crowd}
    yield Row(f"{settings.crowd} idle sessions", target.name, settings.crowd, wall, {}, also=also)
    await settled(target)  # it notices that all of them are gone


async def _make(target: Target, user: str, mailboxes: list[str]) -> None:
    """Make these mailboxes, as far as they are not there from a run before."""
    session = await login(target, user, None)
    there = await session.command(b'LIST "" *')
    missing = [name.encode() for name in mailboxes if f"{name}\r\n".encode() not in there.replace(b'"', b"")]
    await session.pipeline([b"CREATE " + name for name in missing], WINDOW)
    await session.logout()


async def latency(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """How long after the 250 of a delivery a client in IDLE reads EXISTS: the median of some deliveries."""
    user = target.scratch[0]
    await empty(target, user)
    total = min(_AT_MOST, settings.deliveries)
    mail = [stuff(message(next(fresh_seeds), k, settings.octets)) for k in range(total)]
    session, postman = await _idling(target, user), await Lmtp.open(target.lmtp)
    waited: list[float] = []

    async def told(number: int) -> float:
        await session.connection.until(b"* %d EXISTS" % number)
        return time.perf_counter()

    async def one(number: int) -> None:
        hearing = asyncio.create_task(told(number))
        try:
            await postman.deliver([target.address(user)], mail[number - 1])
            committed = time.perf_counter()
            waited.append(max(0.0, await hearing - committed))
        finally:
            hearing.cancel()
        await asyncio.sleep(_APART_SECONDS)

    async def deliveries() -> None:
        for number in range(1, total + 1):
            await one(number)

    row = await measured("EXISTS to an idle client", target, total, deliveries)
    await postman.quit()
    session.connection.close()
    await empty(target, user)
    yield replace(row, also={"ms": median(waited) * 1000})
