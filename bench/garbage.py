"""What collecting costs: ``python -m bench garbage`` expunges messages and lets the collector take them away.

Rows are in SQLite or MariaDB, objects in a directory or on an S3 server, the collector in this process: its CPU time is
this process's. Batches are as configured by default; the pauses between them are left out.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bench import cpu
from lightmail.config import GarbageConfig, S3Config, StorageConfig
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.jobs.garbage.objects import ObjectSteps
from lightmail.jobs.garbage.orphans import OrphanStep
from lightmail.jobs.garbage.rows import RowSteps
from lightmail.jobs.garbage.step import HOUR_US, Moment, Step
from lightmail.model import StoredBlob
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.operations.append import NewMessage, append
from lightmail.operations.expunge import expunge
from lightmail.store import collection
from lightmail.threads import BoundedPool
from tests.support import mariadb, storekit
from tests.support.garbagekit import reactor
from tests.support.reactor import call, run
from tests.support.seaweedfs import SeaweedFS

_AT_ONCE = 200
_PASSES = 50
_HEADER = b"Subject: a message as long as headers are\r\n" * 20 + b"\r\n"


class Counted:
    """An object store that counts the calls to it."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.remote = inner.remote
        self.calls: Counter[str] = Counter()

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self.calls["put"] += 1
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


@dataclass
class Site:
    """The collector's surroundings: rows, objects, threads, and the processes whose CPU time counts as the servers'."""

    name: str
    store: storekit.Store
    objects: Counted
    pool: BoundedPool
    servers: list[int]

    def measure(self, what: str, messages: int, work: Callable[[], Awaitable[object]]) -> str:
        """The line of a table for `work` on so many messages."""
        trips = sum(self.store.database.round_trips.values())
        self.objects.calls.clear()
        servers, began, ours = cpu.seconds(self.servers), time.perf_counter(), time.process_time()

        async def awaited() -> None:
            await work()

        run(awaited(), timeout_seconds=3600)
        ours, wall = time.process_time() - ours, time.perf_counter() - began
        theirs = cpu.seconds(self.servers) - servers
        trips = sum(self.store.database.round_trips.values()) - trips
        calls = sum(self.objects.calls.values())
        micro = 1e6 / messages
        return (
            f"| {what} | {self.name} | {messages} | {ours * micro:.0f} | {theirs * micro:.0f} | {wall * micro:.0f}"
            f" | {trips * 1000 / messages:.1f} | {calls * 1000 / messages:.1f} |"
        )


def main(count: int) -> None:
    """Print a table: µs of CPU and of time, statements (round trips on MariaDB) and store calls for each step."""
    print("| step | stores | of | µs CPU | µs CPU, servers | µs | statements per 1,000 | store calls per 1,000 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in ("sqlite-directory", "mariadb-s3"):
        with contextlib.ExitStack() as stack:
            for line in _lines(open_site(name, stack), count):
                print(line, flush=True)


def open_site(name: str, stack: contextlib.ExitStack) -> Site:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lightmail-bench-")))
    database = name.partition("-")[0]
    store = stack.enter_context(storekit.open_store(stack.enter_context(storekit.fresh_config(database, home))))
    servers: list[int] = []
    s3 = None
    if database == "mariadb":
        (home / "s3").mkdir()
        seaweed = SeaweedFS(home / "s3")
        seaweed.start()
        stack.callback(seaweed.stop)
        s3 = S3Config(
            endpoint=seaweed.endpoint,
            bucket=seaweed.bucket,
            access_key=seaweed.access_key,
            secret_key=seaweed.secret_key,
        )
        weed = seaweed.process
        servers = [pid for pid in (weed.pid if weed else None, mariadb.server().pid) if pid is not None]
    driver = "directory" if s3 is None else "s3"
    objects = open_store(StorageConfig(driver=driver, path=str(home / "objects")), s3)
    objects.check()
    pool = BoundedPool("garbage", 4, 100, reactor=reactor)
    call(pool.start)
    stack.callback(lambda: run(pool.stop()))
    return Site(name, store, Counted(objects), pool, servers)


def _lines(site: Site, count: int) -> list[str]:
    account = site.store.account()
    mailbox = site.store.mailbox(account).id
    for start in range(0, count, _AT_ONCE):
        new = [NewMessage(_stored(site.objects), (), storekit.NOW_US) for _ in range(min(_AT_ONCE, count - start))]
        run(append(site.store.tx, account, mailbox, new))
    site.store.execute("UPDATE messages SET flags = 8 WHERE mailbox = %s", mailbox)
    config = GarbageConfig(undelete_days=0)
    now_us = run(site.store.database.read("clock", collection.clock_txn))
    rows, objects = RowSteps(site.store.tx), ObjectSteps(site.store.database, site.objects, site.pool)
    orphans = OrphanStep(site.store.database, site.objects, site.pool)
    collector = Collector(config, site.store.database, steps(site.store.tx, site.objects, site.pool), _allowed)

    def at(hours: int, *, everything: bool = False) -> Moment:
        return Moment.of(config, now_us + hours * HOUR_US, everything=everything)

    run(collector.once(now_us))
    return [
        site.measure("look at keys, all known", count, lambda: _all(orphans.look, at(25, everything=True))),
        site.measure("expunge, for comparison", count, lambda: expunge(site.store.tx, account, mailbox, None)),
        site.measure("purge rows, condemn objects", count, lambda: _all(rows.messages, at(1))),
        site.measure("delete objects and their rows", count, lambda: _all(objects.delete, at(26))),
        site.measure("passes with nothing to do", _PASSES, lambda: _passes(collector)),
    ]


async def _passes(collector: Collector) -> None:
    for _ in range(_PASSES):
        await collector.once()


async def _all(step: Step, moment: Moment) -> None:
    while (await step(moment)).worked:
        pass


async def _allowed() -> bool:
    return True


def _stored(objects: ObjectStore) -> StoredBlob:
    key = object_keys.new_key("zstd", time.time_ns() // 1000)
    objects.put(key, b"x" * 2000)
    return replace(storekit.blob(header=_HEADER), key=key, born_us=object_keys.born_us(key), stored_octets=2000)
