"""Removing what calendars leave behind, and mending what is kept of their objects: for the collector and for verify."""

from __future__ import annotations

from collections.abc import Sequence

from lightmail.store import calendar_objects
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.database import Database
from lightmail.store.faults import Conflict, DuplicateKey


async def purge(database: Database, until_us: int, limit: int) -> int:
    """Remove up to `limit` events that were deleted at `until_us` (Unix us) or before; how many. Raises Unavailable."""
    if not await database.read("purge-events", calendar_objects.is_due_txn, until_us):
        return 0
    return await database.run("purge-events", calendar_objects.purge_txn, until_us, limit)


async def forget(database: Database, keys: Sequence[str]) -> None:
    """Remove the rows of dropped objects that have been deleted. Raises Unavailable."""
    if keys:
        await database.run("forget-events", calendar_objects.forget_txn, keys)


async def drop(database: Database, key: str) -> None:
    """Leave an object to the collector that no event refers to, noted or not. Raises Unavailable."""
    await database.run("drop-event", _script_txn, calendar_objects.drop_unreferred_statements(key))


async def keep(database: Database, key: str) -> None:
    """Let an object be one that is referred to, where an event does. Raises Unavailable."""
    await database.run("keep-event", _script_txn, calendar_objects.keep_statements(key))


def _script_txn(cursor: Cursor, statements: Sequence[Statement]) -> None:
    try:
        cursor.script(statements)
    except DuplicateKey:
        # Somebody else notes it at this moment.
        raise Conflict("twin") from None
