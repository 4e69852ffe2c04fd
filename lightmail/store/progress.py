"""What background jobs write down about how far they are (table `job_progress`)."""

from __future__ import annotations

import json
from typing import Any, Final

from lightmail.store.cursor import Cursor
from lightmail.store.faults import Conflict, DuplicateKey
from lightmail.store.sqltext import NOW_US

_UPDATE: Final = f"UPDATE job_progress SET state = %s, updated_at = {NOW_US} WHERE name = %s"  # noqa: S608
_INSERT: Final = f"INSERT INTO job_progress (name, state, updated_at) VALUES (%s, %s, {NOW_US})"  # noqa: S608


def read_txn(cursor: Cursor, name: str) -> dict[str, Any] | None:
    """What the job `name` wrote last, or None."""
    cursor.execute("SELECT state FROM job_progress WHERE name = %s", (name.encode(),))
    row = cursor.fetchone()
    if row is None:
        return None
    state: dict[str, Any] = json.loads(row[0])
    return state


def write_txn(cursor: Cursor, name: str, state: dict[str, Any]) -> None:
    """Write down `state`, which JSON can hold, in place of what was there. Raises Conflict."""
    text = json.dumps(state, separators=(",", ":")).encode()
    cursor.execute(_UPDATE, (text, name.encode()))
    if cursor.rowcount == 0:
        try:
            cursor.execute(_INSERT, (name.encode(), text))
        except DuplicateKey:
            # Another process writes the first state at this moment: this one's comes after it.
            raise Conflict("twin") from None


def clear_txn(cursor: Cursor, name: str) -> None:
    """Forget the job: it begins anew."""
    cursor.execute("DELETE FROM job_progress WHERE name = %s", (name.encode(),))


_FORGET: Final = f"DELETE FROM job_progress WHERE name >= %s AND name < %s AND updated_at < {NOW_US} - %s"  # noqa: S608


def forget_txn(cursor: Cursor, family: str, age_us: int) -> int:
    """Forget the jobs called ``family/…`` that wrote nothing for so long; how many."""
    # "0" is what comes after "/".
    return cursor.execute(_FORGET, (f"{family}/".encode(), f"{family}0".encode(), age_us))
