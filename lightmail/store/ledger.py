"""What makes writes safe to repeat: ids of operations that were committed, digests of messages that were delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US

# How far the database's clock may be from an object's birth: the collector takes objects that are a day old and have
# no row for orphans, so no row may come later than that; a clock that is wrong by more is an operator's matter.
CLOCK_TOLERANCE_US: Final = 3_600_000_000

_IN_TIME: Final = (
    f" FROM store WHERE id = 1 AND ABS({NOW_US} - %s) <= {CLOCK_TOLERANCE_US}"
    f" AND ABS({NOW_US} - %s) <= {CLOCK_TOLERANCE_US}"
)
_INSERT_OPERATION: Final = f"INSERT INTO operations (id, committed_at) VALUES (%s, {NOW_US})"  # noqa: S608
_INSERT_OPERATION_IN_TIME: Final = f"INSERT INTO operations (id, committed_at) SELECT %s, {NOW_US}{_IN_TIME}"
_BORN_IN_TIME: Final = f"SELECT 1{_IN_TIME}"


def operation_statement(operation: bytes, oldest_us: int | None, newest_us: int | None) -> Statement:
    """The statement that marks an operation as committed, if it will be.

    With the births of the objects it refers to, oldest and newest, it inserts nothing when the database's own clock
    is an hour away from one of them.
    """
    if oldest_us is None or newest_us is None:
        return _INSERT_OPERATION, (operation,)
    return _INSERT_OPERATION_IN_TIME, (operation, oldest_us, newest_us)


def in_time_txn(cursor: Cursor, oldest_us: int, newest_us: int) -> bool:
    """Whether the database's own clock is within an hour of both births: for writes that leave no operation id."""
    cursor.execute(_BORN_IN_TIME, (oldest_us, newest_us))
    return cursor.fetchone() is not None


def settle_txn(cursor: Cursor, operation: bytes) -> None:
    """Insert the id of an operation whose COMMIT got no answer. DuplicateKey: it was committed; else it never will."""
    cursor.execute(_INSERT_OPERATION, (operation,))


# Literal rows of (account, digest) that are not there yet; a racing twin makes the statement fail with DuplicateKey.
_INSERT_DELIVERY: Final = (
    f"INSERT INTO deliveries (account, digest, delivered_at) SELECT %s, %s, {NOW_US} FROM store"  # noqa: S608
    " WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE account = %s AND digest = %s)"
)


def delivery_statement(account: AccountId, digest: bytes) -> Statement:
    """The statement that notes a delivery; it inserts no row when it was noted before."""
    return _INSERT_DELIVERY, (account, digest, account, digest)


def noted_statement(account: AccountId, digest: bytes) -> Statement:
    """The statement that finds a row when a delivery was noted."""
    return "SELECT 1 FROM deliveries WHERE account = %s AND digest = %s", (account, digest)


_OLD: Final = {
    "operations": (
        f"SELECT committed_at FROM operations WHERE committed_at < {NOW_US} - %s ORDER BY committed_at LIMIT %s",  # noqa: S608
        "DELETE FROM operations WHERE committed_at <= %s",
    ),
    "deliveries": (
        f"SELECT delivered_at FROM deliveries WHERE delivered_at < {NOW_US} - %s ORDER BY delivered_at LIMIT %s",  # noqa: S608
        "DELETE FROM deliveries WHERE delivered_at <= %s",
    ),
    "events": (
        f"SELECT happened_at FROM events WHERE happened_at < {NOW_US} - %s ORDER BY happened_at LIMIT %s",  # noqa: S608
        "DELETE FROM events WHERE happened_at <= %s",
    ),
    "web_sessions": (
        f"SELECT expires_at FROM web_sessions WHERE expires_at < {NOW_US} - %s ORDER BY expires_at LIMIT %s",  # noqa: S608
        "DELETE FROM web_sessions WHERE expires_at <= %s",
    ),
    "webhook failed": (
        f"SELECT failed_at FROM webhook_queue WHERE failed_at > 0 AND failed_at < {NOW_US} - %s"  # noqa: S608
        " ORDER BY failed_at LIMIT %s",
        "DELETE FROM webhook_queue WHERE failed_at > 0 AND failed_at <= %s",
    ),
    "webhook waiting": (
        f"SELECT next_at FROM webhook_queue WHERE failed_at = 0 AND next_at < {NOW_US} - %s"  # noqa: S608
        " ORDER BY next_at LIMIT %s",
        "DELETE FROM webhook_queue WHERE failed_at = 0 AND next_at <= %s",
    ),
    "audit_log": (
        f"SELECT happened_at FROM audit_log WHERE happened_at < {NOW_US} - %s ORDER BY happened_at LIMIT %s",  # noqa: S608
        "DELETE FROM audit_log WHERE happened_at <= %s",
    ),
    "revoked tokens": (
        f"SELECT revoked_at FROM api_tokens WHERE revoked_at > 0 AND revoked_at < {NOW_US} - %s"  # noqa: S608
        " ORDER BY revoked_at LIMIT %s",
        "DELETE FROM api_tokens WHERE revoked_at > 0 AND revoked_at <= %s",
    ),
    "session_ends": (
        f"SELECT requested_at FROM session_ends WHERE requested_at < {NOW_US} - %s ORDER BY requested_at LIMIT %s",  # noqa: S608
        "DELETE FROM session_ends WHERE requested_at <= %s",
    ),
}


def forget_txn(cursor: Cursor, table: str, older_than_us: int, limit: int) -> int:
    """Delete about `limit` rows of a kind above an age, the oldest; how many. The kinds are those of `_OLD`."""
    find, delete = _OLD[table]
    cursor.execute(find, (older_than_us, limit))
    rows: Sequence[Row] = cursor.fetchall()
    return cursor.execute(delete, (rows[-1][0],)) if rows else 0
