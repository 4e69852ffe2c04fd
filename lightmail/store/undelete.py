"""What can be restored: expunged messages with their objects, and the mailboxes and accounts that were deleted.

A message can be restored while its row is EXPUNGED and refers to an object that is LIVE. It went with its mailbox where
both carry the same moment of deletion. Purging and restoring hold the lock of its mailbox.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.model import AccountId, MailboxId
from lightmail.store.blobs import shown_fields
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import FATES_WITH_OBJECT, NOW_US, padded, uid_conditions, with_list, with_uids

FOR_EVER_US: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Filters:
    """Which expunged messages: those that meet every condition that is given.

    `mailbox` is a name; deletions are in [`since_us`, `until_us`); `sender` and `subject` are parts of the decoded
    fields, compared without regard to case. `ids` are those of messages. With `whole`, only what went with its mailbox,
    and `ids` are those of mailboxes. `box` is the id of one mailbox, which others may have had the name of; 0: any.
    """

    mailbox: str | None = None
    since_us: int = 0
    until_us: int = FOR_EVER_US
    sender: str = ""
    subject: str = ""
    ids: tuple[int, ...] = ()
    whole: bool = False
    box: int = 0


@dataclass(frozen=True, slots=True)
class Expunged:
    """An expunged message as an operator sees it; `sender` and `subject` are its fields, decoded."""

    id: int
    mailbox: str
    mailbox_deleted_us: int
    deleted_us: int
    internaldate_us: int
    octets: int
    sender: str
    subject: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A mailbox that has something to restore, as a filter sees it; `deleted_us` 0: the mailbox is there."""

    id: MailboxId
    name: str
    deleted_us: int
    special_use: str | None
    messages: int
    octets: int


# The conditions that are not given cost a comparison of two constants.
_WHERE: Final = (
    " FROM mailboxes b JOIN messages m ON m.mailbox = b.id JOIN objects o ON o.id = m.object"
    " LEFT JOIN renderings r ON r.object = m.object"
    " WHERE b.account = %s AND m.deleted_at > 0 AND m.fate = 1 AND o.state = 1 AND m.deleted_at >= %s"
    " AND m.deleted_at < %s AND (%s = 0 OR b.name = %s) AND (%s = 0 OR m.deleted_at = b.deleted_at)"
    " AND (%s = 0 OR b.id = %s)"
    " AND (%s = 0 OR INSTR(r.from_text, %s) > 0) AND (%s = 0 OR INSTR(r.subject, %s) > 0)"
)
_MESSAGE_IDS: Final = " AND m.id IN ({list})"
_MAILBOX_IDS: Final = " AND b.id IN ({list})"


def _where(account: AccountId, filters: Filters) -> tuple[str, list[Any]]:
    """The FROM and WHERE of a filter, and its parameters."""
    given = [text.casefold().encode("utf-8", "replace") for text in (filters.sender, filters.subject)]
    params: list[Any] = [account, filters.since_us, filters.until_us]
    params += [int(filters.mailbox is not None), (filters.mailbox or "").encode(), int(filters.whole)]
    params += [filters.box, filters.box]
    for text in given:
        params += [int(bool(text)), text]
    if not filters.ids:
        return _WHERE, params
    ids = padded(filters.ids)
    return with_list(_WHERE + (_MAILBOX_IDS if filters.whole else _MESSAGE_IDS), len(ids)), [*params, *ids]


_LIST: Final = (
    "SELECT m.id, b.name, b.deleted_at, m.deleted_at, m.internaldate_us, m.octets, r.header_zstd, r.header_fields"
)
_NEWEST: Final = " ORDER BY m.deleted_at DESC, m.id DESC LIMIT %s"


def list_txn(cursor: Cursor, account: AccountId, filters: Filters, limit: int) -> list[Expunged]:
    """The expunged messages of an account that a filter lets through, those deleted last first, at most `limit`."""
    where, params = _where(account, filters)
    cursor.execute(_LIST + where + _NEWEST, [*params, limit])
    return [
        Expunged(row[0], row[1].decode(), row[2], row[3], row[4], row[5], *_fields(row[6], row[7]))
        for row in cursor.fetchall()
    ]


def _fields(header_zstd: bytes | None, header_fields: bytes | None) -> tuple[str, str]:
    """From and Subject of a message's header block; a row that is missing has none to show."""
    if header_zstd is None or header_fields is None:
        return "", ""
    sender, subject = shown_fields(header_zstd, header_fields, (b"from", b"subject"))
    return sender, subject


_ORIGINS: Final = "SELECT b.id, b.name, b.deleted_at, b.special_use, COUNT(*), SUM(m.octets)"
_BY_MAILBOX: Final = " GROUP BY b.id, b.name, b.deleted_at, b.special_use ORDER BY b.id"


def origins_txn(cursor: Cursor, account: AccountId, filters: Filters) -> list[Origin]:
    """The mailboxes that have something that a filter lets through, by id."""
    where, params = _where(account, filters)
    cursor.execute(_ORIGINS + where + _BY_MAILBOX, params)
    return [
        Origin(
            MailboxId(row[0]),
            row[1].decode(),
            row[2],
            row[3].decode() if row[3] is not None else None,
            int(row[4]),
            int(row[5]),
        )
        for row in cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class Day:
    """What was deleted from a mailbox on one day, which begins at `day_us` in UTC; `deleted_us` 0: it is there."""

    mailbox: MailboxId
    name: str
    deleted_us: int
    day_us: int
    messages: int


# The `+ 0` keeps servers from reading the deletions of all accounts by their index. The names of mailboxes stay out of
# it: they would be compared for each message.
_DAYS: Final = (
    "SELECT m.mailbox, m.deleted_at - m.deleted_at %% 86400000000, COUNT(*)"
    " FROM mailboxes b JOIN messages m ON m.mailbox = b.id"
    " WHERE b.account = %s AND m.fate = 1 AND m.deleted_at + 0 > 0 AND m.object IS NOT NULL"
    " GROUP BY m.mailbox, m.deleted_at - m.deleted_at %% 86400000000"
)
_NAMED: Final = "SELECT id, name, deleted_at FROM mailboxes WHERE id IN ({list})"


def days_txn(cursor: Cursor, account: AccountId) -> list[Day]:
    """How many messages of an account can be restored, by mailbox and day of their deletion, in no order.

    Objects are not looked at, which would cost half as much again: one that has been given up is counted.
    """
    cursor.execute(_DAYS, (account,))
    days = cursor.fetchall()
    if not days:
        return []
    ids = padded(sorted({row[0] for row in days}))
    cursor.execute(with_list(_NAMED, len(ids)), ids)
    named = {row[0]: (row[1].decode(), row[2]) for row in cursor.fetchall()}
    return [
        Day(MailboxId(mailbox), *named[mailbox], int(day_us), int(messages))
        for mailbox, day_us, messages in days
        if mailbox in named
    ]


_UIDS: Final = "SELECT m.uid"
_PAGE: Final = " AND b.id = %s AND m.uid > %s ORDER BY m.uid LIMIT %s"


def page_txn(
    cursor: Cursor, account: AccountId, filters: Filters, mailbox: MailboxId, after: int, limit: int
) -> list[int]:
    """The first UIDs above `after` in a mailbox that a filter lets through, ascending."""
    where, params = _where(account, filters)
    cursor.execute(_UIDS + where + _PAGE, [*params, mailbox, after, limit])
    return [row[0] for row in cursor.fetchall()]


def missing_txn(cursor: Cursor, account: AccountId, filters: Filters) -> list[int]:
    """Which of the filter's ids it does not let through."""
    where, params = _where(account, filters)
    cursor.execute(("SELECT DISTINCT b.id" if filters.whole else "SELECT m.id") + where, params)
    found = {row[0] for row in cursor.fetchall()}
    return sorted(set(filters.ids) - found)


# --- restoring messages ---

_LOCK_DELETED: Final = "SELECT id FROM mailboxes WHERE id = %s AND account = %s AND deleted_at > 0 FOR UPDATE"
_ADVANCE_DELETED: Final = "UPDATE mailboxes SET highest_modseq = highest_modseq + 1 WHERE id = %s AND deleted_at > 0"
_MODSEQS: Final = "SELECT id, highest_modseq FROM mailboxes WHERE id IN ({list})"


def lock_deleted_statement(account: AccountId, mailbox: MailboxId) -> Statement:
    """The statement that locks a mailbox if it is deleted; it finds no row if it is not."""
    return _LOCK_DELETED, (mailbox, account)


def advance_deleted_statement(mailbox: MailboxId) -> Statement:
    """The statement that raises the MODSEQ of a deleted mailbox, whose row is locked: what was there changes."""
    return _ADVANCE_DELETED, (mailbox,)


def modseqs_statement(mailboxes: Collection[MailboxId]) -> Statement:
    """The statement that reads (id, highest MODSEQ) of mailboxes, deleted or not."""
    ids = padded(sorted(mailboxes))
    return with_list(_MODSEQS, len(ids)), ids


# By UID, which whoever asks has from a list that says what he may restore: what was withheld stands in none of owners'.
_EXPUNGED: Final = (
    "SELECT uid, flags, octets, internaldate_us, object FROM messages"  # noqa: S608
    f" WHERE mailbox = %s AND deleted_at > 0 AND fate IN {FATES_WITH_OBJECT} AND object IS NOT NULL AND {{uids}}"
)


def expunged_statements(mailbox: MailboxId, uids: Sequence[int]) -> list[Statement]:
    """The statements that read what of `uids` (ascending) can be restored.

    Their rows are (uid, flags, octets, internaldate_us, object).
    """
    return [(with_uids(_EXPUNGED, condition), (mailbox, *params)) for condition, params in uid_conditions(uids)]


_RETIRE: Final = (
    "UPDATE messages SET fate = 3, object = NULL, modseq = (SELECT highest_modseq FROM mailboxes WHERE id = %s)"  # noqa: S608
    f" WHERE mailbox = %s AND deleted_at > 0 AND fate IN {FATES_WITH_OBJECT} AND object IS NOT NULL AND {{uids}}"
)


def retire_statements(mailbox: MailboxId, uids: Sequence[int]) -> list[Statement]:
    """The statements that make expunged and withheld messages RESTORED ones, at the mailbox's MODSEQ as it is now."""
    return [(with_uids(_RETIRE, condition), (mailbox, mailbox, *params)) for condition, params in uid_conditions(uids)]


_FORGET: Final = "DELETE FROM deleted_uids WHERE mailbox = %s AND {uids}"


def forget_statements(mailbox: MailboxId, uids: Sequence[int]) -> list[Statement]:
    """The statements that take messages of a mailbox (UIDs ascending) out of the `Deleted` tree."""
    return [(with_uids(_FORGET, condition), (mailbox, *params)) for condition, params in uid_conditions(uids)]


# --- deleted accounts ---


@dataclass(frozen=True, slots=True)
class DeletedAccount:
    """An account that was deleted, and how many messages it had. `domain` is the id of the domain that it was in."""

    id: AccountId
    address: str
    domain: int
    deleted_us: int
    messages: int


_DELETED_ACCOUNT: Final = (
    "SELECT a.id, a.address, a.domain, a.deleted_at, COALESCE(u.messages, 0) FROM accounts a"
    " LEFT JOIN account_usage u ON u.account = a.id"
)
_BY_ID: Final = f"{_DELETED_ACCOUNT} WHERE a.id = %s AND a.deleted_at > 0"
# In a store that is younger than the window, the window alone would let accounts in that are not deleted.
_LATELY: Final = f"a.deleted_at > {NOW_US} - %s AND a.deleted_at > 0"
_BY_ADDRESS: Final = f"{_DELETED_ACCOUNT} WHERE a.address = %s AND {_LATELY} ORDER BY a.deleted_at"
# The ids are found in an index alone, which has all accounts: one on `deleted_at` would tempt statements that lock.
_PAGE_OF_DELETED: Final = (
    "SELECT a.id, a.address, a.domain, a.deleted_at, COALESCE(u.messages, 0) FROM"  # noqa: S608
    f" (SELECT a.id FROM accounts a WHERE {_LATELY} AND (%s OR a.domain = %s) AND (%s OR a.id < %s)"
    " ORDER BY a.id DESC LIMIT %s OFFSET %s) p"
    " JOIN accounts a ON a.id = p.id LEFT JOIN account_usage u ON u.account = a.id ORDER BY a.id DESC"
)


def _deleted_account(row: Row) -> DeletedAccount:
    return DeletedAccount(AccountId(row[0]), row[1].decode(), row[2], row[3], int(row[4]))


def deleted_account_txn(cursor: Cursor, account: AccountId) -> DeletedAccount | None:
    """The account of that id, if it is deleted and not purged."""
    cursor.execute(_BY_ID, (account,))
    row = cursor.fetchone()
    return _deleted_account(row) if row else None


def deleted_accounts_txn(cursor: Cursor, address: str, window_us: int) -> list[DeletedAccount]:
    """The accounts of that address that were deleted within the last `window_us`, in the order of their deletion."""
    cursor.execute(_BY_ADDRESS, (address.encode(), window_us))
    return [_deleted_account(row) for row in cursor.fetchall()]


def restorable_accounts_txn(
    cursor: Cursor, domain: int | None, window_us: int, before: int | None, limit: int, offset: int = 0
) -> list[DeletedAccount]:
    """Accounts of a domain, or of all, that were deleted within the last `window_us`, by descending id below `before`:
    `limit` of them after the first `offset`."""
    which = (domain is None, domain or 0, before is None, before or 0)
    cursor.execute(_PAGE_OF_DELETED, (window_us, *which, limit, offset))
    return [_deleted_account(row) for row in cursor.fetchall()]


def restore_account_txn(cursor: Cursor, account: DeletedAccount, domain: int) -> bool:
    """Bring a deleted account back with the mailboxes that went with it; False when it is not deleted any more.

    DuplicateKey where its address is taken. Its messages and its usage are as they were.
    """
    revived = cursor.execute(
        "UPDATE accounts SET deleted_at = 0, domain = %s, meta_seq = meta_seq + 1 WHERE id = %s AND deleted_at = %s",
        (domain, account.id, account.deleted_us),
    )
    if not revived:
        return False
    cursor.execute(
        "UPDATE mailboxes SET deleted_at = 0, highest_modseq = highest_modseq + 1"
        " WHERE account = %s AND deleted_at = %s",
        (account.id, account.deleted_us),
    )
    return True
