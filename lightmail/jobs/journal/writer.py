"""One round of the journal: whoever holds the lease writes what changed, and the marks after it.

A round begins with the database's clock, and ends with a record that says: whatever was committed before that moment is
here. What is told so between rounds need not be consistent across accounts; within one, `pulling` sees to it.

Segments are numbered on from the highest number there is, in the database or in the bucket. The bucket may have the
next one already: its writer died before its marks. Where it has more, this database has forgotten marks that it
committed: it was restored, or lost its tail in a failover, and what that told of UIDs and MODSEQs would now be told
otherwise. So `jobs.epochs` raises its alarm, if it has not before: collection is frozen, and `store.epoch` rises.

When `store.epoch` has risen, no mark counts any more, and everything is written whole: a higher epoch supersedes all
that was written under lower ones.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final

from twisted.logger import Logger

from lightmail.jobs.epochs import Epochs
from lightmail.jobs.journal.checkpoints import MOST_SEGMENTS, remove_superseded, take_pictures
from lightmail.jobs.journal.pulling import pull_accounts, pull_changed, pull_directory
from lightmail.jobs.journal.segments import Head, directory, first_key, number_of
from lightmail.jobs.journal.state import State, lease_name
from lightmail.jobs.journal.stream import Stream
from lightmail.metrics import JOURNAL_BEHIND, JOURNAL_CHANGES
from lightmail.objects.backends import ObjectStore
from lightmail.operations.journal import LeaseLost, advance, start_over
from lightmail.operations.leases import Lease, acquire
from lightmail.store import journal, progress
from lightmail.store.database import Database
from lightmail.store.journal import Cut
from lightmail.threads import BoundedPool

log = Logger()

# Accounts, and all that is theirs, are in one shard today.
SHARD: Final = 0
_KEYS_AT_ONCE: Final = 1000
# A journal that is this many intervals behind, and at least this long, is worth an error in the log, every hour.
_LATE_INTERVALS: Final = 10
_LATE_SECONDS: Final = 600.0
_REMIND_SECONDS: Final = 3600.0


class Journal:
    """Writes the journal of a store, if no other process does. Methods belong to the reactor's thread.

    `changes` is how many go into one segment, about; `interval_seconds` how often `round` is meant to be called;
    after `most_segments` everything is written anew.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        pool: BoundedPool,
        *,
        interval_seconds: float,
        changes: int,
        most_segments: int = MOST_SEGMENTS,
    ) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._changes = changes
        self._most_segments = most_segments
        self._interval = interval_seconds
        # Long enough for the next round to renew it; so does each segment.
        self._lease_seconds = 2 * interval_seconds + 60
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lease: Lease | None = None
        self._level_since: float = database.reactor.seconds()
        self._reminded: float | None = None

    @property
    def holds_lease(self) -> bool:
        """Whether this process was the one that writes, in its last round."""
        return self._lease is not None

    async def round(self) -> None:
        """Write what changed since the last round; nothing where another process does that. Raises Unavailable."""
        try:
            await self._round()
        except LeaseLost:
            self._lease = None
            log.warn("another process has taken over the journal; what was written here is written again there")
        finally:
            self._complain()

    async def close(self) -> None:
        """One last round, and the lease given back. Raises Unavailable."""
        if self._lease is not None:
            await self.round()
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    async def _round(self) -> None:
        began = self._database.reactor.seconds()
        lease = await self._hold()
        if lease is None:
            self._level_since = began
            return
        cut = await self._database.read("journal", journal.cut_txn)
        if cut.recovering:
            log.error("a recovery is unfinished: nothing of this database is journalled")
            return
        state = State.of(await self._database.read("journal", progress.read_txn, lease.name))
        await self._continue(lease, state, cut)
        state.mailbox_ids = max(state.mailbox_ids, cut.mailbox_ids)
        head = Head(SHARD, state.number, lease.fence, cut.epoch, cut.now_us, state.mailbox_ids)
        stream = Stream(self._database, self._store, self._pool, lease, state, head, self._changes)
        await pull_directory(stream)
        await pull_accounts(stream)
        await pull_changed(stream)
        await take_pictures(stream, self._changes, self._most_segments)
        if not stream.is_empty:
            await stream.add([{"round": cut.now_us}], 0)
            await stream.flush()
        await self._clean_up(stream, cut)
        self._level_since = began
        JOURNAL_CHANGES.set(0)

    async def _hold(self) -> Lease | None:
        """The lease, ours already or taken now; None when it is another's."""
        name = lease_name(SHARD)
        if self._lease is not None and not await self._lease.renew():
            self._lease = None
        if self._lease is None:
            lease = await acquire(self._database, name, self._owner, self._lease_seconds)
            if lease is not None:
                await self._number_on(lease)
                self._lease = lease
        return self._lease

    async def _number_on(self, lease: Lease) -> None:
        """See to it that our segments come after all that there are."""
        state = State.of(await self._database.read("journal", progress.read_txn, lease.name))
        highest = await self._pool.run(_highest_number, self._store, state.number)
        if highest < state.number:
            return
        if highest > state.number:
            # Had the lease passed on while the keys were listed, the segments could be its new holder's.
            if not await lease.renew():
                raise LeaseLost
            await Epochs(self._database, self._store, self._pool).lost_marks(state.epoch)
        state.number = highest + 1
        await advance(self._database, lease, {}, {}, state.pack())

    async def _continue(self, lease: Lease, state: State, cut: Cut) -> None:
        """Forget all marks when they were made under another epoch."""
        if state.epoch == cut.epoch:
            return
        await start_over(self._database, lease)
        state.epoch, state.digest, state.cycle, state.superseded = cut.epoch, "", None, 0

    async def _clean_up(self, stream: Stream, cut: Cut) -> None:
        state = stream.state
        if not state.superseded or cut.frozen:
            return
        await stream.save()
        removed = await remove_superseded(self._store, self._pool, SHARD, state.superseded)
        state.superseded = 0
        await stream.save()
        log.info("the journal was written anew; {count} old segments are removed", count=removed)

    def _complain(self) -> None:
        """Say so when nothing could be written for long; mail goes on."""
        now = self._database.reactor.seconds()
        behind = now - self._level_since
        JOURNAL_BEHIND.set(behind)
        if behind < max(_LATE_SECONDS, _LATE_INTERVALS * self._interval):
            self._reminded = None
        elif self._reminded is None or now - self._reminded >= _REMIND_SECONDS:
            self._reminded = now
            log.error(
                "the journal is {minutes:.0f} minutes behind: were the database lost now, `lightmail recover` would"
                " find newer mail only by its objects, without flags and folders",
                minutes=behind / 60,
            )


def _highest_number(store: ObjectStore, number: int) -> int:
    """The highest number of a segment there is, if it is `number` or above; else below it."""
    highest = 0
    after = first_key(SHARD, number)
    while True:
        keys = store.keys(directory(SHARD), after, _KEYS_AT_ONCE)
        highest = max((found for key in keys if (found := number_of(key)) is not None), default=highest)
        if len(keys) < _KEYS_AT_ONCE:
            return highest
        after = keys[-1]
