"""The indexes of this process: one per mailbox, shared by its sessions, kept a while after the last one left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from lightmail.errors import MailError, NoSuchMailbox
from lightmail.flights import Flight
from lightmail.index.columns import Row
from lightmail.index.loading import Loader, RootReader
from lightmail.index.mailbox import MailboxIndex
from lightmail.metrics import CACHE_HITS, CACHE_OCTETS
from lightmail.model import Account, Mailbox, MailboxId
from lightmail.notify.hints import Notifier, Watch
from lightmail.store import epochs
from lightmail.store.database import Database
from lightmail.store.faults import Forgotten
from lightmail.store.mailboxes import modseqs_txn
from lightmail.store.messages import Changes, OwnChange, Snapshot, all_txn, changes_txn
from lightmail.turns import Turn

# Finds out whether a mailbox has lost changes up to a MODSEQ, and does what has to be done then.
Doubt: TypeAlias = Callable[[MailboxId, int], Awaitable[None]]

# Rows taken before other work gets its turn: about 2 ms.
_SLICE: Final = 4000


class _Entry:
    """One mailbox: its index once it is loaded, who holds it, and the reading that is under way.

    `wanted` is a modification sequence that the store is known to have reached. Readings are numbered: `begun` is the
    last that began, `ended` the last that ended, well or not. A `retired` one is for those who hold it, and no others.
    """

    __slots__ = ("begun", "ended", "flight", "holders", "index", "loading", "octets", "retired", "wanted", "watch")

    def __init__(self) -> None:
        self.index: MailboxIndex | None = None
        self.loading: Flight[MailboxIndex] | None = None
        self.flight: Flight[None] | None = None
        self.holders = 0
        self.wanted = 0
        self.begun = 0
        self.ended = 0
        self.octets = 0
        self.retired = False
        self.watch: Watch | None = None


class Indexes:
    """Gives out indexes that are as new as the store, as far as this process can know.

    A held index is watched: it is behind when a hint, or the poll, named a modification sequence above its own, and
    only then is the store asked. An index that nobody holds stays until those like it take more than `octets`; the
    one unused for longest goes first.

    An index of an older epoch is discarded: sessions that hold it learn through it what the database has lost, and
    whoever comes anew gets a new one, which also has what came back.
    """

    def __init__(
        self, database: Database, notifier: Notifier, octets: int, *, reactor: Any, roots: RootReader | None = None
    ) -> None:
        self._database = database
        self._loader = Loader(database, roots)
        self._notifier = notifier
        self._bound = octets
        self._reactor = reactor
        self._doubt: Doubt | None = None
        self._entries: dict[MailboxId, _Entry] = {}
        self._retired: dict[MailboxIndex, _Entry] = {}
        # Entries without a holder, those longest unused first.
        self._idle: dict[MailboxId, _Entry] = {}
        self._idle_octets = 0
        CACHE_OCTETS.watch(self, lambda indexes: [(("index",), indexes._idle_octets)])

    def when_behind(self, doubt: Doubt) -> None:
        """Have `doubt` awaited where the store is behind what an index has read of it: it may have lost its tail."""
        self._doubt = doubt

    async def modseqs(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, int]:
        """The highest MODSEQ of mailboxes, for the poll; what is behind an index is looked into. Raises Unavailable."""
        known = {of: index.highest_modseq for of in mailboxes if (index := self._held(of)) is not None}
        found = await self._database.read("poll", modseqs_txn, mailboxes)
        for mailbox, modseq in known.items():
            if found.get(mailbox, modseq) < modseq and (index := self._held(mailbox)) is not None:
                with suppress(MailError):
                    await self.refresh(index, force=True)
        return found

    def settled(self) -> list[MailboxIndex]:
        """The indexes of this process that nothing is being read into, held or not."""
        return [entry.index for entry in self._entries.values() if entry.index is not None and entry.flight is None]

    def forget_chunks(self) -> None:
        """Take no more metadata from the chunks that are known: ids of objects may have come to name others."""
        for entry in (*self._entries.values(), *self._retired.values()):
            if entry.index is not None:
                entry.index.chunk_refs = ()

    def _held(self, mailbox: MailboxId) -> MailboxIndex | None:
        """The index of a mailbox, if it is loaded and somebody holds it."""
        entry = self._entries.get(mailbox)
        return entry.index if entry is not None and entry.holders else None

    async def acquire(self, account: Account, mailbox: Mailbox) -> MailboxIndex:
        """The index of a mailbox, at least as new as `mailbox` was read. The caller owes one `release`.

        Raises NoSuchMailbox when it has been deleted, or Unavailable.
        """
        while True:
            entry = self._hold(mailbox.id)
            try:
                hit = entry.index is not None
                CACHE_HITS.labels("index", "hit" if hit else "miss").inc()
                # Not `or`: an index without messages is false.
                index = entry.index if entry.index is not None else await self._loaded(entry, account, mailbox)
                entry.wanted = max(entry.wanted, mailbox.highest_modseq)
                await self.refresh(index)
            except BaseException:
                self._let_go(mailbox.id, entry)
                raise
            if not entry.retired:
                return index
            self._let_go(mailbox.id, entry)

    def release(self, index: MailboxIndex) -> None:
        """Give back an index that was acquired; its views must not be used any more."""
        self._let_go(index.mailbox, self._entry(index))

    def _entry(self, index: MailboxIndex) -> _Entry:
        return self._retired.get(index) or self._entries[index.mailbox]

    async def refresh(self, index: MailboxIndex, *, force: bool = False) -> None:
        """Bring a held index level with what is known of the store; with `force`, with the store itself.

        Costs next to nothing when there is nothing to read. Callers at the same time share one reading, but never one
        that began before they asked. Raises NoSuchMailbox or Unavailable; the index is then as it was.
        """
        entry = self._entry(index)
        if not force and not self._behind(entry, index):
            return
        needed = entry.begun + 1
        while entry.ended < needed:
            flight = entry.flight
            if flight is None:
                entry.begun += 1
                flight = entry.flight = Flight(self._pull(index))
                flight.when_landed(lambda: self._landed(entry))
            await flight.result()
            if not force and not self._behind(entry, index):
                return

    def applied(self, index: MailboxIndex, change: OwnChange) -> bool:
        """Bring a held index level with what this process has just committed, without reading it back, if that can be.

        Else the next `refresh` reads it, for the hint has come; see `MailboxIndex.apply_own`.
        """
        return index.apply_own(change)

    def _behind(self, entry: _Entry, index: MailboxIndex) -> bool:
        return max(entry.wanted, self._notifier.latest(index.mailbox)) > index.highest_modseq

    @staticmethod
    def _landed(entry: _Entry) -> None:
        entry.flight = None
        entry.ended = entry.begun

    async def _loaded(self, entry: _Entry, account: Account, mailbox: Mailbox) -> MailboxIndex:
        """The index, loaded once for all who wait for it."""
        if entry.loading is None:
            entry.loading = Flight(self._load(entry, account, mailbox))
        return await entry.loading.result()

    async def _load(self, entry: _Entry, account: Account, mailbox: Mailbox) -> MailboxIndex:
        try:
            entry.index = await self._loader.load(account, mailbox)
            return entry.index
        finally:
            entry.loading = None

    async def _pull(self, index: MailboxIndex) -> None:
        """Read what changed, and apply it in slices that leave the reactor time for others."""
        try:
            changes = await self._changes(index)
        except Forgotten:
            await self._read_whole(index)
            return
        if changes.epoch != index.epoch:
            await self._read_whole(index)
            return
        await self._take(index, changes.rows)
        index.apply(changes)

    async def _changes(self, index: MailboxIndex) -> Changes:
        mailbox, since, version = index.mailbox, index.highest_modseq, index.keyword_version
        changes = await epochs.read(self._database, "changes", changes_txn, mailbox, since, version)
        behind = changes.highest_modseq < since and changes.epoch == index.epoch
        if not behind or self._doubt is None:
            return changes
        # Where the bucket does not answer now, the epoch rises later, and this is read once more.
        with suppress(MailError):
            await self._doubt(mailbox, since)
        return await epochs.read(self._database, "changes", changes_txn, mailbox, since, version)

    async def _read_whole(self, index: MailboxIndex) -> None:
        whole: Snapshot = await epochs.read(self._database, "index", all_txn, index.mailbox)
        if whole.epoch != index.epoch:
            if whole.uidvalidity != index.uidvalidity:
                raise NoSuchMailbox  # it went with the tail, and another one has got its id
            self._retire(index)
            index.distrust()
        await self._take(index, whole.rows)
        index.replace(whole)

    def _retire(self, index: MailboxIndex) -> None:
        """Give this index to nobody else."""
        entry = self._entry(index)
        if not entry.retired:
            entry.retired = True
            del self._entries[index.mailbox]
            self._retired[index] = entry

    async def _take(self, index: MailboxIndex, rows: Sequence[Row]) -> None:
        """Take the rows of a large reading ahead of the rest, which then finds little to do."""
        if len(rows) <= _SLICE:
            return
        turn = Turn(self._reactor)
        for start in range(0, len(rows), _SLICE):
            index.take(rows[start : start + _SLICE])
            await turn.offer()

    def _hold(self, mailbox: MailboxId) -> _Entry:
        entry = self._entries.get(mailbox)
        if entry is None:
            entry = self._entries[mailbox] = _Entry()
        if not entry.holders:
            if self._idle.pop(mailbox, None) is not None:
                self._idle_octets -= entry.octets
            # Nobody is to be woken: the watch makes the notifier remember how far the mailbox has come.
            entry.watch = self._notifier.watch(mailbox, None)
        entry.holders += 1
        return entry

    def _let_go(self, mailbox: MailboxId, entry: _Entry) -> None:
        entry.holders -= 1
        if entry.holders:
            return
        if entry.watch is not None:
            entry.wanted = max(entry.wanted, self._notifier.latest(mailbox))
            entry.watch.close()
            entry.watch = None
        if entry.retired and entry.index is not None:
            del self._retired[entry.index]
            return
        if entry.index is None:
            del self._entries[mailbox]
            return
        entry.octets = entry.index.size_octets
        self._idle[mailbox] = entry
        self._idle_octets += entry.octets
        while self._idle_octets > self._bound:
            oldest = next(iter(self._idle))
            self._idle_octets -= self._idle.pop(oldest).octets
            del self._entries[oldest]
