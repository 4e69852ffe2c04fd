"""Processes that read and write snapshots of indexes, over one store of rows and one of objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet import reactor as installed_reactor

from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.loading import Roots
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.jobs.snapshots import SnapshotWriter
from lightmail.metrics import REGISTRY
from lightmail.model import Account
from lightmail.notify.hints import Notifier
from lightmail.objects.backends import ObjectStore
from lightmail.store.snapshots import Pointer, standing_txn
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import Store

reactor: Any = installed_reactor


def lookups(result: str, cache: str = "snapshot", registry: CollectorRegistry = REGISTRY) -> int:
    """How many lookups of snapshots, or of what else is named so, ended so in this process."""
    labels = {"cache": cache, "result": result}
    return int(registry.get_sample_value("lightmail_cache_lookups_total", labels) or 0)


def facts(index: MailboxIndex) -> dict[str, Any]:
    """All that a session can see of an index, and what its further readings begin with."""
    named = (
        *("account", "mailbox", "epoch", "uidvalidity", "uidnext", "recent_uid", "highest_modseq"),
        *("keyword_version", "unseen", "octets"),
    )
    return {
        **{name: getattr(index, name) for name in named},
        "columns": [list(column) for column in index.columns.all],
        "keywords": [pair for pair in index.keywords.named if pair[1]],
        "first unseen": index.first_unseen(),
    }


@dataclass
class Process:
    """One process that serves the mailboxes of a store."""

    store: Store
    indexes: Indexes
    writer: SnapshotWriter

    def load(self, account: Account, name: str = "INBOX") -> MailboxIndex:
        """The index of a mailbox; it is not given back."""
        return run(self.indexes.acquire(account, self.store.mailbox(account, name)))

    def write(self, account: Account, name: str = "INBOX") -> bool:
        """Load a mailbox's index, write its snapshot, and give it back."""
        index = self.load(account, name)
        try:
            return run(self.writer.write(index))
        finally:
            call(self.indexes.release, index)


class Site:
    """What processes share: rows, objects, and threads."""

    def __init__(self, store: Store, objects: ObjectStore, pool: BoundedPool) -> None:
        self.store = store
        self.objects = objects
        self.pool = pool

    def process(
        self, *, snapshots: bool = True, octets: int = 1 << 24, messages: int = 1, chunks: bool = False
    ) -> Process:
        """A process that has loaded nothing yet."""
        roots = Roots(self.objects, self.pool, messages, reactor=reactor)
        reader = ChunkReader(self.objects, self.pool, reactor=reactor) if chunks else None
        indexes = Indexes(
            self.store.database, Notifier(reactor), octets, reactor=reactor, roots=roots if snapshots else None
        )
        writer = SnapshotWriter(self.store.tx, indexes, roots, self.objects, self.pool, reader)
        return Process(self.store, indexes, writer)

    def cold(self, account: Account, name: str = "INBOX") -> dict[str, Any]:
        """What a new process that may use snapshots finds in a mailbox."""
        return facts(self.process().load(account, name))

    def rows(self, account: Account, name: str = "INBOX") -> dict[str, Any]:
        """What a new process that reads rows alone finds."""
        return facts(self.process(snapshots=False).load(account, name))

    def pointer(self, account: Account, name: str = "INBOX") -> Pointer | None:
        """The row of a mailbox's snapshot."""
        mailbox = self.store.mailbox(account, name)
        standing = run(self.store.database.read("test", standing_txn, account.id, mailbox.id))
        assert standing is not None
        return standing.pointer

    def parts(self) -> set[str]:
        """The objects of all snapshots in the store."""
        return set(self.objects.keys("indexes", limit=1_000_000))


@contextmanager
def open_site(store: Store, objects: ObjectStore) -> Iterator[Site]:
    """A site with threads of its own."""
    pool = BoundedPool("snapshot-test", 4, 100, reactor=reactor)
    call(pool.start)
    try:
        yield Site(store, objects, pool)
    finally:
        run(pool.stop())
