"""Writing down what a process did and had, and forgetting it in time."""

from __future__ import annotations

from collections.abc import Sequence

from lightmail.store import samples
from lightmail.store.database import Database
from lightmail.store.samples import Sample


async def write(database: Database, process: bytes, said: Sequence[Sample]) -> None:
    """Note what the process says of its spans of time. Raises Unavailable; what is said later makes up for it."""
    await database.run("samples", samples.write_txn, process, said)


async def forget(database: Database) -> int:
    """Delete what is shown no longer; how many rows. Raises Unavailable."""
    return await database.run("samples", samples.forget_txn)
