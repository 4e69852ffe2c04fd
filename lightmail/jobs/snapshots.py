"""Writes snapshots of indexes, in the background: for the process that will next have to load them cold.

An index is due once it has no snapshot and holds messages enough for one, or once so much has changed that bringing its
snapshot level would take a good part of what it saves. It is written when it has been left alone from one look to the
next; one that never is, after `_PATIENCE` looks. One at a time, and nobody waits for it: what goes wrong is tried
again some time later, or never.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.chunk_writer import OBJECTS_AT_ONCE, ChunkWriter, lack_lists
from lightmail.index.chunks import ChunkRef
from lightmail.index.loading import Roots
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.index.sent import sent_days
from lightmail.index.snapshot import Packed, Root, pack
from lightmail.metrics import SNAPSHOT_OCTETS, SNAPSHOTS, SNAPSHOTS_DUE
from lightmail.model import MailboxId
from lightmail.objects import keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations import snapshots as operations
from lightmail.operations.transactions import Transactions
from lightmail.rounds import Rounds
from lightmail.store import epochs
from lightmail.store.snapshots import Pointer, Standing, standing_txn
from lightmail.threads import BoundedPool

log = Logger()

# Fewer changes than these are read as fast as anything can be read; and of a large mailbox a tenth.
_CHANGES: Final = 200
_SHARE: Final = 10
# In looks: how long to wait for a quiet moment, and before the next one after a snapshot was written, or could not be.
_PATIENCE: Final = 12
_REST: Final = 12
# In one look, so that a server with many mailboxes is never busy with this alone.
_AT_ONCE: Final = 20
_DEADLINE_SECONDS: Final = 120.0


class SnapshotWriter:
    """Writes the snapshots of `indexes` whenever `once` is called. Methods belong to the reactor's thread.

    `clock` tells this machine's time, Unix seconds.
    """

    def __init__(
        self,
        tx: Transactions,
        indexes: Indexes,
        roots: Roots,
        store: ObjectStore,
        pool: BoundedPool,
        reader: ChunkReader | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tx = tx
        self._indexes = indexes
        self._roots = roots
        self._store = store
        self._pool = pool
        self._chunks = None if reader is None else ChunkWriter(tx.database, store, pool, reader, self._chunk_key)
        self._clock = clock
        self._looks = 0
        # Those that are due: since which look, and their MODSEQ at the last one.
        self._waiting: dict[MailboxId, tuple[int, int]] = {}
        # Those whose snapshot lacks chunks, because what wrote them was interrupted.
        self._unfinished: set[MailboxId] = set()
        self._resting: dict[MailboxId, int] = {}

    async def once(self) -> int:
        """Write the snapshots of the indexes that are due and have been left alone since the last call; how many.

        Raises Unavailable when the database or the object store does not answer.
        """
        written = 0
        for index in self._ripe():
            self._resting[index.mailbox] = self._looks + _REST
            written += await self.write(index)
        return written

    def due(self) -> int:
        """How many indexes of this process wait for their snapshot to be written."""
        return sum(map(self._is_due, self._indexes.settled()))

    def _chunk_key(self) -> str:
        return keys.new_index_key(keys.CHUNK, self._now_us())

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)

    def _ripe(self) -> list[MailboxIndex]:
        self._looks += 1
        now = self._looks
        self._resting = {mailbox: until for mailbox, until in self._resting.items() if until > now}
        self._unfinished.intersection_update([index.mailbox for index in self._indexes.settled()])
        waiting: dict[MailboxId, tuple[int, int]] = {}
        ripe: list[tuple[int, MailboxIndex]] = []
        for index in self._indexes.settled():
            if index.mailbox in self._resting or not self._is_due(index):
                continue
            since, modseq = self._waiting.get(index.mailbox, (now, -1))
            waiting[index.mailbox] = (since, index.highest_modseq)
            if modseq == index.highest_modseq or now - since >= _PATIENCE:
                ripe.append((since, index))
        self._waiting = waiting
        ripe.sort(key=_since)
        return [index for _, index in ripe[:_AT_ONCE]]

    def _is_due(self, index: MailboxIndex) -> bool:
        if index.snapshot is None:
            return len(index) >= self._roots.messages
        if index.drift >= max(_CHANGES, len(index) // _SHARE):
            return True
        if index.mailbox in self._unfinished:
            return True
        return self._chunks is not None and lack_lists(index.chunk_refs, index.lists)

    async def write(self, index: MailboxIndex) -> bool:
        """Write a snapshot of an index as it is now, whether it is due or not; False where none is needed after all.

        Raises Unavailable.
        """
        standing = await epochs.read(self._tx.database, "snapshot", standing_txn, index.account, index.mailbox)
        if standing is None or standing.epoch != index.epoch:
            return False
        if await self._adopt(index, standing) and not self._is_due(index):
            return False
        return await self._replace(index, standing)

    async def _adopt(self, index: MailboxIndex, standing: Standing) -> bool:
        """Take note of a snapshot that another process has written; whether there was one that serves."""
        pointer = standing.pointer
        if pointer is None or pointer.key == index.snapshot:
            return False
        index.snapshot, index.chunk_refs = None, ()
        root = await self._roots.read(pointer)
        # Ids of an older epoch may name other objects by now.
        if root is None or root.epoch != index.epoch:
            return False
        index.chunk_refs = root.chunks
        if not standing.serves(pointer):
            return False
        drift = await self._pool.run(_newer, index.columns.modseqs[:], pointer.modseq)
        index.snapshot, index.drift = pointer.key, drift
        return True

    async def _replace(self, index: MailboxIndex, standing: Standing) -> bool:
        """Write a root, and again after every so many new chunks: those of a large mailbox take their time."""
        replaced = standing.pointer.key if standing.pointer is not None else None
        if self._chunks is None or (index.snapshot is None and len(index) > OBJECTS_AT_ONCE):
            if not await self._point(index, standing.account, replaced, index.chunk_refs, self._now_us()):
                return False
            replaced = index.snapshot
        if self._chunks is None:
            return True
        self._unfinished.add(index.mailbox)
        for _ in range(len(index) // OBJECTS_AT_ONCE + 1):
            began_us = self._now_us()
            chunks, whole = await self._chunks.renewed(index.columns.objects[:], index.chunk_refs, index.lists)
            if not await self._point(index, standing.account, replaced, chunks, began_us):
                return False
            replaced = index.snapshot
            if whole:
                break
        self._unfinished.discard(index.mailbox)
        return True

    async def _point(
        self, index: MailboxIndex, account: bytes, replaced: str | None, chunks: tuple[ChunkRef, ...], born_us: int
    ) -> bool:
        """Write a root with these chunks, and have the mailbox's row point to it; False where it may not.

        `born_us` is when the first of its new objects may have been made.
        """
        # Who loads the root searches by date at once, where reading the days would cost 5 µs a message.
        await sent_days(self._tx.database, index.columns, len(index))
        root, drift = index.root(account, chunks), index.drift
        key = keys.new_index_key(keys.ROOT, self._now_us())
        packed = await self._pool.run(_put, self._store, key, root)
        SNAPSHOT_OCTETS.inc(len(packed.data))
        pointer = Pointer(
            key, len(packed.data), packed.sha256, root.epoch, root.uidvalidity, root.modseq, len(root.columns)
        )
        swapped = await operations.swap(
            self._tx, index.account, index.mailbox, replaced, pointer, _parts(root), born_us
        )
        SNAPSHOTS.labels("written" if swapped else "refused").inc()
        if not swapped:
            return False
        index.snapshot, index.chunk_refs, index.drift = key, chunks, index.drift - drift
        log.debug(
            "wrote a snapshot of mailbox {mailbox}: {messages} messages, {octets} octets",
            mailbox=index.mailbox,
            messages=pointer.messages,
            octets=pointer.octets,
        )
        return True


def snapshots_service(writer: SnapshotWriter, interval_seconds: float, *, reactor: Any) -> Rounds:
    """The service that looks every so often for snapshots to write."""
    SNAPSHOTS_DUE.set_function(writer.due)
    return Rounds(
        writer.once,
        reactor=reactor,
        interval_seconds=interval_seconds,
        deadline_seconds=_DEADLINE_SECONDS,
        trouble="snapshots of indexes cannot be written",
        recovery="snapshots of indexes are written again",
    )


def _since(ripe: tuple[int, Any]) -> int:
    return ripe[0]


def _newer(modseqs: array[int], modseq: int) -> int:
    return sum(map(modseq.__lt__, modseqs))


def _put(store: ObjectStore, key: str, root: Root) -> Packed:
    packed = pack(root)
    store.put(key, packed.data)
    return packed


def _parts(root: Root) -> list[tuple[str, int]]:
    """The objects that the chunks of a snapshot are in, (key, octets) each."""
    octets: dict[str, int] = {}
    for chunk in root.chunks:
        for column in chunk.columns:
            octets[column.key] = max(octets.get(column.key, 0), column.start + column.octets)
    return sorted(octets.items())
