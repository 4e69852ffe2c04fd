"""The keys of the store and the rows of their objects, walked together in order of keys, a page of each at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from lightmail.jobs.verify.steps import Emit, Hands
from lightmail.jobs.verify.table import CHECKS
from lightmail.objects import keys
from lightmail.store import epochs

Row = TypeVar("Row")
# The rows of objects whose keys are above one and up to another, by ascending key, at most so many: in a transaction.
Read: TypeAlias = Callable[[Any, str, str, int], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Stretch(Generic[Row]):
    """What a step looks at: the keys that are `present` in the store, and the `rows`, above its cursor and up to where
    `following` begins, None at the end. `strangers` are the keys without a row. `looked`: how many keys and rows it
    took to find out.
    """

    present: frozenset[str]
    rows: list[Row]
    strangers: list[str]
    following: str | None
    looked: int


async def stretch(
    hands: Hands, prefix: str, cursor: str, page: int, read: Read[Row], key_of: Callable[[Row], str]
) -> Stretch[Row]:
    """The next stretch of the keys below ``prefix/``, above `cursor`: at most `page` keys and rows. Unavailable."""
    end = f"{prefix}0"  # behind every key below ``prefix/``
    listed = await hands.pool.run(hands.store.keys, prefix, cursor, page)
    last = listed[-1] if len(listed) == page else end
    rows = await hands.database.read("verify", read, cursor, last, page)
    if len(rows) == page:
        last = min(last, key_of(rows[-1]))
    within = [row for row in rows if key_of(row) <= last]
    known = {key_of(row) for row in within}
    strangers = [key for key in listed if key <= last and key not in known]
    return Stretch(frozenset(listed), within, strangers, None if last == end else last, len(listed) + len(rows))


def suspects(found: Sequence[str], is_ours: Callable[[str], bool], born_until_us: int, emit: Emit) -> list[str]:
    """Those of the keys that are ours and born until then; what is not ours is reported."""
    for key in found:
        if not is_ours(key):
            emit(CHECKS["foreign-key"].finding(key=key))
    return [key for key in found if is_ours(key) and keys.born_us(key) <= born_until_us]


async def is_frozen(hands: Hands) -> bool:
    """Whether collection is frozen: what a frozen store does not know may be of a time that its database has lost."""
    return bool((await hands.database.read("verify", epochs.read_txn)).frozen_at)
