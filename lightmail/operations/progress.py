"""What background jobs write down about how far they are. What it says may be behind, so it may be written twice."""

from __future__ import annotations

from typing import Any

from lightmail.store import progress
from lightmail.store.database import Database


async def write(database: Database, name: str, state: dict[str, Any]) -> None:
    """Write down the `state` of the job `name`, which JSON can hold, in place of what was there. Raises Unavailable."""
    await database.run("progress", progress.write_txn, name, state)


async def clear(database: Database, name: str) -> None:
    """Forget the job: it begins anew. Raises Unavailable."""
    await database.run("progress", progress.clear_txn, name)
