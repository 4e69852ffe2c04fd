"""Steps over objects that have rows: looked at in turn, condemned, deleted."""

from __future__ import annotations

from typing import Final

from lightmail.jobs.garbage.step import DAY_US, Done, Moment
from lightmail.model import ObjectState
from lightmail.objects.backends import ObjectStore
from lightmail.operations import collect
from lightmail.operations import progress as job_progress
from lightmail.store import collection, progress
from lightmail.store.database import Database
from lightmail.store.sqltext import pieces
from lightmail.threads import BoundedPool

SWEEP: Final = "garbage/sweep"
# A round over all objects begins no sooner than this after the last began.
_ROUND_US: Final = DAY_US
# So many batches' worth of objects are looked at in one: it costs two reads, whatever it finds.
_SLICE_BATCHES: Final = 10
# What one request to S3 deletes at most.
_DELETE_BOUND: Final = 1000


class ObjectSteps:
    """The steps over objects with rows. Methods belong to the reactor's thread; the store is called in `pool`."""

    def __init__(self, database: Database, store: ObjectStore, pool: BoundedPool) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._round_begun = False

    async def sweep(self, moment: Moment) -> Done:
        """Look at the next slice of all objects: condemn what nothing refers to, note what nobody noted.

        Nothing should be found: references and condemnation go together. It is there for what a mistake, a repair or
        a restored backup leaves behind.
        """
        state = await self._database.read("garbage", progress.read_txn, SWEEP)
        if state is None or (state["after"] is None and self._due(state["began_us"], moment)):
            state = {"after": 0, "began_us": moment.now_us}
        if state["after"] is None:
            return Done()
        self._round_begun = True
        limit = moment.batch * _SLICE_BATCHES
        swept = await self._database.read("sweep", collection.sweep_txn, state["after"], moment.grace_us, limit)
        condemned = 0
        if swept.unreferred:
            condemned = await collect.condemn(
                self._database, swept.unreferred, ObjectState.LIVE, moment.now_us, "unreferred"
            )
        if swept.unnoted:
            await collect.note(self._database, swept.unnoted, moment.now_us)
        await job_progress.write(self._database, SWEEP, {**state, "after": swept.end})
        return Done({"object condemned": condemned}, more=moment.everything and swept.end is not None)

    def _due(self, began_us: int, moment: Moment) -> bool:
        return moment.now_us >= began_us + _ROUND_US or (moment.everything and not self._round_begun)

    async def quarantined(self, moment: Moment) -> Done:
        """Condemn orphans that nobody claimed within the window."""
        due = await self._database.read(
            "due", collection.due_txn, ObjectState.QUARANTINED, moment.undelete_us, moment.batch
        )
        if not due:
            return Done()
        condemned = await collect.condemn(self._database, due, ObjectState.QUARANTINED, moment.now_us, "orphan")
        if condemned < len(due):
            await collect.acquit(self._database, due)
        return Done({"object condemned": condemned})

    async def delete(self, moment: Moment) -> Done:
        """Delete what was condemned before the grace: the object first, then its row."""
        due = await self._database.read("due", collection.due_txn, ObjectState.CONDEMNED, moment.grace_us, moment.batch)
        if not due:
            return Done()
        looked = await collect.last_look(self._database, due)
        for some in pieces(looked.doomed, _DELETE_BOUND):
            await self._pool.run(self._store.delete, [doomed.key for doomed in some])
        if looked.doomed:
            await collect.forget(self._database, [doomed.id for doomed in looked.doomed])
        octets = sum(doomed.stored_octets for doomed in looked.doomed)
        return Done({"object deleted": len(looked.doomed), "object acquitted": looked.acquitted}, octets)
