"""Snapshots of indexes: the row that points to each, and the objects that they are made of.

A snapshot is derived from the rows of its mailbox. Whatever is wrong with one, or with what is written here, costs a
reading of the mailbox's messages and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.mailboxes import require_current
from lightmail.store.sqltext import NOT_DELETED, NOW_US, padded, pieces, with_list, with_rows


@dataclass(frozen=True, slots=True)
class Pointer:
    """A snapshot's row: its root's key, octets and SHA-256, and what of its mailbox it is a snapshot of."""

    key: str
    octets: int
    sha256: bytes
    epoch: int
    uidvalidity: int
    modseq: int
    messages: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A mailbox's counters, against which a snapshot is judged, and the snapshot it has. `account` is the uuid."""

    account: bytes
    epoch: int
    uidvalidity: int
    highest_modseq: int
    forgotten_modseq: int
    pointer: Pointer | None

    def serves(self, pointer: Pointer) -> bool:
        """Whether an index can begin with that snapshot: all that happened since can be told."""
        return (pointer.epoch, pointer.uidvalidity) == (
            self.epoch,
            self.uidvalidity,
        ) and self.forgotten_modseq <= pointer.modseq <= self.highest_modseq


_POINTER: Final = "s.object_key, s.octets, s.sha256, s.epoch, s.uidvalidity, s.modseq, s.messages"
_STANDING: Final = (
    "SELECT m.id, m.epoch < (SELECT epoch FROM store WHERE id = 1), a.uuid, m.epoch, m.uidvalidity,"  # noqa: S608
    f" m.highest_modseq, m.forgotten_modseq, {_POINTER} FROM mailboxes m JOIN accounts a ON a.id = m.account"
    " LEFT JOIN snapshots s ON s.mailbox = m.id WHERE m.id = %s AND m.account = %s AND m.deleted_at = 0"
)


def standing_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Standing | None:
    """How a mailbox and its snapshot stand; None where the account has no such mailbox. Raises OlderEpoch."""
    cursor.execute(_STANDING, (mailbox, account))
    row = cursor.fetchone()
    if row is None:
        return None
    require_current([row])
    return _standing(row)


def _standing(row: Row) -> Standing:
    return Standing(bytes(row[2]), row[3], row[4], row[5], row[6], _pointer(row[7:]))


def _pointer(row: Row) -> Pointer | None:
    if row[0] is None:
        return None
    return Pointer(bytes(row[0]).decode(), row[1], bytes(row[2]), *row[3:])


# --- writes; the mailbox's row is locked ---

_LOCK: Final = f"SELECT id FROM mailboxes WHERE id = %s AND account = %s AND {NOT_DELETED} FOR UPDATE"  # noqa: S608
_IN_USE: Final = "SELECT object_key FROM snapshot_objects WHERE mailbox = %s AND dropped_at = 0"


def lock_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> tuple[Standing | None, set[str]]:
    """Lock a mailbox: how it stands, and the keys of its snapshot's objects. Raises OlderEpoch."""
    # Two statements: what the second sees is from after the lock was granted.
    _, standing, in_use = cursor.script(
        [(_LOCK, (mailbox, account)), (_STANDING, (mailbox, account)), (_IN_USE, (mailbox,))]
    )
    if not standing.rows:
        return None, set()
    require_current(standing.rows)
    row = standing.rows[0]
    return _standing(row), {bytes(each[0]).decode() for each in in_use.rows}


_UPDATE: Final = (
    "UPDATE snapshots SET object_key = %s, octets = %s, sha256 = %s, epoch = %s, uidvalidity = %s, modseq = %s,"  # noqa: S608
    f" messages = %s, written_at = {NOW_US} WHERE mailbox = %s"
)
_INSERT: Final = (
    "INSERT INTO snapshots (object_key, octets, sha256, epoch, uidvalidity, modseq, messages, mailbox, account,"  # noqa: S608
    f" written_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, {NOW_US})"
)
_INSERT_OBJECT: Final = "INSERT INTO snapshot_objects (object_key, mailbox, octets) VALUES (%s, %s, %s)"
_DROP_OBJECTS: Final = f"UPDATE snapshot_objects SET dropped_at = {NOW_US} WHERE object_key IN ({{list}})"  # noqa: S608


def point_statements(account: AccountId, mailbox: MailboxId, pointer: Pointer, *, anew: bool) -> list[Statement]:
    """The statements that make `pointer` the mailbox's snapshot; `anew` where it has none."""
    values = (pointer.key.encode(), pointer.octets, pointer.sha256, pointer.epoch, pointer.uidvalidity, pointer.modseq)
    if anew:
        return [(_INSERT, (*values, pointer.messages, mailbox, account))]
    return [(_UPDATE, (*values, pointer.messages, mailbox))]


def use_statements(mailbox: MailboxId, objects: Sequence[tuple[str, int]]) -> list[Statement]:
    """The statements that note new objects, (key, octets) each, as parts of the mailbox's snapshot."""
    return [
        (
            with_rows(_INSERT_OBJECT, len(piece)),
            [value for key, octets in piece for value in (key.encode(), mailbox, octets)],
        )
        for piece in pieces(objects, 256)
    ]


def drop_objects_statements(keys: Iterable[str]) -> list[Statement]:
    """The statements that leave objects to the collector."""
    listed = [padded(piece) for piece in pieces([key.encode() for key in sorted(keys)])]
    return [(with_list(_DROP_OBJECTS, len(some)), some) for some in listed]


_DROP_ALL: Final = f"UPDATE snapshot_objects SET dropped_at = {NOW_US} WHERE mailbox = %s AND dropped_at = 0"  # noqa: S608


def drop_statements(mailbox: MailboxId) -> list[Statement]:
    """The statements that leave a mailbox without a snapshot, and its objects to the collector."""
    return [("DELETE FROM snapshots WHERE mailbox = %s", (mailbox,)), (_DROP_ALL, (mailbox,))]


# --- the collector's share ---

_DROPPED: Final = (
    "SELECT object_key, octets FROM snapshot_objects WHERE dropped_at > 0 AND dropped_at <= %s"
    " ORDER BY dropped_at LIMIT %s"
)


def dropped_txn(cursor: Cursor, until_us: int, limit: int) -> list[tuple[str, int]]:
    """Objects that were dropped at `until_us` (Unix us) or before, the oldest first: (key, octets)."""
    cursor.execute(_DROPPED, (until_us, limit))
    return [(bytes(row[0]).decode(), row[1]) for row in cursor.fetchall()]


_FORGET: Final = "DELETE FROM snapshot_objects WHERE dropped_at > 0 AND object_key IN ({list})"


def forget_txn(cursor: Cursor, keys: Sequence[str]) -> None:
    """Remove the rows of dropped objects that are no longer in the store."""
    listed = [padded(piece) for piece in pieces([key.encode() for key in keys])]
    cursor.script([(with_list(_FORGET, len(some)), some) for some in listed])


_KNOWN: Final = "SELECT object_key FROM snapshot_objects WHERE object_key IN ({list})"


def known_txn(cursor: Cursor, keys: Sequence[str]) -> set[str]:
    """Which of the keys have a row, in use or dropped."""
    found: set[str] = set()
    for piece in pieces([key.encode() for key in keys]):
        listed = padded(piece)
        cursor.execute(with_list(_KNOWN, len(listed)), listed)
        found.update(bytes(row[0]).decode() for row in cursor.fetchall())
    return found


# --- for `lightmail verify` ---


@dataclass(frozen=True, slots=True)
class Held:
    """The snapshot of a mailbox, as verifying walks over them; `alive` says whether the mailbox is."""

    mailbox: MailboxId
    account: AccountId
    key: str
    alive: bool


_AFTER: Final = (
    "SELECT s.mailbox, s.account, s.object_key, m.id FROM snapshots s"
    " LEFT JOIN mailboxes m ON m.id = s.mailbox AND m.deleted_at = 0"
    " WHERE s.mailbox > %s AND (%s IS NULL OR s.account = %s) ORDER BY s.mailbox LIMIT %s"
)


def after_txn(cursor: Cursor, after: int, account: AccountId | None, limit: int) -> list[Held]:
    """The next snapshots after that of a mailbox; those of one account, where it is given."""
    cursor.execute(_AFTER, (after, account, account, limit))
    return [
        Held(MailboxId(row[0]), AccountId(row[1]), bytes(row[2]).decode(), row[3] is not None)
        for row in cursor.fetchall()
    ]


_UNUSED: Final = (
    "SELECT o.object_key FROM snapshot_objects o WHERE o.dropped_at = 0"
    " AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.mailbox = o.mailbox) LIMIT %s"
)


def unused_txn(cursor: Cursor, limit: int) -> list[str]:
    """Objects that count as parts of snapshots which are not there."""
    cursor.execute(_UNUSED, (limit,))
    return [bytes(row[0]).decode() for row in cursor.fetchall()]


_ORPHANED: Final = (
    "DELETE FROM snapshots WHERE mailbox = %s"
    " AND NOT EXISTS (SELECT 1 FROM mailboxes m WHERE m.id = %s AND m.deleted_at = 0)"
)


def orphaned_statement(mailbox: MailboxId) -> Statement:
    """The statement that removes the snapshot of a mailbox that is not alive."""
    return _ORPHANED, (mailbox, mailbox)


_DISOWN: Final = (
    f"UPDATE snapshot_objects SET dropped_at = {NOW_US} WHERE object_key = %s AND dropped_at = 0"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.mailbox = snapshot_objects.mailbox)"
)
_INSERT_DROPPED: Final = (
    "INSERT INTO snapshot_objects (object_key, mailbox, octets, dropped_at)"  # noqa: S608
    f" SELECT %s, 0, 0, {NOW_US} FROM store WHERE id = 1"
    " AND NOT EXISTS (SELECT 1 FROM snapshot_objects o WHERE o.object_key = %s)"
)


def disown_statements(keys: Sequence[str]) -> list[Statement]:
    """The statements that leave objects to the collector that belong to no snapshot."""
    statements: list[Statement] = []
    for key in sorted(keys):
        name = key.encode()
        statements += [(_DISOWN, (name,)), (_INSERT_DROPPED, (name, name))]
    return statements
