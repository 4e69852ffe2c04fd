"""Domains, and how many accounts each may have. Names are `addresses.normalised_domain` text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor, Row
from lightmail.store.ranges import NameRange
from lightmail.store.sqltext import NOW_US


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain, how many accounts it has, and how many it may have: 0 for any number."""

    id: int
    name: str
    accounts: int
    max_accounts: int
    created_us: int


_DOMAINS: Final = (
    "SELECT d.id, d.name, (SELECT COUNT(*) FROM accounts a WHERE a.domain = d.id AND a.deleted_at = 0),"
    " COALESCE(l.accounts, 0), d.created_at FROM domains d LEFT JOIN domain_limits l ON l.domain = d.id"
)
_BY_ID: Final = f"{_DOMAINS} WHERE d.id = %s"
_BY_NAME: Final = f"{_DOMAINS} WHERE d.name = %s"
_PAGE: Final = f"{_DOMAINS} WHERE d.name >= %s AND d.name < %s ORDER BY d.name LIMIT %s OFFSET %s"
_COUNT: Final = "SELECT COUNT(*) FROM domains WHERE name >= %s AND name < %s"


def _domain(row: Row) -> Domain:
    return Domain(row[0], row[1].decode(), row[2], row[3], row[4])


def by_id_txn(cursor: Cursor, domain: int) -> Domain | None:
    """The domain as it stands now."""
    cursor.execute(_BY_ID, (domain,))
    row = cursor.fetchone()
    return _domain(row) if row else None


def by_name_txn(cursor: Cursor, name: str) -> Domain | None:
    """The domain of that name."""
    cursor.execute(_BY_NAME, (name.encode(),))
    row = cursor.fetchone()
    return _domain(row) if row else None


def page_txn(cursor: Cursor, names: NameRange, limit: int, offset: int = 0) -> list[Domain]:
    """The domains with these names, by name: `limit` of them after the first `offset`."""
    cursor.execute(_PAGE, (*names, limit, offset))
    return [_domain(row) for row in cursor.fetchall()]


def listed_txn(
    cursor: Cursor, names: NameRange, limit: int, offset: int = 0, *, counting: bool = False
) -> tuple[list[Domain], int | None]:
    """A page, and, where it is asked for, how many domains have these names."""
    found = page_txn(cursor, names, limit, offset)
    return found, count_txn(cursor, names) if counting else None


def count_txn(cursor: Cursor, names: NameRange) -> int:
    """How many domains have these names."""
    cursor.execute(_COUNT, names)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


# --- writes ---


def lock_name_txn(cursor: Cursor, name: str) -> int | None:
    """The id of the domain of that name, its row locked: accounts and aliases of a domain come one after another."""
    cursor.execute("SELECT id FROM domains WHERE name = %s FOR UPDATE", (name.encode(),))
    row = cursor.fetchone()
    return int(row[0]) if row else None


def lock_txn(cursor: Cursor, domain: int) -> str | None:
    """The name of the domain of that id, its row locked."""
    cursor.execute("SELECT name FROM domains WHERE id = %s FOR UPDATE", (domain,))
    row = cursor.fetchone()
    return row[0].decode() if row else None


_INSERT: Final = f"INSERT INTO domains (name, created_at) VALUES (%s, {NOW_US})"  # noqa: S608


def insert_txn(cursor: Cursor, name: str) -> int:
    """Add a domain; its id. DuplicateKey when it exists."""
    cursor.execute(_INSERT, (name.encode(),))
    domain = lock_name_txn(cursor, name)
    if domain is None:
        raise LookupError("the domain that was just inserted is not there")
    return domain


def is_in_use_txn(cursor: Cursor, domain: int) -> bool:
    """Whether the domain still has accounts or aliases."""
    cursor.execute(
        "SELECT 1 FROM accounts WHERE domain = %s AND deleted_at = 0 UNION ALL"
        " SELECT 1 FROM aliases WHERE domain = %s LIMIT 1",
        (domain, domain),
    )
    return cursor.fetchone() is not None


def delete_txn(cursor: Cursor, domain: int) -> None:
    """Remove the domain's row, and its limit."""
    cursor.execute("DELETE FROM domain_limits WHERE domain = %s", (domain,))
    cursor.execute("DELETE FROM domains WHERE id = %s", (domain,))


def limit_txn(cursor: Cursor, domain: int, most: int) -> None:
    """Let the domain have `most` accounts, 0 for any number; its row is locked."""
    if not most:
        cursor.execute("DELETE FROM domain_limits WHERE domain = %s", (domain,))
    elif not cursor.execute("UPDATE domain_limits SET accounts = %s WHERE domain = %s", (most, domain)):
        cursor.execute("INSERT INTO domain_limits (domain, accounts) VALUES (%s, %s)", (domain, most))


def is_full_txn(cursor: Cursor, domain: int) -> bool:
    """Whether the domain has as many accounts as it may have; exact where its row is locked."""
    cursor.execute(
        "SELECT 1 FROM domain_limits l WHERE l.domain = %s AND l.accounts <="
        " (SELECT COUNT(*) FROM accounts a WHERE a.domain = l.domain AND a.deleted_at = 0)",
        (domain,),
    )
    return cursor.fetchone() is not None
