"""Rows past their time: tombstones, deleted mailboxes with what they held, deleted accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.store import calendar_objects, snapshots
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import padded, uid_conditions, with_list, with_uids

_EXPIRED: Final = (
    "SELECT mailbox, uid FROM messages WHERE deleted_at > 0 AND deleted_at <= %s ORDER BY deleted_at LIMIT %s"
)


def expired_txn(cursor: Cursor, until_us: int, limit: int) -> dict[MailboxId, list[int]]:
    """Tombstones since `until_us` or longer, the oldest ones: UIDs, ascending, by mailbox."""
    cursor.execute(_EXPIRED, (until_us, limit))
    found: dict[MailboxId, list[int]] = {}
    for mailbox, uid in sorted(cursor.fetchall()):
        found.setdefault(MailboxId(mailbox), []).append(uid)
    return found


_LOCK: Final = "SELECT id FROM mailboxes WHERE id IN ({list}) ORDER BY id FOR UPDATE"
_STILL_EXPIRED: Final = (
    "SELECT uid, modseq, object FROM messages WHERE mailbox = %s AND deleted_at > 0 AND deleted_at <= %s AND {uids}"
)


def lock_expired_txn(
    cursor: Cursor, wanted: Mapping[MailboxId, Sequence[int]], until_us: int
) -> dict[MailboxId, list[Row]]:
    """Lock the mailboxes, deleted ones too, and read what of `wanted` is still expired: (uid, modseq, object)."""
    ids = padded(sorted(wanted))
    reads = [
        (mailbox, (with_uids(_STILL_EXPIRED, condition), (mailbox, until_us, *params)))
        for mailbox in sorted(wanted)
        for condition, params in uid_conditions(wanted[mailbox])
    ]
    _, *results = cursor.script([(with_list(_LOCK, len(ids)), ids), *(statement for _, statement in reads)])
    found: dict[MailboxId, list[Row]] = {}
    for (mailbox, _), result in zip(reads, results, strict=True):
        if result.rows:
            found.setdefault(mailbox, []).extend(result.rows)
    return found


# `deleted_at` is no condition: in a deleted account's mailboxes messages are as they were.
_REMOVE: Final = "DELETE FROM messages WHERE mailbox = %s AND {uids}"
_REMOVE_VIEWED: Final = "DELETE FROM deleted_uids WHERE mailbox = %s AND {uids}"
_FORGET: Final = "UPDATE mailboxes SET forgotten_modseq = %s WHERE id = %s AND forgotten_modseq < %s"


def remove_statements(mailbox: MailboxId, rows: Sequence[Row]) -> list[Statement]:
    """The statements that remove messages, (uid, modseq, object) each, of a mailbox that is locked.

    Changes up to the last of them are forgotten from then on.
    """
    conditions = uid_conditions(sorted(row[0] for row in rows))
    modseq = max(row[1] for row in rows)
    return [
        *((with_uids(sql, text), (mailbox, *uids)) for sql in (_REMOVE, _REMOVE_VIEWED) for text, uids in conditions),
        (_FORGET, (modseq, mailbox, modseq)),
    ]


# --- mailboxes ---

_DEAD_MAILBOXES: Final = (
    "SELECT id, account FROM mailboxes WHERE deleted_at > 0 AND deleted_at <= %s ORDER BY deleted_at LIMIT %s"
)


def dead_mailboxes_txn(cursor: Cursor, until_us: int, limit: int) -> list[tuple[MailboxId, AccountId]]:
    """Mailboxes deleted at `until_us` or before, the oldest ones, with their accounts."""
    cursor.execute(_DEAD_MAILBOXES, (until_us, limit))
    return [(MailboxId(row[0]), AccountId(row[1])) for row in cursor.fetchall()]


# As `sqltext.NOT_DELETED`, so that the row is found, and locked, by its primary key.
_LOCK_DEAD: Final = "SELECT id FROM mailboxes WHERE id = %s AND deleted_at + 0 BETWEEN 1 AND %s FOR UPDATE"
_CONTENT: Final = "SELECT uid, modseq, object FROM messages WHERE mailbox = %s ORDER BY uid LIMIT %s"


def lock_dead_txn(
    cursor: Cursor, account: AccountId, mailbox: MailboxId, until_us: int, limit: int
) -> Sequence[Row] | None:
    """Lock a deleted mailbox, its account first, and read the next messages it holds; None when it is not dead."""
    _, locked, content = cursor.script(
        [
            ("SELECT id FROM accounts WHERE id = %s FOR UPDATE", (account,)),
            (_LOCK_DEAD, (mailbox, until_us)),
            (_CONTENT, (mailbox, limit)),
        ]
    )
    return content.rows if locked.rows else None


_OF_MAILBOX: Final = (
    "DELETE FROM keywords WHERE mailbox = %s",
    "DELETE FROM unused_keywords WHERE mailbox = %s",
    "DELETE FROM deleted_uids WHERE mailbox = %s",
    "DELETE FROM mailboxes WHERE id = %s",
)
_LEFT: Final = (
    "SELECT a.address FROM accounts a WHERE a.id = %s AND a.deleted_at > 0"
    " AND NOT EXISTS (SELECT 1 FROM mailboxes m WHERE m.account = a.id)"
)


def remove_mailbox_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> bytes | None:
    """Remove an empty mailbox with what belongs to it; the account's address where it was a deleted one's last."""
    statements: list[Statement] = [*snapshots.drop_statements(mailbox), *((sql, (mailbox,)) for sql in _OF_MAILBOX)]
    *_, left = cursor.script([*statements, (_LEFT, (account,))])
    return bytes(left.rows[0][0]) if left.rows else None


_OF_ACCOUNT: Final = (
    "DELETE FROM subscriptions WHERE account = %s",
    "DELETE FROM former_names WHERE account = %s",
    "DELETE FROM deliveries WHERE account = %s",
    "DELETE FROM quota_warnings WHERE account = %s",
    "DELETE FROM journal_marks WHERE account = %s",
    "DELETE FROM deleted_views WHERE account = %s",
    "DELETE FROM app_passwords WHERE account = %s",
    "DELETE FROM account_usage WHERE account = %s",
    "DELETE FROM accounts WHERE id = %s",
)
_OWNERS: Final = (
    "SELECT 1 FROM accounts WHERE address = %s AND deleted_at = 0 UNION ALL"
    " SELECT 1 FROM aliases WHERE address = %s LIMIT 1"
)


def remove_account_txn(cursor: Cursor, account: AccountId, address: bytes) -> None:
    """Remove a deleted account that has no mailbox, and what leads to its address where nobody else has that now."""
    statements: list[Statement] = [(sql, (account,)) for sql in _OF_ACCOUNT]
    cursor.script([*calendar_objects.remove_account_statements(account), *statements])
    cursor.execute("DELETE FROM leases WHERE name = %s", (b"maildrop/%d" % account,))
    cursor.execute(_OWNERS, (address, address))
    if cursor.fetchone() is None:
        cursor.execute("DELETE FROM aliases WHERE target = %s", (address,))
