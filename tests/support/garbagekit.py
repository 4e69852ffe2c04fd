"""A store with a collector over it, and a clock that tests move: the law that nothing referred to is ever deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet import reactor as installed_reactor

from lightmail.config import GarbageConfig
from lightmail.jobs.garbage.collector import Collector, Pass, steps
from lightmail.model import Account, MailboxId, StoredBlob
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations.append import NewMessage, append
from lightmail.store import collection
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import NOW_US, Store, blob

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
_ENOUGH_PASSES = 500

reactor: Any = installed_reactor


@dataclass
class Yard:
    """Rows and objects under a collector; `shift_us` is how far the tests' time is ahead of the database's."""

    store: Store
    objects: ObjectStore
    pool: BoundedPool
    config: GarbageConfig = field(default_factory=lambda: GarbageConfig(batch_size=7))
    shift_us: int = 0
    frozen: bool = False

    @property
    def now_us(self) -> int:
        return run(self.store.database.read("clock", collection.clock_txn)) + self.shift_us

    def later(self, *, days: float = 0, hours: float = 0) -> None:
        """Let time pass."""
        self.shift_us += int(days * DAY_US + hours * HOUR_US)

    async def may_collect(self) -> bool:
        return not self.frozen

    def collector(self, objects: ObjectStore | None = None) -> Collector:
        """One more collector; `objects` may put trouble between it and the store."""
        made = steps(self.store.tx, objects or self.objects, self.pool)
        return Collector(self.config, self.store.database, made, self.may_collect)

    def collect(self, collector: Collector | None = None) -> Pass:
        """Do all that is to be done now; what all passes did together."""
        collector = collector or self.collector()
        total = Pass()
        for _ in range(_ENOUGH_PASSES):
            done = run(collector.once(self.now_us, everything=True))
            total.counts += done.counts
            total.octets += done.octets
            if not done.more:
                return total
        raise AssertionError("the collector finds no end")

    def put(self, text: bytes = b"octets") -> StoredBlob:
        """An object in the store, and what a transaction needs to refer to it."""
        key = object_keys.new_key("zstd", self.now_us - self.shift_us)
        self.objects.put(key, text)
        return replace(blob(len(text)), key=key, born_us=object_keys.born_us(key), stored_octets=len(text))

    def orphan(self, *, hours: float) -> str:
        """The key of an object that was put so long ago, and never got a row."""
        key = object_keys.new_key("zstd", int(self.now_us - hours * HOUR_US))
        self.objects.put(key, b"orphan")
        return key

    def add(self, account: Account, mailbox: MailboxId, flags: tuple[bytes, ...] = ()) -> str:
        """Append a message; its object's key."""
        stored = self.put()
        run(append(self.store.tx, account, mailbox, [NewMessage(stored, flags, NOW_US)]))
        return stored.key

    def keys(self) -> set[str]:
        """The objects in the store."""
        return set(self.objects.keys("emails", limit=1_000_000))

    def states(self) -> dict[str, int]:
        """The state of each object that has a row, by key."""
        return {bytes(key).decode(): state for key, state in self.store.rows("SELECT object_key, state FROM objects")}

    def referred(self) -> set[str]:
        """The objects that rows refer to, live ones and those that can be restored."""
        found = self.store.rows("SELECT DISTINCT o.object_key FROM messages m JOIN objects o ON o.id = m.object")
        return {bytes(row[0]).decode() for row in found}

    def check_law(self) -> None:
        """What a row refers to is LIVE, and there (P4). A condemned object has its note."""
        dangling = self.store.rows(
            "SELECT m.uid FROM messages m LEFT JOIN objects o ON o.id = m.object"
            " WHERE m.object IS NOT NULL AND (o.id IS NULL OR o.state <> 1)"
        )
        assert not dangling
        assert self.referred() <= self.keys()
        unnoted = self.store.rows(
            "SELECT o.id FROM objects o LEFT JOIN condemned c ON c.object = o.id"
            " WHERE o.state <> 1 AND c.object IS NULL"
        )
        assert not unnoted


_TABLES = (
    "messages",
    "objects",
    "renderings",
    "condemned",
    "job_progress",
    "keywords",
    "unused_keywords",
    "mailboxes",
    "accounts",
    "aliases",
    "snapshots",
    "snapshot_objects",
)


@contextmanager
def open_yard(store: Store, objects: ObjectStore, **settings: Any) -> Iterator[Yard]:
    """A yard with threads of its own, over a database that is emptied first."""
    for table in _TABLES:
        store.execute(f"DELETE FROM {table}")  # noqa: S608
    pool = BoundedPool("garbage-test", 4, 100, reactor=reactor)
    call(pool.start)
    try:
        yield Yard(store, objects, pool, GarbageConfig(**{"batch_size": 7, **settings}))
    finally:
        run(pool.stop())
