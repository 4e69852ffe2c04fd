"""Forgetting what nobody asks for any more.

Operation ids and wishes to end sessions after a day, delivery digests after a week; events, the progress of a
verification that nobody took up again, jobs that have ended and tokens that were revoked after 30 days; sessions of
browsers a day after their end; webhook events two weeks after they were given up, or a month after anybody should have
told of them; and the audit log after two years.

The collector does it where it runs (`jobs.garbage`); a server without one has `Housekeeping`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from lightmail.rounds import Rounds
from lightmail.store import jobs, ledger, progress
from lightmail.store.database import Database

_DAY_US: Final = 86_400_000_000
OPERATIONS_AGE_US: Final = _DAY_US
DELIVERIES_AGE_US: Final = 7 * _DAY_US
EVENTS_AGE_US: Final = 30 * _DAY_US
SESSION_ENDS_AGE_US: Final = _DAY_US
WEB_SESSIONS_AGE_US: Final = _DAY_US
AUDIT_AGE_US: Final = 731 * _DAY_US
TOKENS_AGE_US: Final = 30 * _DAY_US
WEBHOOK_FAILED_AGE_US: Final = 14 * _DAY_US
WEBHOOK_WAITING_AGE_US: Final = 30 * _DAY_US
PROGRESS_AGE_US: Final = 30 * _DAY_US
JOBS_AGE_US: Final = 30 * _DAY_US
# Jobs that note their progress so that they can be taken up; others go on for ever, or clean up themselves.
_RESUMABLE: Final = "verify"
_AGES: Final = (
    ("operations", OPERATIONS_AGE_US),
    ("deliveries", DELIVERIES_AGE_US),
    ("events", EVENTS_AGE_US),
    ("session_ends", SESSION_ENDS_AGE_US),
    ("web_sessions", WEB_SESSIONS_AGE_US),
    ("audit_log", AUDIT_AGE_US),
    ("revoked tokens", TOKENS_AGE_US),
    ("webhook failed", WEBHOOK_FAILED_AGE_US),
    ("webhook waiting", WEBHOOK_WAITING_AGE_US),
)
# Small transactions: no writer waits long for one.
_AT_ONCE: Final = 1000
_INTERVAL_SECONDS: Final = 600.0
# What a round cut off here has deleted stays deleted; the next goes on from there.
_DEADLINE_SECONDS: Final = 600.0


async def forget(database: Database) -> int:
    """Delete what is too old; how many rows. Safe to run anywhere, any time, by several at once. Raises Unavailable."""
    total = await database.run("forget", progress.forget_txn, _RESUMABLE, PROGRESS_AGE_US)
    total += await database.run("forget", jobs.forget_txn, JOBS_AGE_US)
    for table, age_us in _AGES:
        while True:
            count = await database.run("forget", ledger.forget_txn, table, age_us, _AT_ONCE)
            total += count
            if count < _AT_ONCE:
                break
    return total


class Housekeeping(Rounds):
    """Calls `forget` every ten minutes, the first time ten minutes after it starts."""

    def __init__(self, database: Database, *, reactor: Any) -> None:
        super().__init__(
            partial(forget, database),
            reactor=reactor,
            interval_seconds=_INTERVAL_SECONDS,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="old operation ids, digests and events cannot be forgotten",
            recovery="old operation ids, digests and events are forgotten again",
        )
