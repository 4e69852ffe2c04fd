"""What every workload needs: the measurement itself, sessions of the target's users, empty mailboxes, fresh mail."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import re
import time
from collections.abc import Awaitable, Callable

from bench import cpu, snapshots, stages, stalls, trips
from bench.model import Row, Target
from bench.wire import Imap, WrongAnswer

# A server may take the same octets from the same sender for a redelivery and keep one copy: every row has its own mail.
fresh_seeds = itertools.count(1_000)

# Commands in flight of a client that pipelines.
WINDOW = 32

_SETTLE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_QUIET_CPU_SECONDS = 0.001


async def measured(name: str, target: Target, operations: int, work: Callable[[], Awaitable[object]]) -> Row:
    """Run `work` and give the row of it. It is awaited once, and whatever it raises is raised here."""
    page = await asyncio.to_thread(_page, target)
    before = {role: cpu.seconds(pids) for role, pids in target.pids.items()}
    started = time.perf_counter()
    await work()
    wall = time.perf_counter() - started
    # A server may answer before it has tidied up; that work belongs to the row too.
    await asyncio.sleep(target.tidy_seconds)
    spent = {role: cpu.seconds(pids) - before[role] for role, pids in target.pids.items()}
    after = await asyncio.to_thread(_page, target)
    return Row(
        name,
        target.name,
        operations,
        wall,
        spent,
        stall=stalls.longest_ms(stalls.buckets(page), stalls.buckets(after)),
        stages=stages.milliseconds(stages.totals(page), stages.totals(after)),
        trips=(trips.total(after) - trips.total(page)) / operations if after else None,
    )


def _page(target: Target) -> str:
    """The target's page of metrics, "" where it has none."""
    if target.metrics is None:
        return ""
    connection = http.client.HTTPConnection(*target.metrics, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def share(connections: int, total: int, worker: Callable[[int, list[int]], Awaitable[None]]) -> None:
    """Run `connections` workers over the numbers below `total`, dealt out in turn."""
    await asyncio.gather(*(worker(k, list(range(k, total, connections))) for k in range(connections)))


async def login(target: Target, user: str | None = None, mailbox: str | None = "INBOX") -> Imap:
    """A session of the target's own user, or of `user`, in a mailbox (None: in none)."""
    session = await Imap.login(target.imap, target.login_name(user or target.user), target.password)
    if mailbox is not None:
        await session.command(b"SELECT " + mailbox.encode())
    return session


async def fresh(target: Target) -> None:
    """Restart the mail server and have it see the credentials once: what follows finds nothing else in its memory.

    Before that it is given time to write the snapshots of what it has in memory.
    """
    assert target.restart is not None
    await _snapshots(target)
    target.pids[""] = await asyncio.to_thread(target.restart)
    session = await login(target, mailbox=None)
    await session.logout()
    await settled(target)  # its helpers start still when it serves already


async def _snapshots(target: Target) -> None:
    """Wait until nothing is left to be written. Raises WrongAnswer where that takes too long."""
    deadline = time.monotonic() + target.snapshot_seconds
    while waiting := snapshots.due(await asyncio.to_thread(_page, target)):
        if time.monotonic() > deadline:
            raise WrongAnswer(f"{target.name}: {waiting} snapshots are not written yet")
        await asyncio.sleep(_LOOK_SECONDS)


async def settled(target: Target) -> None:
    """Wait, for some seconds at most, until the mail server has nothing more to do."""
    before, spent = -1.0, cpu.seconds(target.pids[""])
    deadline = time.monotonic() + _SETTLE_SECONDS
    while spent - before > _QUIET_CPU_SECONDS and time.monotonic() < deadline:
        await asyncio.sleep(target.tidy_seconds)
        before, spent = spent, cpu.seconds(target.pids[""])


def exists(answer: bytes) -> int:
    """How many messages an answer to SELECT or EXAMINE tells of."""
    found = re.search(rb"\* (\d+) EXISTS", answer)
    if found is None:
        raise WrongAnswer(f"no EXISTS in {answer[-300:]!r}")
    return int(found.group(1))


async def empty(target: Target, user: str) -> None:
    """Expunge all of INBOX."""
    session = await login(target, user, None)
    if exists(await session.command(b"SELECT INBOX")):
        await session.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        await session.command(b"EXPUNGE")
    await session.logout()


async def made(session: Imap, mailbox: str) -> None:
    """Make a mailbox, where it is not there yet."""
    if mailbox.encode() not in await session.command(b'LIST "" ' + mailbox.encode()):
        await session.command(b"CREATE " + mailbox.encode())


async def anew(session: Imap, mailboxes: list[str]) -> None:
    """Make mailboxes that are empty, whatever was left of them."""
    await gone(session, mailboxes)
    for name in mailboxes:
        await session.command(b"CREATE " + name.encode())


async def gone(session: Imap, mailboxes: list[str]) -> None:
    """Delete those of the mailboxes that are there."""
    for name in mailboxes:
        if name.encode() in await session.command(b'LIST "" ' + name.encode()):
            await session.command(b"DELETE " + name.encode())
