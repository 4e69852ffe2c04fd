"""The objects that rows refer to, and who refers to them: what `lightmail verify` compares with the object store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from lightmail.model import AccountId, MailboxId
from lightmail.store.cursor import Cursor
from lightmail.store.sqltext import padded, pieces, with_list
from lightmail.store.suspects import Range


class ObjectRow(NamedTuple):
    """A row of `objects` as it stands."""

    id: int
    key: str
    octets: int
    stored_octets: int
    codec: str
    sha256: bytes
    frames: bytes
    state: int


_OBJECT_COLUMNS: Final = "id, object_key, octets, stored_octets, codec, sha256, frames, state"
_OBJECTS_AFTER: Final = f"SELECT {_OBJECT_COLUMNS} FROM objects WHERE id > %s AND state = 1 ORDER BY id LIMIT %s"  # noqa: S608
_OBJECTS_OF_MESSAGES: Final = (
    f"SELECT {_OBJECT_COLUMNS} FROM objects WHERE state = 1"  # noqa: S608
    " AND id IN (SELECT m.object FROM messages m WHERE {range}) ORDER BY id"
)
_OBJECTS: Final = f"SELECT {_OBJECT_COLUMNS} FROM objects WHERE id IN ({{list}})"  # noqa: S608


def live_objects_txn(cursor: Cursor, after: int, limit: int) -> list[ObjectRow]:
    """The first `limit` LIVE objects with ids above `after`."""
    cursor.execute(_OBJECTS_AFTER, (after, limit))
    return [_object(row) for row in cursor.fetchall()]


def objects_of_txn(cursor: Cursor, part: Range) -> list[ObjectRow]:
    """The LIVE objects that a range of messages refers to."""
    cursor.execute(_OBJECTS_OF_MESSAGES.replace("{range}", part.condition), part.params)
    return [_object(row) for row in cursor.fetchall()]


def objects_txn(cursor: Cursor, ids: Sequence[int]) -> dict[int, ObjectRow]:
    """The objects of these ids, whatever their state."""
    found: dict[int, ObjectRow] = {}
    for piece in pieces(ids):
        values = padded(piece)
        cursor.execute(with_list(_OBJECTS, len(values)), values)
        found.update((row[0], _object(row)) for row in cursor.fetchall())
    return found


def _object(row: Sequence[Any]) -> ObjectRow:
    return ObjectRow(row[0], row[1].decode(), row[2], row[3], row[4].decode(), row[5], row[6], row[7])


_KEYS: Final = (
    "SELECT object_key, id, state FROM objects WHERE object_key > %s AND object_key <= %s ORDER BY object_key LIMIT %s"
)


def keys_txn(cursor: Cursor, after: str, last: str, limit: int) -> list[tuple[str, int, int]]:
    """The first `limit` objects by key, above `after` up to `last`: key, id and state."""
    cursor.execute(_KEYS, (after.encode(), last.encode(), limit))
    return [(row[0].decode(), row[1], row[2]) for row in cursor.fetchall()]


class Reference(NamedTuple):
    """A message that refers to an object."""

    account: AccountId
    mailbox: MailboxId
    uid: int
    live: bool


_REFERENCES: Final = (
    "SELECT account, mailbox, uid, deleted_at FROM messages WHERE object = %s ORDER BY mailbox, uid LIMIT %s"
)


def references_txn(cursor: Cursor, object_: int, limit: int) -> list[Reference]:
    """The first messages that refer to an object, tombstones among them."""
    cursor.execute(_REFERENCES, (object_, limit))
    return [Reference(AccountId(row[0]), MailboxId(row[1]), row[2], row[3] == 0) for row in cursor.fetchall()]


_CLAIMS: Final = (
    "SELECT DISTINCT m.object, a.uuid, m.internaldate_us FROM messages m JOIN mailboxes b ON b.id = m.mailbox"
    " JOIN accounts a ON a.id = b.account WHERE m.object IN ({list})"
)


def claims_txn(cursor: Cursor, objects: Sequence[int]) -> dict[int, set[tuple[bytes, int]]]:
    """For each object the (account uuid, INTERNALDATE) of the messages that refer to it."""
    found: dict[int, set[tuple[bytes, int]]] = {}
    for piece in pieces(objects):
        values = padded(piece)
        cursor.execute(with_list(_CLAIMS, len(values)), values)
        for object_, uuid, internaldate_us in cursor.fetchall():
            found.setdefault(object_, set()).add((uuid, internaldate_us))
    return found


# --- names, for people ---

_ADDRESSES: Final = "SELECT id, address FROM accounts WHERE id IN ({list})"
_MAILBOXES: Final = "SELECT id, name FROM mailboxes WHERE id IN ({list})"


def names_txn(
    cursor: Cursor, accounts: Collection[int], mailboxes: Collection[int]
) -> tuple[dict[int, str], dict[int, str]]:
    """The addresses of accounts and the names of mailboxes, those that there are."""
    return _texts(cursor, _ADDRESSES, sorted(accounts)), _texts(cursor, _MAILBOXES, sorted(mailboxes))


def _texts(cursor: Cursor, sql: str, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for piece in pieces(ids):
        values = padded(piece)
        cursor.execute(with_list(sql, len(values)), values)
        found.update((row[0], row[1].decode("utf-8", "replace")) for row in cursor.fetchall())
    return found
