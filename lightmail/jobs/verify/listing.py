"""The keys of the store against the rows of `objects`: rows without objects, and objects without rows.

Both are walked in order of keys, page by page. What is missing on one side is looked at again: the object is written
before its row and deleted before it, so a key that has a row now and had no object before is one whose row came late,
and an object whose row is gone was deleted. What is younger than the grace may have its transaction still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from lightmail.jobs.verify.references import emit_for_object
from lightmail.jobs.verify.rows import MESSAGES_AT_ONCE
from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.jobs.verify.table import CHECKS
from lightmail.jobs.verify.walking import is_frozen, stretch, suspects
from lightmail.model import AccountId, ObjectState
from lightmail.objects import keys
from lightmail.operations import repair
from lightmail.store import collection, referred
from lightmail.store.suspects import next_messages_txn

_PAGE: Final = 4000
_LIVE: Final = ObjectState.LIVE.value


class ListingPass:
    """All keys below ``emails/`` and all rows of objects. `absent`: rows without objects are wanted, too."""

    name = "keys"
    weight = 2

    def __init__(self, hands: Hands, mending: bool, *, absent: bool, grace_us: int, clock: Callable[[], float]) -> None:
        self._hands = hands
        self._mending = mending
        self._absent = absent
        self._grace_us = grace_us
        self._clock = clock

    def first(self) -> Any:
        return ""

    async def step(self, cursor: Any, emit: Emit) -> Step:
        hands = self._hands
        found = await stretch(hands, keys.PREFIX, cursor, _PAGE, referred.keys_txn, itemgetter(0))
        await self._look_at_orphans(found.strangers, emit)
        if self._absent:
            missing = [id_ for key, id_, state in found.rows if state == _LIVE and key not in found.present]
            await look_at_absent(hands, missing, emit)
        return Step(found.following, found.looked, 1.0 if found.following is None else _place(found.following))

    async def _look_at_orphans(self, found: Sequence[str], emit: Emit) -> None:
        """Report keys without a row that are old enough, and quarantine them."""
        hands = self._hands
        born_until_us = int(self._clock() * 1_000_000) - self._grace_us
        suspected = suspects(found, keys.is_object_key, born_until_us, emit)
        if not suspected:
            return
        known = await hands.database.read("verify", collection.known_keys_txn, suspected)
        sizes = await hands.pool.run(_sizes, hands, [key for key in suspected if key not in known])
        frozen = await is_frozen(hands)
        mended = self._mending and not frozen
        for key, octets in sizes.items():
            if octets is None:
                continue
            if mended:
                await repair.quarantine(hands.transactions, key, octets)
            detail = "collection is frozen: left as it is" if frozen else ""
            emit(CHECKS["orphan"].finding(key=key, detail=detail, repaired=mended))


def _place(key: str) -> float:
    """How far in the listing a key is: its two hex digits say."""
    try:
        return int(key[len(keys.PREFIX) + 1 :][:2], 16) / 256
    except ValueError:
        return 1.0


def _sizes(hands: Hands, wanted: Sequence[str]) -> dict[str, int | None]:
    """The octets of objects, None for those that are absent. In a thread."""
    return {key: hands.store.size(key) for key in wanted}


async def look_at_absent(hands: Hands, ids: Sequence[int], emit: Emit) -> None:
    """Report those objects, LIVE a moment ago, that are not in the store and still LIVE after that was seen."""
    if not ids:
        return
    rows = await hands.database.read("verify", referred.objects_txn, ids)
    sizes = await hands.pool.run(_sizes, hands, [row.key for row in rows.values()])
    absent = [row.id for row in rows.values() if sizes[row.key] is None]
    if not absent:
        return
    again = await hands.database.read("verify", referred.objects_txn, absent)
    for row in again.values():
        if row.state == _LIVE:
            await emit_for_object(hands, "object-absent", row, emit)


class AccountObjectsPass:
    """Whether the objects of one account's messages are in the store."""

    name = "objects of the account"
    weight = 2

    def __init__(self, hands: Hands, account: AccountId) -> None:
        self._hands = hands
        self._account = account

    def first(self) -> Any:
        return [0, 0]

    async def step(self, cursor: Any, emit: Emit) -> Step:
        hands = self._hands
        after = (int(cursor[0]), int(cursor[1]))
        part = await hands.database.read("verify", next_messages_txn, after, MESSAGES_AT_ONCE, self._account)
        if part is None:
            return Step(None, 0, 1.0)
        rows = await hands.database.read("verify", referred.objects_of_txn, part)
        sizes = await hands.pool.run(_sizes, hands, [row.key for row in rows])
        await look_at_absent(hands, [row.id for row in rows if sizes[row.key] is None], emit)
        return Step(list(part.last), len(rows), 0.5)
