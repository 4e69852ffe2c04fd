"""Long work that administrators asked for: a row a job (table `jobs`), which one server process at a time works on.

A row is queued, then running, then done, failed, cancelled or interrupted. Who runs it says so every few seconds; where
nobody did for long, whoever looks at the table calls it interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US

QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
STATES: Final = (QUEUED, RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED)
# As parameters: the column holds octets, which SQLite finds equal to no text.
_UNENDED: Final = (QUEUED.encode(), RUNNING.encode())
_ENDED: Final = (DONE.encode(), FAILED.encode(), CANCELLED.encode(), INTERRUPTED.encode())


@dataclass(frozen=True, slots=True)
class Job:
    """A row. `domain` is 0 where the job is the whole server's; times are Unix us UTC, 0 where there is none.

    `process` runs it or, queued, is the only one that may.
    """

    id: int
    reference: bytes
    kind: str
    domain: int
    requested_by: str
    origin: str
    arguments: Mapping[str, Any]
    state: str
    process: bytes | None
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    created_us: int
    started_us: int
    finished_us: int
    heartbeat_us: int
    cancel_requested_us: int

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in (QUEUED, RUNNING)


_COLUMNS: Final = (
    "id, reference, kind, domain, requested_by, origin, arguments, state, process, progress, result,"
    " created_at, started_at, finished_at, heartbeat_at, cancel_requested_at"
)


def _job(row: Row) -> Job:
    return Job(
        row[0],
        bytes(row[1]),
        bytes(row[2]).decode(),
        row[3],
        bytes(row[4]).decode("utf-8", "replace"),
        bytes(row[5]).decode("ascii", "replace"),
        json.loads(row[6]),
        bytes(row[7]).decode(),
        None if row[8] is None else bytes(row[8]),
        json.loads(row[9]),
        json.loads(row[10]),
        *row[11:],
    )


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


# --- reading ---

_BY_ID: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id = %s"  # noqa: S608
_BY_REFERENCE: Final = "SELECT id FROM jobs WHERE reference = %s"
_CHOSEN: Final = "(%s = '' OR state = %s) AND (%s = '' OR kind = %s) AND (%s = 1 OR domain = %s)"
_LIST: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id < %s AND {_CHOSEN} ORDER BY id DESC LIMIT %s OFFSET %s"  # noqa: S608
_COUNT: Final = f"SELECT COUNT(*) FROM jobs WHERE {_CHOSEN}"  # noqa: S608
_OPEN: Final = f"SELECT {_COLUMNS} FROM jobs WHERE state IN (%s, %s) ORDER BY id LIMIT %s"  # noqa: S608
_QUEUED: Final = "SELECT COUNT(*) FROM jobs WHERE state = %s"
_LAST_ID: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs are meant: a state, a kind, a domain; an empty text and None mean all."""

    state: str = ""
    kind: str = ""
    domain: int | None = None

    @property
    def params(self) -> tuple[Any, ...]:
        """The parameters of the condition."""
        # The first of each pair is compared with a text of SQL, the second with a column of octets.
        of_all = int(self.domain is None)
        return (self.state, self.state.encode(), self.kind, self.kind.encode(), of_all, self.domain or 0)


def by_id_txn(cursor: Cursor, job: int) -> Job | None:
    """The job as it stands now."""
    cursor.execute(_BY_ID, (job,))
    row = cursor.fetchone()
    return None if row is None else _job(row)


def by_reference_txn(cursor: Cursor, reference: bytes) -> int | None:
    """The id of the job with that reference."""
    cursor.execute(_BY_REFERENCE, (reference,))
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def list_txn(cursor: Cursor, filters: Filters, before: int | None, limit: int, offset: int = 0) -> list[Job]:
    """Jobs, the newest first, below the id `before` where it is given."""
    last = _LAST_ID if before is None else before
    cursor.execute(_LIST, (last, *filters.params, limit, offset))
    return [_job(row) for row in cursor.fetchall()]


def count_txn(cursor: Cursor, filters: Filters) -> int:
    """How many jobs there are."""
    cursor.execute(_COUNT, filters.params)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def open_txn(cursor: Cursor, limit: int) -> list[Job]:
    """Jobs that are queued or running, the oldest first."""
    cursor.execute(_OPEN, (*_UNENDED, limit))
    return [_job(row) for row in cursor.fetchall()]


def queued_txn(cursor: Cursor) -> int:
    """How many jobs are queued."""
    cursor.execute(_QUEUED, (QUEUED.encode(),))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


# --- writing ---

_INSERT: Final = (
    "INSERT INTO jobs (reference, kind, domain, requested_by, origin, arguments, state, process, progress, result,"  # noqa: S608
    f" created_at, heartbeat_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {NOW_US}, {NOW_US})"
)


def insert_statement(
    reference: bytes,
    kind: str,
    domain: int,
    requested_by: str,
    origin: str,
    arguments: Mapping[str, Any],
    process: bytes | None,
) -> Statement:
    """The statement that queues a job, for `process` alone where that is given."""
    names = (reference, kind.encode(), domain, requested_by.encode("utf-8", "replace")[:320], origin.encode()[:64])
    return _INSERT, (*names, _text(arguments), QUEUED.encode(), process, b"{}", b"{}")


_CLAIM: Final = (
    f"UPDATE jobs SET state = %s, process = %s, started_at = {NOW_US}, heartbeat_at = {NOW_US}"  # noqa: S608
    " WHERE id = %s AND state = %s AND cancel_requested_at = 0 AND (process IS NULL OR process = %s)"
)


def claim_txn(cursor: Cursor, job: int, process: bytes) -> bool:
    """Begin to run a queued job; False when another process has begun, or it was cancelled."""
    return cursor.execute(_CLAIM, (RUNNING.encode(), process, job, QUEUED.encode(), process)) == 1


_BEAT: Final = (
    f"UPDATE jobs SET heartbeat_at = {NOW_US}, progress = %s"  # noqa: S608
    " WHERE id = %s AND process = %s AND state = %s"
)
_HOLD: Final = f"UPDATE jobs SET heartbeat_at = {NOW_US} WHERE id = %s AND process = %s AND state = %s"  # noqa: S608
_WANTED: Final = "SELECT id FROM jobs WHERE process = %s AND state = %s AND cancel_requested_at > 0"


@dataclass(frozen=True, slots=True)
class Beat:
    """What came of saying that jobs are alive: those that are no longer this process's, and those to be cancelled."""

    lost: frozenset[int]
    unwanted: frozenset[int]


def beat_txn(cursor: Cursor, process: bytes, running: Mapping[int, Mapping[str, Any]], held: Sequence[int]) -> Beat:
    """Say that `process` is alive and how far its `running` jobs are; `held` are queued ones that it alone can run."""
    statements: list[Statement] = [
        (_BEAT, (_text(running[job]), job, process, RUNNING.encode())) for job in sorted(running)
    ]
    statements += [(_HOLD, (job, process, QUEUED.encode())) for job in sorted(held)]
    *beats, wanted = cursor.script([*statements, (_WANTED, (process, RUNNING.encode()))])
    lost = {job for job, beat in zip(sorted(running), beats, strict=False) if beat.rowcount == 0}
    return Beat(frozenset(lost), frozenset(int(row[0]) for row in wanted.rows))


_END: Final = (
    f"UPDATE jobs SET state = %s, progress = %s, result = %s, finished_at = {NOW_US}, heartbeat_at = {NOW_US}"  # noqa: S608
    " WHERE id = %s AND process = %s AND state = %s"
)


def end_txn(
    cursor: Cursor, job: int, process: bytes, state: str, progress: Mapping[str, Any], result: Mapping[str, Any]
) -> bool:
    """Write down how a job of `process` ended; False when it is no longer its job."""
    return cursor.execute(_END, (state.encode(), _text(progress), _text(result), job, process, RUNNING.encode())) == 1


_ABANDONED: Final = (
    f"UPDATE jobs SET state = %s, finished_at = {NOW_US}, result = %s"  # noqa: S608
    " WHERE state IN (%s, %s) AND process IS NOT NULL"
    f" AND heartbeat_at < {NOW_US} - %s"
)


def interrupt_abandoned_txn(cursor: Cursor, silent_us: int, result: Mapping[str, Any]) -> int:
    """Call those jobs interrupted whose process said nothing for so long; how many."""
    return cursor.execute(_ABANDONED, (INTERRUPTED.encode(), _text(result), *_UNENDED, silent_us))


_LOCK: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id = %s FOR UPDATE"  # noqa: S608
_CANCEL: Final = f"UPDATE jobs SET cancel_requested_at = {NOW_US} WHERE id = %s AND cancel_requested_at = 0"  # noqa: S608
_CANCEL_QUEUED: Final = f"UPDATE jobs SET state = %s, finished_at = {NOW_US} WHERE id = %s AND state = %s"  # noqa: S608


def lock_txn(cursor: Cursor, job: int) -> Job | None:
    """The job, its row locked."""
    cursor.execute(_LOCK, (job,))
    row = cursor.fetchone()
    return None if row is None else _job(row)


def cancel_statements(job: int) -> list[Statement]:
    """The statements that ask for a job's end; one that is queued is cancelled with them."""
    return [(_CANCEL, (job,)), (_CANCEL_QUEUED, (CANCELLED.encode(), job, QUEUED.encode()))]


_OLD: Final = f"DELETE FROM jobs WHERE state IN (%s, %s, %s, %s) AND finished_at < {NOW_US} - %s"  # noqa: S608


def forget_txn(cursor: Cursor, age_us: int) -> int:
    """Remove jobs that ended so long ago; how many."""
    return cursor.execute(_OLD, (*_ENDED, age_us))
