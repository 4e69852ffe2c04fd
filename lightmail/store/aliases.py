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


def list_txn(cursor: Cursor, domain: str | None = None) -> list[Alias]:
    """Every alias, one row per target; of one domain, or of all."""
    cursor.execute(
        "SELECT l.address, l.target FROM aliases l JOIN domains d ON d.id = l.domain"
        " WHERE %s = '' OR d.name = %s ORDER BY l.address, l.target",
        ("" if domain is None else "one", (domain or "").encode()),
    )
    return [Alias(row[0].decode(), row[1].decode()) for row in cursor.fetchall()]


_RANGE: Final = "address >= %s AND address < %s"
# Which rows are meant: those of all domains, or of one.
_ALL: Final = f"FROM aliases WHERE {_RANGE}"
_OF_DOMAIN: Final = f"FROM aliases WHERE domain = %s AND {_RANGE}"
_ORDER: Final = " AND (address > %s OR target > %s) ORDER BY address, target LIMIT %s OFFSET %s"
_PAGE_OF_ALL: Final = f"SELECT address, target {_ALL}{_ORDER}"
_PAGE_OF_DOMAIN: Final = f"SELECT address, target {_OF_DOMAIN}{_ORDER}"
_COUNT_OF_ALL: Final = f"SELECT COUNT(*) {_ALL}"
_COUNT_OF_DOMAIN: Final = f"SELECT COUNT(*) {_OF_DOMAIN}"


def page_txn(
    cursor: Cursor, domain: int | None, names: NameRange, after: Alias | None, limit: int, offset: int = 0
) -> list[Alias]:
    """The targets of aliases with these addresses, by address and target, of one domain or of all: `limit` of them,
    behind `after` where it is given and else after the first `offset`."""
    last = (b"", b"") if after is None else (after.address.encode(), after.target.encode())
    low, high = max(names.low, last[0]), names.high
    if domain is None:
        cursor.execute(_PAGE_OF_ALL, (low, high, *last, limit, offset))
    else:
        cursor.execute(_PAGE_OF_DOMAIN, (domain, low, high, *last, limit, offset))
    return [Alias(row[0].decode(), row[1].decode()) for row in cursor.fetchall()]


def count_txn(cursor: Cursor, domain: int | None, names: NameRange) -> int:
    """How many targets aliases with these addresses have, in one domain or in all."""
    if domain is None:
        cursor.execute(_COUNT_OF_ALL, names)
    else:
        cursor.execute(_COUNT_OF_DOMAIN, (domain, *names))
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
