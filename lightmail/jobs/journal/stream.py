"""The segments of one round, one after another: each is durable in the object store before its marks advance.

A crash between the two has the same changes written once more, in another segment. That does no harm: every row says
its MODSEQ, every account its meta_seq, and whoever reads takes the highest; reading one twice changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from lightmail.jobs.journal.segments import SEGMENT_OCTETS, Head, Record, SegmentWriter, new_key
from lightmail.jobs.journal.state import State
from lightmail.metrics import JOURNAL_LAST_SEGMENT, JOURNAL_OCTETS
from lightmail.model import AccountId, MailboxId
from lightmail.objects.backends import ObjectStore
from lightmail.operations.journal import advance
from lightmail.operations.leases import Lease
from lightmail.store.database import Database
from lightmail.threads import BoundedPool


class Stream:
    """Takes records and the marks they stand for; `changes` of them at most go into one segment, about.

    Methods raise LeaseLost when another process writes the journal by now, and Unavailable.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        pool: BoundedPool,
        lease: Lease,
        state: State,
        head: Head,
        changes: int,
    ) -> None:
        self.state = state
        self.database = database
        self.written = 0
        self.segments = 0
        self._store = store
        self._pool = pool
        self._lease = lease
        self._head = replace(head, number=state.number)
        self._bound = changes
        self._segment: SegmentWriter | None = None
        self._changes = 0
        self.mailboxes: dict[MailboxId, int] = {}
        self._accounts: dict[AccountId, int] = {}

    @property
    def number(self) -> int:
        """The number of the segment that the next record goes into."""
        return self._head.number

    @property
    def octets(self) -> int:
        """What this round has written, about: the segment that is open is counted by whole frames."""
        return self.written + (self._segment.octets if self._segment is not None else 0)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self._segment is None and not self.segments

    async def add(self, records: Sequence[Record], changes: int) -> None:
        """Append records, which hold so many changes, to one segment."""
        await self.make_room()
        if self._segment is None:
            self._segment = SegmentWriter(self._head)
        self._changes += changes
        await self._pool.run(_add_all, self._segment, records)

    async def make_room(self) -> None:
        """Write the segment that is open, if it is full."""
        segment = self._segment
        if segment is not None and (self._changes >= self._bound or segment.octets >= SEGMENT_OCTETS):
            await self.flush()

    def mark_mailbox(self, mailbox: MailboxId, modseq: int) -> None:
        """What was added holds all changes of the mailbox up to `modseq`."""
        self.mailboxes[mailbox] = modseq

    def mark_account(self, account: AccountId, meta_seq: int) -> None:
        """What was added holds the account as of `meta_seq`."""
        self._accounts[account] = meta_seq

    async def flush(self) -> None:
        """Write the segment that is open, and then the marks; nothing where nothing was added."""
        segment = self._segment
        if segment is None:
            return
        body = await self._pool.run(segment.finish)
        await self._pool.run(self._store.put, new_key(self._head), body)
        JOURNAL_OCTETS.inc(len(body))
        JOURNAL_LAST_SEGMENT.set(time.time())
        self.written += len(body)
        self.segments += 1
        self.state.number = self._head.number + 1
        self.state.octets += len(body)
        self.state.segments += 1
        await self.save()
        self._segment, self._changes = None, 0
        self._head = replace(self._head, number=self.state.number)

    async def save(self) -> None:
        """Write down the marks and the state."""
        mailboxes, self.mailboxes = self.mailboxes, {}
        accounts, self._accounts = self._accounts, {}
        await advance(self.database, self._lease, mailboxes, accounts, self.state.pack())


def _add_all(segment: SegmentWriter, records: Sequence[Record]) -> None:
    for record in records:
        segment.add(record)
