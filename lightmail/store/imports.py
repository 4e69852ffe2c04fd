"""What an import has brought already, in `job_progress`: pages of keys, each at most a few ten KiB.

A page is written by the transaction that stores the messages it names, and only where it stands as its writer knew it:
so neither a crash nor a second import at the same time brings a message twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey
from lightmail.store.sqltext import NOW_US

FAMILY: Final = "import"


@dataclass(frozen=True, slots=True)
class Page:
    """What a page `name` is to hold. `before` is what it holds now; None: there is none of that name."""

    name: str
    before: bytes | None
    after: bytes


def page_name(source: str, number: int) -> str:
    """What page `number` of a source is called; names are in the order of numbers."""
    return f"{FAMILY}/{source}/{number:06d}"


_PAGES: Final = "SELECT state FROM job_progress WHERE name >= %s AND name < %s ORDER BY name"
_FORGET: Final = "DELETE FROM job_progress WHERE name >= %s AND name < %s"


def pages_txn(cursor: Cursor, source: str) -> list[bytes]:
    """The pages of a source, in their order."""
    cursor.execute(_PAGES, _bounds(source))
    return [bytes(row[0]) for row in cursor.fetchall()]


def forget_txn(cursor: Cursor, source: str) -> None:
    """Remove all pages of a source."""
    cursor.execute(_FORGET, _bounds(source))


def _bounds(source: str) -> tuple[bytes, bytes]:
    # "0" is what comes after "/".
    return f"{FAMILY}/{source}/".encode(), f"{FAMILY}/{source}0".encode()


_CHANGE: Final = f"UPDATE job_progress SET state = %s, updated_at = {NOW_US} WHERE name = %s AND state = %s"  # noqa: S608
_INSERT: Final = f"INSERT INTO job_progress (name, state, updated_at) VALUES (%s, %s, {NOW_US})"  # noqa: S608


def write_page_txn(cursor: Cursor, page: Page) -> bool:
    """Write a page; False where it is not as its writer knew it, for somebody else wrote there."""
    name = page.name.encode()
    if page.before is not None:
        return cursor.execute(_CHANGE, (page.after, name, page.before)) == 1
    try:
        cursor.execute(_INSERT, (name, page.after))
    except DuplicateKey:
        return False
    return True
