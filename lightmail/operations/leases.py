"""Leases: one holder at a time of a name, such as a maildrop or a background job.

Its fence tells an old holder, who was paused for long, from the new one.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightmail.errors import Unavailable
from lightmail.store import leases
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import CommitUnknown, Conflict


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was acquired; `seconds` is for how long it is taken each time."""

    database: Database
    name: str
    owner: str
    fence: int
    seconds: float

    async def renew(self) -> bool:
        """Hold on to it; False when it has run out or passed to another. Raises Unavailable."""
        return await self.database.run("lease", self.renew_txn)

    def renew_txn(self, cursor: Cursor) -> bool:
        """As `renew`, as part of a transaction."""
        return leases.renew_txn(cursor, self.name, self.owner, self.fence, self.seconds)

    async def release(self) -> None:
        """Let others in; nothing happens when it is another's by now. Raises Unavailable, and may be called again.

        Tried once: somebody may be waiting for it, and it runs out by itself.
        """
        try:
            await self.database.attempt("lease", leases.release_txn, self.name, self.owner, self.fence)
        except (Conflict, CommitUnknown):
            raise Unavailable from None

    def held_txn(self, cursor: Cursor) -> bool:
        """Part of a transaction: lock the lease, so that it stays ours until the end; False when it is another's."""
        return leases.lock_txn(cursor, self.name, self.owner, self.fence)


async def acquire(database: Database, name: str, owner: str, seconds: float) -> Lease | None:
    """The lease of `name` for `owner`, which is unique to it; None when another holds it. Raises Unavailable."""
    fence = await database.run("lease", leases.acquire_txn, name, owner, seconds)
    return None if fence is None else Lease(database, name, owner, fence, seconds)
