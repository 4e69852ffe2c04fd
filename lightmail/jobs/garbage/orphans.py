"""Orphans: objects in the store that no row knows, because the transaction after their PUT never came.

Keys of one ``hh`` list in the order of their birth, so a cursor per ``hh`` moves over those older than the grace and
each key is looked at once: an orphan can only be among keys that are new. All 256 take turns, a round in some hours.
Now and then the cursors begin anew, for objects that came into the bucket with an old key: a copy that was put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from lightmail.jobs.garbage.step import DAY_US, HOUR_US, Done, Moment
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations import collect
from lightmail.operations import progress as job_progress
from lightmail.store import collection, progress
from lightmail.store.collection import Orphan
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

ORPHANS: Final = "garbage/orphans"
_HANDS: Final = tuple(f"{number:02x}" for number in range(256))
_ROUND_US: Final = 6 * HOUR_US
_ANEW_US: Final = 30 * DAY_US
# So many directories in one batch at most, and so many keys of one.
_HANDS_AT_ONCE: Final = 64
_KEYS_AT_ONCE: Final = 1000


@dataclass(slots=True)
class State:
    """How far the orphans' round is: `hand` of the 256 is next; the last name that was looked at, by ``hh``."""

    anew_us: int
    round_us: int
    hand: int = 0
    cursors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, found: dict[str, Any] | None, now_us: int) -> State:
        """What was written down, or the beginning."""
        state = cls(**found) if found is not None else cls(now_us, now_us)
        if now_us >= state.anew_us + _ANEW_US:
            state.anew_us, state.cursors = now_us, {}
        if state.hand == len(_HANDS) and now_us >= state.round_us + _ROUND_US:
            state.round_us, state.hand = now_us, 0
        return state

    def due(self, now_us: int) -> int:
        """How many hands should be done by now."""
        return min(len(_HANDS), len(_HANDS) * (now_us - self.round_us) // _ROUND_US + 1)


class OrphanStep:
    """Finds orphans and quarantines them. Methods belong to the reactor's thread; the store is called in `pool`."""

    def __init__(self, database: Database, store: ObjectStore, pool: BoundedPool) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._round_begun = False

    async def look(self, moment: Moment) -> Done:
        """Look at the keys that have become old enough in the directories whose turn it is."""
        state = State.at(await self._database.read("garbage", progress.read_txn, ORPHANS), moment.now_us)
        if moment.everything and not self._round_begun:
            state.round_us, state.hand = moment.now_us, 0
        self._round_begun = True
        due = len(_HANDS) if moment.everything else state.due(moment.now_us)
        found = 0
        looked = False
        for _ in range(min(_HANDS_AT_ONCE, due - state.hand)):
            orphans, whole = await self._look_at(state, _HANDS[state.hand], moment)
            found += orphans
            looked = True
            if not whole:
                break
            state.hand += 1
        if looked:
            await job_progress.write(self._database, ORPHANS, asdict(state))
        return Done({"orphan": found}, more=state.hand < due)

    async def _look_at(self, state: State, hand: str, moment: Moment) -> tuple[int, bool]:
        """Look at the next keys of one ``hh``: orphans among them, and whether those were all that are old enough."""
        prefix = f"{object_keys.PREFIX}/{hand}"
        after = f"{prefix}/{state.cursors[hand]}" if hand in state.cursors else ""
        listed = await self._pool.run(self._store.keys, prefix, after, _KEYS_AT_ONCE)
        old, whole = _old_enough(listed, moment.grace_us)
        whole = whole or len(listed) < _KEYS_AT_ONCE
        found = await self._quarantine([key for key in old if object_keys.is_object_key(key)], moment.now_us)
        if old:
            # Only now: whatever is before the cursor has a row.
            state.cursors[hand] = old[-1].removeprefix(f"{prefix}/")
        return found, whole

    async def _quarantine(self, keys: Sequence[str], now_us: int) -> int:
        if not keys:
            return 0
        known = await self._database.read("known-keys", collection.known_keys_txn, keys)
        orphans: list[Orphan] = []
        for key in keys:
            if key not in known:
                octets = await self._pool.run(self._store.size, key)
                if octets is not None:
                    orphans.append(collect.orphan(key, octets))
        return await collect.quarantine_all(self._database, orphans, now_us, "orphan")


def _old_enough(keys: Sequence[str], until_us: int) -> tuple[Sequence[str], bool]:
    """The keys before the first one that was born after `until_us`, and whether there was such a one."""
    for position, key in enumerate(keys):
        if object_keys.is_object_key(key) and object_keys.born_us(key) > until_us:
            return keys[:position], True
    return keys, False
