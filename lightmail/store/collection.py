"""Objects on their way out: which nothing refers to, condemned ones, orphans; the collector's statements over them.

Why they are safe in this order stands in `operations.collect`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import ObjectId, ObjectState
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US, padded, pieces, with_list

_NO_SHA256: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Doomed:
    """A condemned object that nothing refers to: its row, its key, and the octets that deleting it frees."""

    id: ObjectId
    key: str
    stored_octets: int


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object in the store without a row: its key, its octets there, its codec's name, its birth (Unix us)."""

    key: str
    stored_octets: int
    codec: str
    born_us: int


def clock_txn(cursor: Cursor) -> int:
    """The database's own clock, Unix microseconds UTC."""
    cursor.execute(f"SELECT {NOW_US}")
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the database told no time")
    return int(row[0])


def _of(sql: str, objects: Sequence[int], *params: object) -> list[Statement]:
    """`sql` for all `objects`, in as many pieces as it takes; its ``{list}`` comes after `params`."""
    texts = [padded(piece) for piece in pieces(objects)]
    return [(with_list(sql, len(ids)), (*params, *ids)) for ids in texts]


_LOCK: Final = "SELECT id FROM objects WHERE state = %s AND id IN ({list}) ORDER BY id FOR UPDATE"
_REFERRED: Final = "SELECT DISTINCT object FROM messages WHERE object IN ({list})"


def lock_txn(cursor: Cursor, objects: Sequence[ObjectId], state: ObjectState) -> tuple[set[ObjectId], set[ObjectId]]:
    """Lock those of `objects` (ascending) that are in that state: all that are, and of `objects` those referred to.

    Two statements, the locks first: what the second sees is from after the last lock was granted.
    """
    locks = _of(_LOCK, objects, state.value)
    results = cursor.script([*locks, *_of(_REFERRED, objects)])
    locked = {ObjectId(row[0]) for result in results[: len(locks)] for row in result.rows}
    referred = {ObjectId(row[0]) for result in results[len(locks) :] for row in result.rows}
    return locked, referred


_SET_STATE: Final = "UPDATE objects SET state = %s WHERE id IN ({list})"
_UNNOTE: Final = "DELETE FROM condemned WHERE object IN ({list})"
_NOTE: Final = "INSERT INTO condemned (object, since_us, reason) SELECT id, %s, %s FROM objects WHERE id IN ({list})"


def condemn_txn(cursor: Cursor, objects: Sequence[ObjectId], now_us: int, reason: str) -> None:
    """Condemn objects that this transaction holds locked."""
    cursor.script(
        [
            *_of(_SET_STATE, objects, ObjectState.CONDEMNED.value),
            *_of(_UNNOTE, objects),
            *_of(_NOTE, objects, now_us, reason.encode()),
        ]
    )


def acquit_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> None:
    """Make objects LIVE that this transaction holds locked."""
    cursor.script([*_of(_SET_STATE, objects, ObjectState.LIVE.value), *_of(_UNNOTE, objects)])


_DUE: Final = (
    "SELECT c.object FROM condemned c LEFT JOIN objects o ON o.id = c.object"
    " WHERE c.since_us <= %s AND (o.state = %s OR o.id IS NULL) ORDER BY c.since_us LIMIT %s"
)


def due_txn(cursor: Cursor, state: ObjectState, until_us: int, limit: int) -> list[ObjectId]:
    """Objects in that state since `until_us` or longer, ascending; the rows of those that are no more among them."""
    cursor.execute(_DUE, (until_us, state.value, limit))
    return sorted(ObjectId(row[0]) for row in cursor.fetchall())


_KEYS: Final = "SELECT id, object_key, stored_octets FROM objects WHERE id IN ({list})"


def doomed_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> list[Doomed]:
    """Where these objects are."""
    results = cursor.script(_of(_KEYS, objects)) if objects else []
    rows = [row for result in results for row in result.rows]
    return [Doomed(ObjectId(row[0]), row[1].decode(), row[2]) for row in rows]


_FORGET: Final = (
    "DELETE FROM renderings WHERE object IN ({list})",
    _UNNOTE,
    "DELETE FROM objects WHERE id IN ({list})",
)


def forget_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> None:
    """Remove the rows of objects that are no longer in the store."""
    cursor.script([statement for sql in _FORGET for statement in _of(sql, objects)])


# --- the slow look at everything ---

_SLICE_END: Final = "SELECT MAX(id) FROM (SELECT id FROM objects WHERE id > %s ORDER BY id LIMIT %s) slice"
_UNREFERRED: Final = (
    "SELECT o.id FROM objects o WHERE o.id > %s AND o.id <= %s AND o.state = 1 AND o.born_at <= %s"
    " AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.object = o.id) ORDER BY o.id"
)
_UNNOTED: Final = (
    "SELECT o.id FROM objects o WHERE o.id > %s AND o.id <= %s AND o.state <> 1"
    " AND NOT EXISTS (SELECT 1 FROM condemned c WHERE c.object = o.id AND c.object > %s AND c.object <= %s)"
    " ORDER BY o.id"
)


@dataclass(frozen=True, slots=True)
class Swept:
    """A slice of the objects: where it ended (None: nothing is left), what nothing refers to, what lacks its note."""

    end: int | None
    unreferred: list[ObjectId]
    unnoted: list[ObjectId]


def sweep_txn(cursor: Cursor, after: int, born_until_us: int, limit: int) -> Swept:
    """Look at the next `limit` objects after an id."""
    cursor.execute(_SLICE_END, (after, limit))
    row = cursor.fetchone()
    end = row[0] if row else None
    if end is None:
        return Swept(None, [], [])
    unreferred, unnoted = cursor.script(
        [(_UNREFERRED, (after, end, born_until_us)), (_UNNOTED, (after, end, after, end))]
    )
    return Swept(int(end), [ObjectId(row[0]) for row in unreferred.rows], [ObjectId(row[0]) for row in unnoted.rows])


def note_txn(cursor: Cursor, objects: Sequence[ObjectId], now_us: int) -> None:
    """Note objects that are not LIVE and lack their row of `condemned`: their time begins now."""
    cursor.script([*_of(_UNNOTE, objects), *_of(_NOTE, objects, now_us, b"unnoted")])


# --- orphans ---

_KNOWN: Final = "SELECT object_key FROM objects WHERE object_key IN ({list})"


def known_keys_txn(cursor: Cursor, keys: Sequence[str]) -> set[str]:
    """Which of the keys have a row."""
    rows: list[Row] = []
    for piece in pieces([key.encode() for key in keys]):
        listed = padded(piece)
        cursor.execute(with_list(_KNOWN, len(listed)), listed)
        rows.extend(cursor.fetchall())
    return {row[0].decode() for row in rows}


_QUARANTINE: Final = (
    "INSERT INTO objects (object_key, octets, stored_octets, codec, sha256, frames, born_at, state)"
    " VALUES (%s, 0, %s, %s, %s, %s, %s, %s)"
)
_NOTE_KEYS: Final = (
    "INSERT INTO condemned (object, since_us, reason) SELECT o.id, %s, %s FROM objects o"
    " WHERE o.state = 2 AND NOT EXISTS (SELECT 1 FROM condemned c WHERE c.object = o.id) AND o.object_key IN ({list})"
)


def quarantine_txn(cursor: Cursor, orphans: Sequence[Orphan], now_us: int, reason: str) -> int:
    """Give orphans rows, QUARANTINED; those that have a row by now stay as they are. How many were new.

    DuplicateKey where somebody else gives one of them a row at this moment. Not by INSERT … SELECT … WHERE NOT EXISTS:
    that holds the lock of the table's AUTO_INCREMENT while it waits for a row, and two of them end in a deadlock.
    """
    known = known_keys_txn(cursor, [orphan.key for orphan in orphans])
    new = sorted((orphan for orphan in orphans if orphan.key not in known), key=lambda orphan: orphan.key)
    if not new:
        return 0
    state = ObjectState.QUARANTINED.value
    cursor.script(
        [
            (
                _QUARANTINE,
                (each.key.encode(), each.stored_octets, each.codec.encode(), _NO_SHA256, b"", each.born_us, state),
            )
            for each in new
        ]
    )
    cursor.script(
        [
            (with_list(_NOTE_KEYS, len(listed)), (now_us, reason.encode(), *listed))
            for listed in (padded(piece) for piece in pieces([each.key.encode() for each in new]))
        ]
    )
    return len(new)


# --- figures ---

# No more than this is counted: a gauge need not know how many millions there are.
COUNT_BOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, up to COUNT_BOUND: what is due now (messages, mailboxes, objects), and of the objects that are not
    LIVE, the oldest COUNT_BOUND at most, those condemned and those quarantined."""

    messages: int
    mailboxes: int
    objects: int
    condemned: int
    quarantined: int


_COUNTS: Final = tuple(
    f"SELECT COUNT(*) FROM (SELECT 1 FROM {source} LIMIT {COUNT_BOUND}) bounded"  # noqa: S608
    for source in (
        "messages WHERE deleted_at > 0 AND deleted_at <= %s",
        "mailboxes WHERE deleted_at > 0 AND deleted_at <= %s",
        "condemned c JOIN objects o ON o.id = c.object WHERE c.since_us <= %s AND o.state = 3",
    )
)
_WAITING: Final = (
    "SELECT COALESCE(SUM(CASE WHEN o.state = 3 THEN 1 ELSE 0 END), 0),"  # noqa: S608
    " COALESCE(SUM(CASE WHEN o.state = 2 THEN 1 ELSE 0 END), 0)"
    f" FROM (SELECT object FROM condemned ORDER BY since_us LIMIT {COUNT_BOUND}) c JOIN objects o ON o.id = c.object"
)


def backlog_txn(cursor: Cursor, undelete_us: int, grace_us: int) -> Backlog:
    """What waits for the collector; rows up to `undelete_us` and condemnations up to `grace_us` are due."""
    params = (undelete_us, undelete_us, grace_us)
    counts = [(sql, (param,)) for sql, param in zip(_COUNTS, params, strict=True)]
    messages, mailboxes, objects, waiting = cursor.script([*counts, (_WAITING, ())])
    return Backlog(
        int(messages.rows[0][0]), int(mailboxes.rows[0][0]), int(objects.rows[0][0]), *map(int, waiting.rows[0])
    )
