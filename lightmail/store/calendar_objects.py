"""The objects that hold the texts of calendars' events (table `calendar_objects`).

An object has a row from before it is put, dropped; the event that comes to refer to it takes it up in its transaction.
What no event refers to stays dropped, and the collector deletes it a day later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.sqltext import NOW_US, padded, pieces, with_list

_RESERVE: Final = (
    "INSERT INTO calendar_objects (object_key, account, octets, dropped_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, {NOW_US})"
)
_TAKE_UP: Final = "UPDATE calendar_objects SET dropped_at = 0 WHERE object_key = %s AND dropped_at > 0"
_DROP: Final = f"UPDATE calendar_objects SET dropped_at = {NOW_US} WHERE object_key = %s AND dropped_at = 0"  # noqa: S608


def reserve_txn(cursor: Cursor, key: str, account: AccountId, octets: int) -> None:
    """Note an object that is about to be put. DuplicateKey when it is noted."""
    cursor.execute(_RESERVE, (key.encode(), account, octets))


def take_up_txn(cursor: Cursor, key: str) -> bool:
    """Let an object be one that an event refers to; False when the collector has taken it."""
    return cursor.execute(_TAKE_UP, (key.encode(),)) == 1


def drop_statement(key: str) -> Statement:
    """The statement that leaves an object to the collector."""
    return _DROP, (key.encode(),)


# --- the collector's share ---

_DROPPED: Final = (
    "SELECT object_key, octets FROM calendar_objects WHERE dropped_at > 0 AND dropped_at <= %s"
    " ORDER BY dropped_at LIMIT %s"
)
_FORGET: Final = "DELETE FROM calendar_objects WHERE dropped_at > 0 AND object_key IN ({list})"
_EXPIRED: Final = (
    "SELECT id, object_key FROM calendar_events WHERE deleted_at > 0 AND deleted_at <= %s"
    " ORDER BY deleted_at LIMIT %s FOR UPDATE"
)
_REMOVE: Final = "DELETE FROM calendar_events WHERE id IN ({list})"
_DROP_LISTED: Final = f"UPDATE calendar_objects SET dropped_at = {NOW_US} WHERE object_key IN ({{list}})"  # noqa: S608
_REMOVE_CALENDARS: Final = (
    "DELETE FROM calendars WHERE deleted_at > 0 AND deleted_at <= %s"
    " AND NOT EXISTS (SELECT 1 FROM calendar_events e WHERE e.calendar = calendars.id)"
)


def dropped_txn(cursor: Cursor, until_us: int, limit: int) -> list[tuple[str, int]]:
    """Objects that were dropped at `until_us` (Unix us) or before, the oldest first: (key, octets)."""
    cursor.execute(_DROPPED, (until_us, limit))
    return [(bytes(row[0]).decode(), row[1]) for row in cursor.fetchall()]


def forget_txn(cursor: Cursor, keys: Sequence[str]) -> None:
    """Remove the rows of dropped objects that are no longer in the store."""
    listed = [padded(piece) for piece in pieces([key.encode() for key in keys])]
    cursor.script([(with_list(_FORGET, len(some)), some) for some in listed])


_DUE: Final = (
    "SELECT 1 FROM calendar_events WHERE deleted_at > 0 AND deleted_at <= %s UNION ALL"
    " SELECT 1 FROM calendars WHERE deleted_at > 0 AND deleted_at <= %s LIMIT 1"
)


def is_due_txn(cursor: Cursor, until_us: int) -> bool:
    """Whether an event or a calendar was deleted at `until_us` or before."""
    cursor.execute(_DUE, (until_us, until_us))
    return cursor.fetchone() is not None


def purge_txn(cursor: Cursor, until_us: int, limit: int) -> int:
    """Remove events that were deleted at `until_us` or before, their objects dropped; and calendars without any."""
    cursor.execute(_EXPIRED, (until_us, limit))
    rows = cursor.fetchall()
    statements: list[Statement] = []
    for piece in pieces(sorted(rows)):
        ids, keys = padded([row[0] for row in piece]), padded([row[1] for row in piece])
        statements += [(with_list(_REMOVE, len(ids)), ids), (with_list(_DROP_LISTED, len(keys)), keys)]
    cursor.script([*statements, (_REMOVE_CALENDARS, (until_us,))])
    return len(rows)


_OF_DEAD_ACCOUNT: Final = (
    f"UPDATE calendar_objects SET dropped_at = {NOW_US} WHERE account = %s AND dropped_at = 0",  # noqa: S608
    "DELETE FROM calendar_events WHERE account = %s",
    "DELETE FROM calendars WHERE account = %s",
)


def remove_account_statements(account: AccountId) -> list[Statement]:
    """The statements that remove the calendars of an account that is purged."""
    return [(sql, (account,)) for sql in _OF_DEAD_ACCOUNT]


# --- for `lightmail verify` ---

_KEYS: Final = (
    "SELECT o.object_key, o.dropped_at, e.id, e.account, e.sha256, e.octets FROM calendar_objects o"
    " LEFT JOIN calendar_events e ON e.object_key = o.object_key"
    " WHERE o.object_key > %s AND o.object_key <= %s ORDER BY o.object_key LIMIT %s"
)
_KNOWN: Final = "SELECT object_key FROM calendar_objects WHERE object_key IN ({list})"


@dataclass(frozen=True, slots=True)
class Kept:
    """An object's row, and the event that refers to it, if one does."""

    key: str
    dropped_us: int
    event: int | None
    account: AccountId | None
    sha256: bytes
    octets: int


def kept_txn(cursor: Cursor, after: str, last: str, limit: int) -> list[Kept]:
    """The rows of objects with keys above `after` up to `last`, by key."""
    cursor.execute(_KEYS, (after.encode(), last.encode(), limit))
    return [
        Kept(
            bytes(row[0]).decode(),
            row[1],
            row[2],
            None if row[3] is None else AccountId(row[3]),
            bytes(row[4] or b""),
            row[5] or 0,
        )
        for row in cursor.fetchall()
    ]


def known_txn(cursor: Cursor, keys: Sequence[str]) -> set[str]:
    """Which of the keys have a row."""
    found: set[str] = set()
    for piece in pieces([key.encode() for key in keys]):
        listed = padded(piece)
        cursor.execute(with_list(_KNOWN, len(listed)), listed)
        found.update(bytes(row[0]).decode() for row in cursor.fetchall())
    return found


_DROP_UNREFERRED: Final = (
    f"UPDATE calendar_objects SET dropped_at = {NOW_US} WHERE object_key = %s AND dropped_at = 0"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM calendar_events e WHERE e.object_key = calendar_objects.object_key)"
)
_RESERVE_UNKNOWN: Final = (
    "INSERT INTO calendar_objects (object_key, account, octets, dropped_at)"  # noqa: S608
    f" SELECT %s, 0, 0, {NOW_US} FROM store WHERE id = 1"
    " AND NOT EXISTS (SELECT 1 FROM calendar_objects o WHERE o.object_key = %s)"
)
_KEEP: Final = (
    "UPDATE calendar_objects SET dropped_at = 0 WHERE object_key = %s AND dropped_at > 0"
    " AND EXISTS (SELECT 1 FROM calendar_events e WHERE e.object_key = calendar_objects.object_key)"
)
_KEEP_UNKNOWN: Final = (
    "INSERT INTO calendar_objects (object_key, account, octets, dropped_at)"
    " SELECT MIN(e.object_key), MIN(e.account), MIN(e.octets), 0 FROM calendar_events e WHERE e.object_key = %s"
    " AND NOT EXISTS (SELECT 1 FROM calendar_objects o WHERE o.object_key = %s) HAVING COUNT(*) > 0"
)


def drop_unreferred_statements(key: str) -> list[Statement]:
    """The statements that leave an object to the collector which no event refers to, noted or not."""
    name = key.encode()
    return [(_DROP_UNREFERRED, (name,)), (_RESERVE_UNKNOWN, (name, name))]


def keep_statements(key: str) -> list[Statement]:
    """The statements that let an object be one that an event refers to, where one does."""
    name = key.encode()
    return [(_KEEP, (name,)), (_KEEP_UNKNOWN, (name, name))]
