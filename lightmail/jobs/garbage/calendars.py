"""Calendars on their way out: events that were deleted, and objects that no event refers to.

Each object under ``calendars/`` has a row from before it was put, so none has to be looked for in the store. One that
was never taken up, because its transaction never came, was dropped at its birth; one that was replaced, or whose event
is purged, is dropped then.
"""

from __future__ import annotations

from typing import Final

from lightmail.jobs.garbage.step import HOUR_US, Done, Moment
from lightmail.objects.backends import ObjectStore
from lightmail.operations import calendar_purge as operations
from lightmail.store import calendar_objects
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

# A transaction may take an object up for an hour after its birth (`store.ledger`): not before that is over for sure.
_LEAST_US: Final = 2 * HOUR_US
_DELETE_BOUND: Final = 1000


class CalendarSteps:
    """The steps over calendars. Methods belong to the reactor's thread; the store is called in `pool`."""

    def __init__(self, database: Database, store: ObjectStore, pool: BoundedPool) -> None:
        self._database = database
        self._store = store
        self._pool = pool

    async def purge(self, moment: Moment) -> Done:
        """Remove events and calendars that were deleted before the window."""
        return Done({"event": await operations.purge(self._database, moment.undelete_us, moment.batch)})

    async def dropped(self, moment: Moment) -> Done:
        """Delete objects that were dropped before the grace: the object first, then its row."""
        until_us = min(moment.grace_us, moment.now_us - _LEAST_US)
        limit = min(moment.batch * 10, _DELETE_BOUND)
        due = await self._database.read("dropped", calendar_objects.dropped_txn, until_us, limit)
        if not due:
            return Done()
        keys = [key for key, _ in due]
        await self._pool.run(self._store.delete, keys)
        await operations.forget(self._database, keys)
        return Done({"event object deleted": len(due)}, sum(octets for _, octets in due))
