"""Snapshots of indexes on their way out: objects that were dropped, and leftovers that no row ever named.

A snapshot that is replaced, or whose mailbox is deleted, leaves its objects noted as dropped: they are deleted a little
later, so that a process that has read the old row a moment ago still finds them. A crash between the PUT of a part and
the swap of the row leaves an object without a row. Such a leftover is old enough once its swap would be refused
(`store.ledger`), and is deleted straight away: what is derived needs no quarantine. Rows here come and go, so each
round looks at every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lightmail.jobs.garbage.step import HOUR_US, Done, Moment
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations import progress as job_progress
from lightmail.operations import snapshots as operations
from lightmail.store import progress, snapshots
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

LEFTOVERS: Final = "garbage/snapshots"
# Who read the row before it was swapped has read its object long before.
_DROPPED_US: Final = HOUR_US
_HANDS: Final = tuple(f"{number:02x}" for number in range(256))
_ROUND_US: Final = 24 * HOUR_US
_HANDS_AT_ONCE: Final = 16
# What one request lists, and what one deletes, at most.
_KEYS_AT_ONCE: Final = 1000
_DELETE_BOUND: Final = 1000


@dataclass(slots=True)
class State:
    """How far the round is: `hand` of the 256 is next, from the key `after` on."""

    round_us: int
    hand: int = 0
    after: str = ""

    @classmethod
    def at(cls, found: dict[str, Any] | None, now_us: int) -> State:
        """What was written down, or the beginning."""
        state = cls(**found) if found is not None else cls(now_us)
        if state.hand == len(_HANDS) and now_us >= state.round_us + _ROUND_US:
            state.round_us, state.hand = now_us, 0
        return state

    def due(self, now_us: int) -> int:
        """How many hands should be done by now."""
        return min(len(_HANDS), len(_HANDS) * (now_us - self.round_us) // _ROUND_US + 1)


class SnapshotSteps:
    """The steps over snapshots. Methods belong to the reactor's thread; the store is called in `pool`."""

    def __init__(self, database: Database, store: ObjectStore, pool: BoundedPool) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._round_begun = False

    async def dropped(self, moment: Moment) -> Done:
        """Delete what was dropped: the object first, then its row."""
        limit = min(moment.batch * 10, _DELETE_BOUND)
        due = await self._database.read("dropped", snapshots.dropped_txn, moment.now_us - _DROPPED_US, limit)
        if not due:
            return Done()
        keys = [key for key, _ in due]
        await self._pool.run(self._store.delete, keys)
        await operations.forget(self._database, keys)
        return Done({"snapshot object deleted": len(due)}, sum(octets for _, octets in due))

    async def leftovers(self, moment: Moment) -> Done:
        """Look at the next keys of the directories whose turn it is, and delete those that no row names."""
        state = State.at(await self._database.read("garbage", progress.read_txn, LEFTOVERS), moment.now_us)
        if moment.everything and not self._round_begun:
            state = State(moment.now_us)
        self._round_begun = True
        due = len(_HANDS) if moment.everything else state.due(moment.now_us)
        deleted = 0
        first = (state.hand, state.after)
        for _ in range(min(_HANDS_AT_ONCE, due - state.hand)):
            deleted += await self._look_at(state, moment.grace_us)
        if (state.hand, state.after) != first:
            await job_progress.write(self._database, LEFTOVERS, asdict(state))
        return Done({"snapshot object left over": deleted}, more=state.hand < due)

    async def _look_at(self, state: State, born_until_us: int) -> int:
        """Look at one page of keys and move on; how many objects were deleted."""
        prefix = f"{object_keys.INDEX_PREFIX}/{_HANDS[state.hand]}"
        listed = await self._pool.run(self._store.keys, prefix, state.after, _KEYS_AT_ONCE)
        old = [key for key in listed if object_keys.is_index_key(key) and object_keys.born_us(key) <= born_until_us]
        deleted = await self._delete_unknown(old)
        if len(listed) == _KEYS_AT_ONCE:
            state.after = listed[-1]
        else:
            state.hand, state.after = state.hand + 1, ""
        return deleted

    async def _delete_unknown(self, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        known = await self._database.read("known-snapshots", snapshots.known_txn, keys)
        leftovers = [key for key in keys if key not in known]
        if leftovers:
            await self._pool.run(self._store.delete, leftovers)
        return len(leftovers)
