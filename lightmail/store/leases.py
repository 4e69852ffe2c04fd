"""Leases: one holder at a time of a name, for so long, with a fence that tells an old holder from the new one."""

from __future__ import annotations

from typing import Final

from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey
from lightmail.store.sqltext import NOW_US

_TAKE_OVER: Final = (
    f"UPDATE leases SET owner = %s, fence = fence + 1, expires_at = {NOW_US} + %s"  # noqa: S608
    f" WHERE name = %s AND expires_at <= {NOW_US}"
)
_TAKE: Final = (
    f"INSERT INTO leases (name, owner, fence, expires_at) SELECT %s, %s, 1, {NOW_US} + %s FROM store"  # noqa: S608
    " WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM leases WHERE name = %s)"
)
_RENEW: Final = (
    f"UPDATE leases SET expires_at = {NOW_US} + %s"  # noqa: S608
    f" WHERE name = %s AND owner = %s AND fence = %s AND expires_at > {NOW_US}"
)
# The row stays: its fence must never be given again.
_RELEASE: Final = "UPDATE leases SET expires_at = 0 WHERE name = %s AND owner = %s AND fence = %s"


def acquire_txn(cursor: Cursor, name: str, owner: str, seconds: float) -> int | None:
    """Take the lease of `name` for `seconds`: its fence, higher than any before; None when somebody holds it."""
    key, holder, length = name.encode(), owner.encode(), int(seconds * 1_000_000)
    try:
        took_over, took, found = cursor.script(
            [
                (_TAKE_OVER, (holder, length, key)),
                (_TAKE, (key, holder, length, key)),
                ("SELECT fence FROM leases WHERE name = %s", (key,)),
            ]
        )
    except DuplicateKey:
        return None
    return int(found.rows[0][0]) if took_over.rowcount or took.rowcount else None


def renew_txn(cursor: Cursor, name: str, owner: str, fence: int, seconds: float) -> bool:
    """Hold on to a lease for `seconds` from now; False when it has run out or passed to another."""
    return cursor.execute(_RENEW, (int(seconds * 1_000_000), name.encode(), owner.encode(), fence)) == 1


def release_txn(cursor: Cursor, name: str, owner: str, fence: int) -> None:
    """Give a lease back; nothing happens when it is another's by now."""
    cursor.execute(_RELEASE, (name.encode(), owner.encode(), fence))


def lock_txn(cursor: Cursor, name: str, owner: str, fence: int) -> bool:
    """Lock the lease's row until the transaction ends; False when it passed to another.

    A lease that ran out and that nobody took is still good: whoever wants it waits for this transaction.
    """
    cursor.execute(
        "SELECT fence FROM leases WHERE name = %s AND owner = %s AND fence = %s FOR UPDATE",
        (name.encode(), owner.encode(), fence),
    )
    return cursor.fetchone() is not None
