"""The writes of `operations.repair`: rows put right where `store.suspects` finds them wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.model import AccountId, BlobRef, MailboxId, Rendering
from lightmail.store.blobs import rendering_row
from lightmail.store.cursor import Cursor, Row
from lightmail.store.sqltext import (
    FATES,
    FATES_WITH_OBJECT,
    NOT_DELETED,
    NOW_US,
    padded,
    uid_conditions,
    with_list,
    with_uids,
)


@dataclass(frozen=True, slots=True)
class Counters:
    """A mailbox's counters, with the highest UID and MODSEQ of its messages and the epoch of the store."""

    account: AccountId
    uidnext: int
    highest_modseq: int
    forgotten_modseq: int
    recent_uid: int
    journal_modseq: int
    epoch: int
    largest_uid: int
    largest_modseq: int
    store_epoch: int


_LOCK: Final = (
    "SELECT account, uidnext, highest_modseq, forgotten_modseq, recent_uid, journal_modseq, epoch FROM mailboxes"
    " WHERE id = %s FOR UPDATE"
)
_LARGEST: Final = (
    "SELECT COALESCE((SELECT MAX(uid) FROM messages WHERE mailbox = %s), 0),"
    " COALESCE((SELECT MAX(modseq) FROM messages WHERE mailbox = %s), 0), epoch FROM store WHERE id = 1"
)
_SET_COUNTERS: Final = (
    "UPDATE mailboxes SET uidnext = %s, highest_modseq = %s, recent_uid = %s, journal_modseq = %s, epoch = %s"
    " WHERE id = %s"
)


def lock_mailbox_txn(cursor: Cursor, mailbox: MailboxId) -> Counters | None:
    """Lock a mailbox, a deleted one too; None when it is gone."""
    held, largest = cursor.script([(_LOCK, (mailbox,)), (_LARGEST, (mailbox, mailbox))])
    if not held.rows:
        return None
    return Counters(*held.rows[0], *largest.rows[0])


def set_counters_txn(
    cursor: Cursor, mailbox: MailboxId, uidnext: int, highest: int, recent: int, journal: int, epoch: int
) -> None:
    """Set the counters of a mailbox that this transaction holds locked."""
    cursor.execute(_SET_COUNTERS, (uidnext, highest, recent, journal, epoch, mailbox))


_RAISE: Final = "UPDATE mailboxes SET highest_modseq = highest_modseq + 1 WHERE id = %s"


def raise_modseq_txn(cursor: Cursor, mailbox: MailboxId) -> Counters | None:
    """Lock a mailbox and raise its MODSEQ by one; its counters as they are now, None when it is gone."""
    cursor.execute(_RAISE, (mailbox,))
    return lock_mailbox_txn(cursor, mailbox)


_RESTORE: Final = (
    "INSERT INTO mailboxes (id, account, name, uidvalidity, uidnext, highest_modseq, epoch)"
    " SELECT %s, %s, %s, %s, %s, %s, epoch FROM store WHERE id = 1"
)


def restore_mailbox_txn(
    cursor: Cursor, mailbox: MailboxId, account: AccountId, name: str, uidvalidity: int
) -> int | None:
    """Give messages whose mailbox is gone a mailbox of that id again; its MODSEQ, None when nothing is in it.

    DuplicateKey where the mailbox or the name exists.
    """
    cursor.execute("SELECT MAX(uid), MAX(modseq) FROM messages WHERE mailbox = %s", (mailbox,))
    row = cursor.fetchone()
    if row is None or row[0] is None:
        return None
    modseq = int(row[1]) + 1
    cursor.execute(_RESTORE, (mailbox, account, name.encode(), uidvalidity, row[0] + 1, modseq))
    return modseq


_RENAME: Final = f"UPDATE mailboxes SET name = %s, highest_modseq = highest_modseq + 1 WHERE id = %s AND {NOT_DELETED}"  # noqa: S608
_DELETE: Final = (
    "UPDATE mailboxes SET deleted_at = (SELECT a.deleted_at FROM accounts a WHERE a.id = mailboxes.account),"  # noqa: S608
    f" highest_modseq = highest_modseq + 1 WHERE id = %s AND {NOT_DELETED}"
)
_UIDVALIDITY: Final = (
    "UPDATE accounts SET next_uidvalidity = 1 + (SELECT MAX(uidvalidity) FROM mailboxes WHERE account = %s)"
    " WHERE id = %s AND next_uidvalidity <= (SELECT MAX(uidvalidity) FROM mailboxes WHERE account = %s)"
)


def rename_txn(cursor: Cursor, mailbox: MailboxId, name: str) -> None:
    """Give a mailbox another name."""
    cursor.execute(_RENAME, (name.encode(), mailbox))


def delete_with_account_txn(cursor: Cursor, mailbox: MailboxId) -> None:
    """Mark a mailbox deleted at the moment that its account was; nothing changes while the account is there.

    DuplicateKey where one of its name was deleted with the account.
    """
    cursor.execute(_DELETE, (mailbox,))


def raise_uidvalidity_txn(cursor: Cursor, account: AccountId) -> None:
    """Let the next UIDVALIDITY of an account be above all that its mailboxes have."""
    cursor.execute(_UIDVALIDITY, (account, account, account))


# --- messages; the mailbox is locked ---

_OWN: Final = "UPDATE messages SET account = %s WHERE mailbox = %s AND account <> %s AND {uids}"
_DROP: Final = (
    "UPDATE messages SET object = NULL WHERE mailbox = %s AND deleted_at + 0 <> 0 AND object IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = messages.object) AND {uids}"
)
_UNFATED: Final = (
    "UPDATE messages SET fate = NULL WHERE mailbox = %s AND deleted_at = 0 AND fate IS NOT NULL AND {uids}"
)
_FATED: Final = (
    "UPDATE messages SET fate = 1 WHERE mailbox = %s AND deleted_at + 0 <> 0"  # noqa: S608
    f" AND (fate IS NULL OR fate NOT IN {FATES}) AND {{uids}}"
)
_BITS: Final = "SELECT flag_bit FROM keywords WHERE mailbox = %s"
_CLEAR: Final = (
    f"UPDATE messages SET flags = flags & %s, modseq = %s WHERE mailbox = %s AND {NOT_DELETED}"  # noqa: S608
    " AND (flags & %s) <> flags AND {uids}"
)


def own_txn(cursor: Cursor, mailbox: MailboxId, account: AccountId, uids: Sequence[int]) -> None:
    """Let messages belong to the account that their mailbox belongs to."""
    _each(cursor, _OWN, (account, mailbox, account), uids)


def drop_dead_references_txn(cursor: Cursor, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Let tombstones no longer refer to objects that have no row."""
    _each(cursor, _DROP, (mailbox,), uids)


def settle_fates_txn(cursor: Cursor, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Take the fate off live messages, and let tombstones without one count as expunged."""
    _each(cursor, _UNFATED, (mailbox,), uids)
    _each(cursor, _FATED, (mailbox,), uids)


def clear_nameless_bits_txn(cursor: Cursor, mailbox: MailboxId, modseq: int, uids: Sequence[int]) -> None:
    """Clear the flag bits that no keyword of the mailbox names."""
    cursor.execute(_BITS, (mailbox,))
    named = (1 << 16) - 1
    for (bit,) in cursor.fetchall():
        named |= 1 << bit
    _each(cursor, _CLEAR, (named, modseq, mailbox, named), uids)


def _each(cursor: Cursor, sql: str, params: tuple[Any, ...], uids: Sequence[int]) -> None:
    cursor.script([(with_uids(sql, condition), (*params, *listed)) for condition, listed in uid_conditions(uids)])


_MOVED: Final = "SELECT object, fate FROM messages WHERE mailbox = %s AND uid = %s AND deleted_at + 0 <> 0 FOR UPDATE"
_OTHERS: Final = (
    "SELECT 1 FROM messages WHERE object = %s AND NOT (mailbox = %s AND uid = %s)"  # noqa: S608
    f" AND (deleted_at = 0 OR fate IN {FATES_WITH_OBJECT}) LIMIT 1"
)
_FORGO: Final = "UPDATE messages SET object = NULL WHERE mailbox = %s AND uid = %s"
_EXPUNGED: Final = "UPDATE messages SET fate = 1 WHERE mailbox = %s AND uid = %s"


def settle_moved_txn(cursor: Cursor, mailbox: MailboxId, uid: int) -> None:
    """A message that was moved or restored gives up its object; it counts as expunged where no other message has that.

    So nothing that could still be wanted is let go of.
    """
    cursor.execute(_MOVED, (mailbox, uid))
    row = cursor.fetchone()
    if row is None or row[0] is None or row[1] not in (2, 3):
        return
    cursor.execute(_OTHERS, (row[0], mailbox, uid))
    cursor.execute(_FORGO if cursor.fetchone() else _EXPUNGED, (mailbox, uid))


_TAKE_UID: Final = "UPDATE messages SET uid = %s, modseq = %s WHERE id = %s AND mailbox = %s AND uid = %s"
_SET_OCTETS: Final = (
    "UPDATE messages SET octets = %s, modseq = %s WHERE mailbox = %s AND uid = %s AND object = %s"
    " AND EXISTS (SELECT 1 FROM objects o WHERE o.id = %s AND o.octets = %s)"
)


def take_uid_txn(cursor: Cursor, mailbox: MailboxId, row_id: int, uid: int, new_uid: int, modseq: int) -> None:
    """Give the message of that row id another UID."""
    cursor.execute(_TAKE_UID, (new_uid, modseq, row_id, mailbox, uid))


def set_octets_txn(cursor: Cursor, mailbox: MailboxId, uid: int, object_: int, octets: int, modseq: int) -> None:
    """Let a message have the octets that its object's row has."""
    cursor.execute(_SET_OCTETS, (octets, modseq, mailbox, uid, object_, object_, octets))


# --- usage ---

_LOCK_USAGE: Final = "SELECT octets, messages FROM account_usage WHERE account = %s FOR UPDATE"
_SUM: Final = (
    "SELECT COALESCE(SUM(m.octets), 0), COUNT(*) FROM mailboxes b JOIN messages m ON m.mailbox = b.id"  # noqa: S608
    f" WHERE b.account = %s AND m.{NOT_DELETED}"
)
_SET_USAGE: Final = "UPDATE account_usage SET octets = %s, messages = %s WHERE account = %s"
_ADD_USAGE: Final = "INSERT INTO account_usage (account, octets, messages) VALUES (%s, 0, 0)"


def recount_txn(cursor: Cursor, account: AccountId) -> None:
    """Set what an account uses to what its live messages sum up to. Last in its transaction; it waits for writers.

    Writers book what they added as the last thing before COMMIT. Once this holds the row, whoever has booked is
    committed, and seen by the sum; whoever has not is not, and books on top of it.
    """
    cursor.execute(_LOCK_USAGE, (account,))
    if cursor.fetchone() is None:
        cursor.execute(_ADD_USAGE, (account,))
    cursor.execute(_SUM, (account,))
    row = cursor.fetchone()
    if row is not None:
        cursor.execute(_SET_USAGE, (int(row[0]), int(row[1]), account))


# --- objects and renderings ---

_SET_OBJECT: Final = (
    "UPDATE objects SET octets = %s, stored_octets = %s, codec = %s, sha256 = %s, frames = %s"
    " WHERE id = %s AND object_key = %s AND state = 1"
)
RENDERING_COLUMNS: Final = (
    "render_version",
    "envelope",
    "bodystructure",
    "header_zstd",
    "header_fields",
    "parts",
    "sent_us",
    "subject",
    "base_subject",
    "from_text",
    "to_text",
    "cc_text",
    "bcc_text",
    "message_id",
    "references_text",
)
_RENDERINGS: Final = f"SELECT object, {', '.join(RENDERING_COLUMNS)} FROM renderings WHERE object IN ({{list}})"  # noqa: S608
_RENDER_ANEW: Final = (
    f"UPDATE renderings SET {', '.join(f'{column} = %s' for column in RENDERING_COLUMNS)} WHERE object = %s"  # noqa: S608
)
_RENDER: Final = (
    f"INSERT INTO renderings (object, {', '.join(RENDERING_COLUMNS)})"  # noqa: S608
    f" SELECT id{', %s' * len(RENDERING_COLUMNS)} FROM objects WHERE id = %s AND state = 1"
)


def renderings_txn(cursor: Cursor, objects: Sequence[int]) -> dict[int, Row]:
    """The stored renderings of objects, in RENDERING_COLUMNS."""
    ids = padded(objects)
    cursor.execute(with_list(_RENDERINGS, len(ids)), ids)
    return {row[0]: tuple(row[1:]) for row in cursor.fetchall()}


def set_object_txn(cursor: Cursor, object_: int, truth: BlobRef) -> None:
    """Let the row of a LIVE object say what is true of it."""
    fields = (truth.octets, truth.stored_octets, truth.codec.encode(), truth.sha256, truth.frames)
    cursor.execute(_SET_OBJECT, (*fields, object_, truth.key.encode()))


def set_rendering_txn(cursor: Cursor, object_: int, rendering: Rendering) -> None:
    """Let the rendering of a LIVE object be this one. DuplicateKey where somebody else inserts it just now."""
    row = rendering_row(rendering)
    cursor.execute("SELECT id FROM objects WHERE id = %s AND state = 1 FOR UPDATE", (object_,))
    if cursor.fetchone() is None:
        return
    if cursor.execute(_RENDER_ANEW, (*row, object_)) == 0:
        cursor.execute(_RENDER, (*row, object_))


# --- rows whose owner is gone ---

# By the name of the check: the statement that removes the row, if it still belongs to nothing.
_REMOVE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    kind: (
        f"DELETE FROM {table} WHERE {' AND '.join(f'{column} = %s' for column in columns)}"  # noqa: S608
        f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.id = {table}.{columns[0]})",
        columns,
    )
    for kind, table, parent, columns in (
        ("mark-without-object", "condemned", "objects", ("object",)),
        ("rendering-without-object", "renderings", "objects", ("object",)),
        ("keyword-without-mailbox", "keywords", "mailboxes", ("mailbox", "flag_bit")),
        ("subscription-without-account", "subscriptions", "accounts", ("account", "name")),
        ("former-name-without-account", "former_names", "accounts", ("account", "name")),
        ("usage-without-account", "account_usage", "accounts", ("account",)),
        ("journal-mark-without-account", "journal_marks", "accounts", ("account",)),
        ("quota-warning-without-account", "quota_warnings", "accounts", ("account", "kind")),
        ("app-password-without-account", "app_passwords", "accounts", ("account", "name")),
        ("unused-keyword-without-mailbox", "unused_keywords", "mailboxes", ("mailbox", "flag_bit")),
        ("deleted-view-without-account", "deleted_views", "accounts", ("account", "name")),
        ("domain-limit-without-domain", "domain_limits", "domains", ("domain",)),
        ("calendar-without-account", "calendars", "accounts", ("account", "id")),
        ("event-without-calendar", "calendar_events", "calendars", ("calendar", "id")),
    )
}
_REMOVE["deleted-uid-without-message"] = (
    "DELETE FROM deleted_uids WHERE deleted_view = %s AND deleted_uid = %s AND NOT (EXISTS"
    " (SELECT 1 FROM messages p WHERE p.mailbox = deleted_uids.mailbox AND p.uid = deleted_uids.uid)"
    " AND EXISTS (SELECT 1 FROM deleted_views v WHERE v.id = deleted_uids.deleted_view))",
    ("deleted_view", "deleted_uid"),
)
REMOVABLE: Final = frozenset(_REMOVE)


def remove_txn(cursor: Cursor, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remove rows that the check of that name found, where they still belong to nothing."""
    sql, columns = _REMOVE[kind]
    cursor.script([(sql, tuple(row[column] for column in columns)) for row in rows])


_MARK: Final = (
    f"INSERT INTO condemned (object, since_us, reason) SELECT id, {NOW_US}, %s FROM objects"  # noqa: S608
    " WHERE id = %s AND state <> 1 AND NOT EXISTS (SELECT 1 FROM condemned c WHERE c.object = objects.id)"
)
_UNMARK: Final = (
    "DELETE FROM condemned WHERE object = %s AND EXISTS (SELECT 1 FROM objects o WHERE o.id = %s AND o.state = 1)"
)


def settle_mark_txn(cursor: Cursor, object_: int) -> None:
    """Let exactly the objects that are not LIVE have a row in `condemned`. DuplicateKey where another is as fast."""
    cursor.execute("SELECT id FROM objects WHERE id = %s FOR UPDATE", (object_,))
    cursor.fetchall()
    cursor.script([(_MARK, (b"unmarked", object_)), (_UNMARK, (object_, object_))])
