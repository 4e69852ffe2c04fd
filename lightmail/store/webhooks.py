"""Events on their way to a webhook's receiver (table `webhook_queue`).

A row is inserted by the transaction that makes its event so, claimed by a process that takes it there, and deleted when
it has arrived. One that was given up stays for a while, with the time in `failed_at`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import LIST_BOUND, NOW_US, padded, pieces, with_list, with_rows

_ERROR_OCTETS: Final = 255
# Rows that one INSERT holds: six parameters each.
_INSERT_ROWS: Final = 256
# Due rows that a claim looks at: those that other processes claimed stand in front of those that are free.
_LOOK: Final = 512


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be told: a kind such as ``message.delivered``, and a payload of JSON.

    `account` is whom it is about: events of one account are told in order. The id of the message at `place`, a mailbox
    and a UID, is found when the row is inserted.
    """

    id: bytes
    kind: str
    account: AccountId | None
    payload: bytes
    place: tuple[MailboxId, int] = (MailboxId(0), 0)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that this process is to take to the receiver; `attempts` were made before."""

    id: int
    event_id: bytes
    kind: str
    account: AccountId | None
    message: int | None
    payload: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """An attempt that failed: why, how many there were by now, and how long to wait; None: it is given up."""

    id: int
    attempts: int
    error: str
    delay_us: int | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A row as an operator sees it; times of 0 mean never. `next_us` is when it is tried again."""

    id: int
    event_id: bytes
    kind: str
    account: AccountId | None
    created_us: int
    attempts: int
    next_us: int
    failed_us: int
    last_error: str


_INSERT: Final = (
    "INSERT INTO webhook_queue (event_id, kind, account, payload, message, created_at, next_at) VALUES"  # noqa: S608
    f" (%s, %s, %s, %s, (SELECT id FROM messages WHERE mailbox = %s AND uid = %s), {NOW_US}, {NOW_US})"
)


def queue_statements(events: Sequence[Event]) -> list[Statement]:
    """The statements that queue events, one for up to 256 of them; after those that insert the messages they name."""
    return [
        (
            with_rows(_INSERT, len(piece)),
            [value for e in piece for value in (e.id, e.kind.encode(), e.account, e.payload, *e.place)],
        )
        for piece in pieces(events, _INSERT_ROWS)
    ]


_DUE: Final = (
    f"SELECT id, account, claimed_until > {NOW_US} FROM webhook_queue"  # noqa: S608
    f" WHERE failed_at = 0 AND next_at <= {NOW_US} ORDER BY next_at, id LIMIT %s"
)
_LOCK: Final = (
    f"SELECT id FROM webhook_queue WHERE id IN ({{list}}) AND failed_at = 0 AND claimed_until <= {NOW_US} FOR UPDATE"  # noqa: S608
)
_CLAIM: Final = f"UPDATE webhook_queue SET claimed_until = {NOW_US} + %s WHERE id IN ({{list}})"  # noqa: S608
_CLAIMED: Final = (
    "SELECT id, event_id, kind, account, message, payload, attempts FROM webhook_queue WHERE id IN ({list})"
    " ORDER BY next_at, id"
)


def is_due_txn(cursor: Cursor) -> bool:
    """Whether some event is due that nobody has claimed: a look that locks nothing."""
    cursor.execute(_DUE, (_LOOK,))
    return bool(_free(cursor.fetchall(), 1))


def claim_txn(cursor: Cursor, most: int, seconds: float) -> list[Claimed]:
    """Claim the first due events, at most so many, for so long; in the order in which they became due.

    None of an account of which another process has some: its events are told one after another. What is claimed and
    not settled in time is free again.
    """
    cursor.execute(_DUE, (_LOOK,))
    wanted = _free(cursor.fetchall(), most)
    if not wanted:
        return []
    ids = padded([row[0] for row in wanted])
    # Looked at again once the locks are held: another process may have claimed others of the same accounts meanwhile.
    locked, due = cursor.script([(with_list(_LOCK, len(ids)), ids), (_DUE, (_LOOK,))])
    got = {row[0] for row in locked.rows} & {row[0] for row in _free(due.rows, _LOOK)}
    if not got:
        return []
    ids = padded(sorted(got))
    _, claimed = cursor.script(
        [
            (with_list(_CLAIM, len(ids)), [int(seconds * 1_000_000), *ids]),
            (with_list(_CLAIMED, len(ids)), ids),
        ]
    )
    return [Claimed(row[0], row[1], row[2].decode(), _account(row[3]), row[4], row[5], row[6]) for row in claimed.rows]


def _free(due: Sequence[Row], most: int) -> list[Row]:
    """Those of the due rows that may be claimed, in order."""
    busy = {row[1] for row in due if row[2]}
    return [row for row in due if not row[2] and (row[1] is None or row[1] not in busy)][:most]


def _account(value: int | None) -> AccountId | None:
    return None if value is None else AccountId(value)


_REPEAT: Final = (
    f"UPDATE webhook_queue SET attempts = %s, last_error = %s, claimed_until = 0, next_at = {NOW_US} + %s"  # noqa: S608
    " WHERE id = %s"
)
_GIVE_UP: Final = (
    f"UPDATE webhook_queue SET attempts = %s, last_error = %s, claimed_until = 0, failed_at = {NOW_US} WHERE id = %s"  # noqa: S608
)


def settle_txn(cursor: Cursor, arrived: Sequence[int], failed: Sequence[Repeat], untried: Sequence[int]) -> None:
    """What became of claimed events: gone, to be tried again or given up, or free as before. Doing it twice is fine."""
    statements: list[Statement] = [
        (with_list(sql, len(ids)), ids)
        for sql, found in (
            ("DELETE FROM webhook_queue WHERE id IN ({list})", arrived),
            ("UPDATE webhook_queue SET claimed_until = 0 WHERE id IN ({list})", untried),
        )
        if found
        for ids in [padded(found)]
    ]
    for each in failed:
        error = each.error.encode("ascii", "backslashreplace")[:_ERROR_OCTETS]
        if each.delay_us is None:
            statements.append((_GIVE_UP, (each.attempts, error, each.id)))
        else:
            statements.append((_REPEAT, (each.attempts, error, each.delay_us, each.id)))
    if statements:
        cursor.script(statements)


_LIST: Final = (
    "SELECT id, event_id, kind, account, created_at, attempts, next_at, failed_at, last_error FROM webhook_queue"
    " WHERE id > %s AND (%s < 0 OR (failed_at > 0) = %s) ORDER BY id LIMIT %s OFFSET %s"
)


def list_txn(cursor: Cursor, after: int, limit: int, failed: bool | None = None, offset: int = 0) -> list[Queued]:
    """Events with ids above `after`, ascending: those given up (`failed`), those that wait, or both (None)."""
    which = -1 if failed is None else int(failed)
    cursor.execute(_LIST, (after, which, which, limit, offset))
    return [
        Queued(row[0], row[1], row[2].decode(), _account(row[3]), row[4], row[5], row[6], row[7], row[8].decode())
        for row in cursor.fetchall()
    ]


_COUNT: Final = (
    "SELECT COUNT(*) FROM (SELECT 1 AS one FROM webhook_queue WHERE failed_at = 0 LIMIT %s) AS waiting",
    "SELECT COUNT(*) FROM (SELECT 1 AS one FROM webhook_queue WHERE failed_at > 0 LIMIT %s) AS failed",
)


def count_txn(cursor: Cursor, most: int) -> tuple[int, int]:
    """How many events wait, and how many were given up; each counted up to `most`."""
    waiting, failed = cursor.script([(sql, (most,)) for sql in _COUNT])
    return int(waiting.rows[0][0]), int(failed.rows[0][0])


_RETRY: Final = (
    f"UPDATE webhook_queue SET attempts = 0, failed_at = 0, claimed_until = 0, next_at = {NOW_US}"  # noqa: S608
    " WHERE id IN ({list})"
)
_FAILED: Final = "SELECT id FROM webhook_queue WHERE failed_at > 0 ORDER BY failed_at, id LIMIT %s"


def retry_txn(cursor: Cursor, ids: Collection[int]) -> int:
    """Have events tried again at once, as if for the first time, whoever has claimed them; how many."""
    return sum(
        cursor.execute(with_list(_RETRY, len(values)), values)
        for values in map(padded, pieces(sorted(ids), LIST_BOUND))
    )


def failed_txn(cursor: Cursor, limit: int) -> list[int]:
    """The ids of events that were given up, those given up first."""
    cursor.execute(_FAILED, (limit,))
    return [int(row[0]) for row in cursor.fetchall()]
