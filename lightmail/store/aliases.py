"""Aliases: addresses that lead to accounts and other aliases, one row per target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor
from lightmail.store.ranges import NameRange


@dataclass(frozen=True, slots=True)
class Alias:
    """One target of an alias."""

    address: str
    target: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which targets of aliases are meant: those of aliases with these addresses, of one domain, with one target."""

    names: NameRange
    domain: int | None = None
    target: str | None = None


_RANGE: Final = "address >= %s AND address < %s"
_ALL: Final = f"FROM aliases WHERE {_RANGE}"
_OF_DOMAIN: Final = f"FROM aliases WHERE domain = %s AND {_RANGE}"
_OF_TARGET: Final = f"FROM aliases WHERE target = %s AND (%s OR domain = %s) AND {_RANGE}"
_PAGE: Final = (
    "SELECT address, target {rows} AND (address > %s OR target > %s) ORDER BY address, target LIMIT %s OFFSET %s"
)
_COUNT: Final = "SELECT COUNT(*) {rows}"
_PAGES: Final = {rows: _PAGE.format(rows=rows) for rows in (_ALL, _OF_DOMAIN, _OF_TARGET)}
_COUNTS: Final = {rows: _COUNT.format(rows=rows) for rows in (_ALL, _OF_DOMAIN, _OF_TARGET)}


def _rows(chosen: Chosen, names: NameRange) -> tuple[str, tuple[object, ...]]:
    """Where the chosen rows are found, each by an index of its own."""
    if chosen.target is not None:
        return _OF_TARGET, (chosen.target.encode(), chosen.domain is None, chosen.domain or 0, *names)
    if chosen.domain is not None:
        return _OF_DOMAIN, (chosen.domain, *names)
    return _ALL, names


def listed_txn(
    cursor: Cursor, chosen: Chosen, after: Alias | None, limit: int, offset: int = 0, *, counting: bool = False
) -> tuple[list[Alias], int | None]:
    """Targets of aliases, by address and target: `limit` of them, behind `after` where it is given and else after the
    first `offset`; and, where it is asked for, how many there are."""
    last = (b"", b"") if after is None else (after.address.encode(), after.target.encode())
    rows, params = _rows(chosen, NameRange(max(chosen.names.low, last[0]), chosen.names.high))
    cursor.execute(_PAGES[rows], (*params, *last, limit, offset))
    found = [Alias(row[0].decode(), row[1].decode()) for row in cursor.fetchall()]
    return found, _count_txn(cursor, chosen) if counting else None


def _count_txn(cursor: Cursor, chosen: Chosen) -> int:
    rows, params = _rows(chosen, chosen.names)
    cursor.execute(_COUNTS[rows], params)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def exists_txn(cursor: Cursor, address: str) -> bool:
    """Whether an alias has that address."""
    cursor.execute("SELECT 1 FROM aliases WHERE address = %s LIMIT 1", (address.encode(),))
    return cursor.fetchone() is not None


def leading_to_txn(cursor: Cursor, target: str) -> list[str]:
    """The aliases that lead to `target` at once."""
    cursor.execute("SELECT address FROM aliases WHERE target = %s ORDER BY address", (target.encode(),))
    return [row[0].decode() for row in cursor.fetchall()]


# --- writes ---


def insert_txn(cursor: Cursor, address: str, target: str, domain: int) -> None:
    """Add a target to an alias; DuplicateKey when it has it."""
    cursor.execute(
        "INSERT INTO aliases (address, target, domain) VALUES (%s, %s, %s)", (address.encode(), target.encode(), domain)
    )


def delete_txn(cursor: Cursor, address: str, target: str | None) -> int:
    """Remove one target of an alias, or all; how many there were."""
    if target is None:
        return cursor.execute("DELETE FROM aliases WHERE address = %s", (address.encode(),))
    return cursor.execute("DELETE FROM aliases WHERE address = %s AND target = %s", (address.encode(), target.encode()))
