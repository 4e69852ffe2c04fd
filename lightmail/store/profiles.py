"""Accounts as administrators see them: settings, usage and domain together; one by one, and by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Row
from lightmail.store.ranges import NameRange


@dataclass(frozen=True, slots=True)
class Profile:
    """An account with what it uses; quotas of 0 mean none. `domain` is an id."""

    id: AccountId
    address: str
    domain: int
    full_name: str
    active: bool
    quota_octets: int
    quota_messages: int
    used_octets: int
    used_messages: int
    created_us: int


_PROFILE: Final = (
    "SELECT a.id, a.address, a.domain, a.full_name, a.active, a.quota_octets, a.quota_messages,"
    " COALESCE(u.octets, 0), COALESCE(u.messages, 0), a.created_at FROM"
)
_USAGE: Final = "LEFT JOIN account_usage u ON u.account = a.id"
_BY_ID: Final = f"{_PROFILE} accounts a {_USAGE} WHERE a.id = %s AND a.deleted_at = 0"
_BY_ADDRESS: Final = f"{_PROFILE} accounts a {_USAGE} WHERE a.address = %s AND a.deleted_at = 0"
_RANGE: Final = "address >= %s AND address < %s AND deleted_at = 0"
_OF_ALL: Final = f"FROM accounts WHERE {_RANGE}"
_OF_DOMAIN: Final = f"FROM accounts WHERE domain = %s AND {_RANGE}"
# The ids of a page are found in an index alone, whatever comes before it; rows are read for the page only.
_PAGE: Final = (
    f"{_PROFILE} (SELECT id {{rows}} ORDER BY address LIMIT %s OFFSET %s) p"
    f" JOIN accounts a ON a.id = p.id {_USAGE} ORDER BY a.address"
)
_PAGE_OF_ALL: Final = _PAGE.format(rows=_OF_ALL)
_PAGE_OF_DOMAIN: Final = _PAGE.format(rows=_OF_DOMAIN)
_COUNT_OF_ALL: Final = f"SELECT COUNT(*) {_OF_ALL}"
_COUNT_OF_DOMAIN: Final = f"SELECT COUNT(*) {_OF_DOMAIN}"


def _profile(row: Row) -> Profile:
    return Profile(
        AccountId(row[0]),
        row[1].decode(),
        row[2],
        row[3].decode(),
        bool(row[4]),
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
    )


def by_id_txn(cursor: Cursor, account: AccountId) -> Profile | None:
    """The account of that id, unless it is deleted."""
    cursor.execute(_BY_ID, (account,))
    row = cursor.fetchone()
    return _profile(row) if row else None


def by_address_txn(cursor: Cursor, address: str) -> Profile | None:
    """The account of that address."""
    cursor.execute(_BY_ADDRESS, (address.encode(),))
    row = cursor.fetchone()
    return _profile(row) if row else None


def page_txn(cursor: Cursor, domain: int | None, names: NameRange, limit: int, offset: int = 0) -> list[Profile]:
    """Accounts with these addresses, by address, of one domain or of all: `limit` of them after the first `offset`."""
    if domain is None:
        cursor.execute(_PAGE_OF_ALL, (*names, limit, offset))
    else:
        cursor.execute(_PAGE_OF_DOMAIN, (domain, *names, limit, offset))
    return [_profile(row) for row in cursor.fetchall()]


def listed_txn(
    cursor: Cursor, domain: int | None, names: NameRange, limit: int, offset: int = 0, *, counting: bool = False
) -> tuple[list[Profile], int | None]:
    """A page, and, where it is asked for, how many accounts have these addresses."""
    found = page_txn(cursor, domain, names, limit, offset)
    return found, count_txn(cursor, domain, names) if counting else None


def count_txn(cursor: Cursor, domain: int | None, names: NameRange) -> int:
    """How many accounts have these addresses, in one domain or in all."""
    if domain is None:
        cursor.execute(_COUNT_OF_ALL, names)
    else:
        cursor.execute(_COUNT_OF_DOMAIN, (domain, *names))
    row = cursor.fetchone()
    return int(row[0]) if row else 0
