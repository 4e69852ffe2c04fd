"""The stores that jobs are measured on, and the tables: rows in SQLite with a directory, in MariaDB with an S3 server.

The job runs in this process: its CPU time is this process's, with the processes that it starts, without the servers.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench import cpu
from lightmail.config import S3Config, StorageConfig
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.stalls import StallMeter
from lightmail.threads import BoundedPool
from tests.support import mariadb, storekit
from tests.support.garbagekit import reactor
from tests.support.reactor import call, run
from tests.support.seaweedfs import SeaweedFS, running

SITES = ("sqlite-directory", "mariadb-s3")
_COLUMNS = (
    "stores",
    "step",
    "of",
    "µs CPU",
    "µs CPU, MariaDB",
    "µs CPU, S3",
    "µs",
    "statements",
    "store calls",
    "octets put",
    "stall ms",
)


class Counted:
    """An object store that counts the calls to it, and the octets it is given."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.remote = inner.remote
        self.calls: Counter[str] = Counter()
        self.octets = 0

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self.calls["put"] += 1
        self.octets += len(body) if isinstance(body, bytes) else _left(body)
        self.inner.put(key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        self.calls["read"] += 1
        return self.inner.read(key, start, stop)

    def size(self, key: str) -> int | None:
        self.calls["size"] += 1
        return self.inner.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        self.calls["delete"] += 1
        self.inner.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        self.calls["keys"] += 1
        return self.inner.keys(prefix, after, limit)

    def check(self) -> None:
        self.inner.check()


def _left(body: BinaryIO) -> int:
    start = body.tell()
    end = body.seek(0, io.SEEK_END)
    body.seek(start)
    return end - start


@dataclass(frozen=True)
class Cost:
    """What a step took altogether, over `count` messages, mailboxes or whatever `unit` names; CPU and time in seconds.

    `statements` are round trips on MariaDB. `theirs` is the servers' CPU: empty where there are none. What processes of
    the step's own ask of the store is not in `calls`. `stall` is the longest that the reactor was busy, in seconds.
    """

    site: str
    step: str
    count: int
    unit: str
    ours: float
    theirs: dict[str, float]
    seconds: float
    statements: int
    calls: int
    octets: int
    stall: float

    def line(self) -> str:
        """The row of a table: everything for one of `count`."""
        theirs = [f"{self.theirs[name] * 1e6 / self.count:,.0f}" if name in self.theirs else "" for name in _SERVERS]
        figures = [f"{self.ours * 1e6 / self.count:,.0f}", *theirs, f"{self.seconds * 1e6 / self.count:,.0f}"]
        counted = [_brief(number / self.count) for number in (self.statements, self.calls, self.octets)]
        counted.append(f"{self.stall * 1000:.0f}")
        return f"| {' | '.join([self.site, self.step, f'{self.count:,} {self.unit}', *figures, *counted])} |"


_SERVERS = ("mariadb", "s3")


def _brief(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == 0 else f"{number:.3g}" if number >= 0.001 else "<0.001"


@dataclass
class Site:
    """What a job works with: rows, objects, threads; `servers` are the processes of the servers, by name."""

    name: str
    home: Path
    store: storekit.Store
    objects: Counted
    storage: StorageConfig
    s3: S3Config | None
    pool: BoundedPool
    servers: dict[str, int]

    def measure(self, step: str, count: int, unit: str, work: Callable[[], Awaitable[object]]) -> Cost:
        """What `work` on so many takes."""
        self.objects.calls.clear()
        self.objects.octets = 0
        statements = self._statements()
        theirs, ours, began = self._theirs(), self._ours(), time.perf_counter()

        async def awaited() -> None:
            await work()

        stalls: list[float] = []
        meter = StallMeter(reactor, observe=stalls.append)
        call(meter.startService)
        try:
            run(awaited(), timeout_seconds=3600)
        finally:
            call(meter.stopService)
        seconds, ours = time.perf_counter() - began, self._ours() - ours
        theirs = {name: after - theirs[name] for name, after in self._theirs().items()}
        return Cost(
            self.name,
            step,
            count,
            unit,
            ours,
            theirs,
            seconds,
            self._statements() - statements,
            sum(self.objects.calls.values()),
            self.objects.octets,
            max(stalls, default=0.0),
        )

    def _statements(self) -> int:
        return sum(self.store.database.round_trips.values())

    def _theirs(self) -> dict[str, float]:
        return {name: cpu.seconds([pid]) for name, pid in self.servers.items()}

    def _ours(self) -> float:
        """This process's CPU seconds, and those of the processes it started, unless they are the servers."""
        me, times = os.getpid(), os.times()
        others = cpu.tree([me]) - cpu.tree(self.servers.values()) - {me}
        return time.process_time() + times.children_user + times.children_system + cpu.seconds(others)


Costs = Callable[[Site, int], Iterator[Cost]]


def table(costs: Costs, count: int) -> None:
    """Print what `costs` gives on each kind of stores."""
    where = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    print(f"{where}, load {os.getloadavg()[0]:.1f}; each figure is for one of what stands under `of`\n")
    print(f"| {' | '.join(_COLUMNS)} |\n| --- | --- |{' --: |' * (len(_COLUMNS) - 2)}")
    for name in SITES:
        with contextlib.ExitStack() as stack:
            s3 = stack.enter_context(running()) if name == "mariadb-s3" else None
            for cost in costs(open_site(name, stack, s3), count):
                print(cost.line(), flush=True)


def open_site(name: str, stack: contextlib.ExitStack, s3: SeaweedFS | None) -> Site:
    """Empty stores of that kind, gone when `stack` is closed; objects are in a directory where no server is given."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lightmail-bench-")))
    store = open_rows(name, home, stack)
    config, servers = None, {}
    if s3 is not None:
        config = S3Config(
            endpoint=s3.endpoint,
            bucket=s3.bucket,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
            prefix=f"bench-{os.urandom(4).hex()}",
        )
        pids = {"mariadb": mariadb.server().pid, "s3": s3.process.pid if s3.process is not None else None}
        servers = {server: pid for server, pid in pids.items() if pid is not None}
    storage = StorageConfig(driver="directory" if s3 is None else "s3", path=str(home / "objects"))
    objects = open_store(storage, config)
    objects.check()
    pool = BoundedPool("bench", 4, 100, reactor=reactor)
    call(pool.start)
    stack.callback(lambda: run(pool.stop()))
    return Site(name, home, store, Counted(objects), storage, config, pool, servers)


def open_rows(name: str, home: Path, stack: contextlib.ExitStack) -> storekit.Store:
    """An empty database of the kind that the site of that name has."""
    config = stack.enter_context(storekit.fresh_config(name.partition("-")[0], home))
    return stack.enter_context(storekit.open_store(config))
