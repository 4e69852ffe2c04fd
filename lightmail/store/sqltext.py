"""One text of SQL for MySQL, MariaDB and SQLite: markers for lists, the clock, and the translation to SQLite."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

from lightmail.model import Fate

T = TypeVar("T")

# The database's own clock in Unix microseconds UTC. A statement must use exactly this text: SQLite's side replaces it.
NOW_US: Final = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"

# For statements that lock rows which they name by primary key: written so that no index on `deleted_at` serves them.
# Found through that index, a row is locked there first and in the table second, the other way round than by others.
NOT_DELETED: Final = "deleted_at + 0 = 0"

# Lists of values of `fate`: of rows that keep their object, of those that gave it up, and all there are.
FATES_WITH_OBJECT: Final = f"({', '.join(str(fate.value) for fate in Fate if fate.keeps_object)})"
FATES_WITHOUT_OBJECT: Final = f"({', '.join(str(fate.value) for fate in Fate if not fate.keeps_object)})"
FATES: Final = f"({', '.join(str(fate.value) for fate in Fate)})"

# The most elements one list may have; longer ones are cut into several statements (SQLite takes 32,766 parameters).
LIST_BOUND: Final = 1024


@lru_cache(maxsize=2048)
def for_sqlite(sql: str) -> str:
    """The same statement for SQLite: `?` placeholders, no row locks (BEGIN IMMEDIATE holds the whole database).

    A percent sign that is meant stands twice, as PyMySQL wants it.
    """
    text = sql.replace(NOW_US, "now_us()").replace("%s", "?").replace("%%", "%")
    return text.replace(" FOR UPDATE", "").replace(" LOCK IN SHARE MODE", "")


@lru_cache(maxsize=1024)
def with_list(sql: str, count: int) -> str:
    """`sql` with its marker ``{list}`` made `count` placeholders. Use it with `padded` so that few texts exist."""
    return sql.replace("{list}", ", ".join(["%s"] * count))


def padded(values: Sequence[T]) -> Sequence[T]:
    """`values` filled up to a power of two with its last one: an IN list of another length and the same meaning."""
    if not values:
        raise ValueError("an IN list cannot be empty")
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * missing] if missing else values


def pieces(values: Sequence[T], bound: int = LIST_BOUND) -> list[Sequence[T]]:
    """`values` cut into lists of at most `bound`."""
    return [values[start : start + bound] for start in range(0, len(values), bound)]


@lru_cache(maxsize=1024)
def with_rows(sql: str, rows: int) -> str:
    """``… VALUES (%s, %s)`` made a statement that inserts `rows` rows at once; parameters follow row by row."""
    head, _, row = sql.partition(" VALUES ")
    return " VALUES ".join([head, ", ".join([row] * rows)])


# A run of consecutive UIDs at least this long is a range, not part of an IN list.
_RUN: Final = 256


def uid_conditions(uids: Sequence[int] | None) -> list[tuple[str, Sequence[int]]]:
    """Conditions on ``uid`` with their parameters that together cover `uids` (ascending) and nothing else.

    One condition belongs to one statement: long runs become ranges, what is scattered becomes IN lists. All UIDs of
    one condition are below those of the next. None stands for all UIDs there are.
    """
    if uids is None:
        return [("uid > %s", (0,))]
    conditions: list[tuple[str, Sequence[int]]] = []
    scattered: list[int] = []
    start = 0
    while start < len(uids):
        end = _run_end(uids, start)
        if end - start >= _RUN:
            conditions += _listed(scattered)
            scattered = []
            conditions.append(("uid BETWEEN %s AND %s", (uids[start], uids[end - 1])))
        else:
            scattered.extend(uids[start:end])
        start = end
    return conditions + _listed(scattered)


def _run_end(uids: Sequence[int], start: int) -> int:
    """Where the run of consecutive UIDs ends that begins at `start`; a long one is not looked at one by one."""
    first = uids[start] - start
    reach = start + _RUN
    if reach <= len(uids) and uids[reach - 1] - reach + 1 == first:
        # The distance of a UID from its place never shrinks, and grows where UIDs are missing.
        return bisect_right(range(len(uids)), first, lo=reach, key=lambda at: uids[at] - at)
    end = start + 1
    while end < len(uids) and uids[end] - end == first:
        end += 1
    return end


def _listed(uids: Sequence[int]) -> list[tuple[str, Sequence[int]]]:
    values = [padded(piece) for piece in pieces(uids)]
    return [(with_list("uid IN ({list})", len(listed)), listed) for listed in values]


@lru_cache(maxsize=1024)
def with_uids(sql: str, condition: str) -> str:
    """`sql` with its marker ``{uids}`` made one of the `uid_conditions`."""
    return sql.replace("{uids}", condition)
