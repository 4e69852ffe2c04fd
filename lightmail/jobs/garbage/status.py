"""What the collector is at, for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightmail.config import GarbageConfig
from lightmail.jobs.garbage.collector import LAST_PASS
from lightmail.jobs.garbage.objects import SWEEP
from lightmail.jobs.garbage.orphans import ORPHANS
from lightmail.jobs.garbage.rows import KEYWORDS
from lightmail.jobs.garbage.step import Moment
from lightmail.store import collection, progress
from lightmail.store.collection import Backlog
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database


@dataclass(frozen=True, slots=True)
class Status:
    """`last_pass` is what the last pass of any collector wrote down, or None; the rounds are as their steps wrote them,
    an `after` of None meaning that the round has ended. `backlog` counts up to `collection.COUNT_BOUND`."""

    backlog: Backlog
    last_pass: dict[str, Any] | None
    sweep: dict[str, Any] | None
    orphans: dict[str, Any] | None
    keywords: dict[str, Any] | None


async def read_status(database: Database, config: GarbageConfig) -> Status:
    """The collector's backlog and cursors as they stand. Raises Unavailable."""
    return await database.read("gc-status", _status_txn, config)


def _status_txn(cursor: Cursor, config: GarbageConfig) -> Status:
    moment = Moment.of(config, collection.clock_txn(cursor))
    backlog = collection.backlog_txn(cursor, moment.undelete_us, moment.grace_us)
    states = [progress.read_txn(cursor, name) for name in (LAST_PASS, SWEEP, ORPHANS, KEYWORDS)]
    return Status(backlog, *states)
