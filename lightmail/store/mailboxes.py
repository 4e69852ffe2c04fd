"""Mailboxes: their names, their counters, their state in numbers.

A mailbox's row is the lock of everything in it: whoever changes messages first raises ``highest_modseq`` there, so
commits come in the order of UIDs and MODSEQs (P2, P3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lightmail.model import AccountId, Mailbox, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.keywords import keywords_txn
from lightmail.store.sqltext import NOW_US, padded, pieces, with_list
from lightmail.store.subscriptions import subscriptions_txn

__all__ = [
    "Locked",
    "MailboxStatus",
    "advance_statements",
    "advanced",
    "by_id_txn",
    "by_name_txn",
    "keywords_txn",
    "list_txn",
    "locked",
    "modseqs_txn",
    "status_txn",
    "subscriptions_txn",
]


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """What STATUS tells (RFC 3501 section 6.3.10): one consistent moment of a mailbox."""

    messages: int
    recent: int
    unseen: int
    uidnext: int
    uidvalidity: int
    highest_modseq: int
    octets: int


@dataclass(frozen=True, slots=True)
class Locked:
    """A mailbox whose row this transaction holds, its counters as raised: `uidnext` above the UIDs just taken."""

    id: MailboxId
    account: AccountId
    uidvalidity: int
    uidnext: int
    highest_modseq: int


def _mailbox(row: Row) -> Mailbox:
    special_use = row[8].decode() if row[8] is not None else None
    return Mailbox(
        MailboxId(row[0]), AccountId(row[1]), row[2].decode(), row[3], row[4], row[5], row[6], row[7], special_use
    )


def by_name_txn(cursor: Cursor, account: AccountId, name: str) -> Mailbox | None:
    """The account's mailbox of that name."""
    cursor.execute(
        "SELECT id, account, name, uidvalidity, uidnext, highest_modseq, forgotten_modseq, recent_uid, special_use"
        " FROM mailboxes WHERE account = %s AND name = %s AND deleted_at = 0",
        (account, name.encode()),
    )
    row = cursor.fetchone()
    return _mailbox(row) if row else None


def by_id_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Mailbox | None:
    """The account's mailbox of that id."""
    cursor.execute(
        "SELECT id, account, name, uidvalidity, uidnext, highest_modseq, forgotten_modseq, recent_uid, special_use"
        " FROM mailboxes WHERE id = %s AND account = %s AND deleted_at = 0",
        (mailbox, account),
    )
    row = cursor.fetchone()
    return _mailbox(row) if row else None


def list_txn(cursor: Cursor, account: AccountId) -> list[Mailbox]:
    """The account's mailboxes, sorted by the octets of their names."""
    cursor.execute(
        "SELECT id, account, name, uidvalidity, uidnext, highest_modseq, forgotten_modseq, recent_uid, special_use"
        " FROM mailboxes WHERE account = %s AND deleted_at = 0 ORDER BY name",
        (account,),
    )
    return [_mailbox(row) for row in cursor.fetchall()]


_STATUS: Final = (
    "SELECT b.uidnext, b.uidvalidity, b.highest_modseq, COUNT(m.uid), COALESCE(SUM(m.octets), 0),"
    " COALESCE(SUM(CASE WHEN (m.flags & 1) = 0 THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN m.uid > b.recent_uid THEN 1 ELSE 0 END), 0)"
    " FROM mailboxes b LEFT JOIN messages m ON m.mailbox = b.id AND m.deleted_at = 0"
    " WHERE b.account = %s AND b.name = %s AND b.deleted_at = 0"
    " GROUP BY b.id, b.uidnext, b.uidvalidity, b.highest_modseq"
)
_COUNTERS: Final = (
    "SELECT uidnext, uidvalidity, highest_modseq FROM mailboxes WHERE account = %s AND name = %s AND deleted_at = 0"
)


def status_txn(cursor: Cursor, account: AccountId, name: str, counts: bool = True) -> MailboxStatus | None:
    """The mailbox in numbers, or None. Without `counts`, what needs a look at the messages is 0, and cheap."""
    cursor.execute(_STATUS if counts else _COUNTERS, (account, name.encode()))
    row = cursor.fetchone()
    if row is None:
        return None
    if not counts:
        return MailboxStatus(0, 0, 0, row[0], row[1], row[2], 0)
    messages, octets, unseen, recent = (int(value) for value in row[3:7])
    return MailboxStatus(messages, recent, unseen, row[0], row[1], row[2], octets)


_MODSEQS: Final = "SELECT id, highest_modseq FROM mailboxes WHERE id IN ({list})"


def modseqs_txn(cursor: Cursor, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, int]:
    """The highest MODSEQ of each mailbox, deleted ones too: a deletion is a change that sessions must learn of."""
    found: dict[MailboxId, int] = {}
    for piece in pieces(mailboxes):
        ids = padded(piece)
        cursor.execute(with_list(_MODSEQS, len(ids)), ids)
        found.update((MailboxId(row[0]), row[1]) for row in cursor.fetchall())
    return found


# --- writes ---

_ADVANCE: Final = (
    "UPDATE mailboxes SET uidnext = uidnext + %s, highest_modseq = highest_modseq + 1"
    " WHERE id = %s AND account = %s AND deleted_at = 0"
)
_LOCKED: Final = (
    "SELECT id, account, uidvalidity, uidnext, highest_modseq FROM mailboxes WHERE id IN ({list}) AND deleted_at = 0"
)


# For each mailbox, with the account that it is thought to belong to, how many UIDs to take there.
Advance: TypeAlias = Mapping[tuple[MailboxId, AccountId], int]


def advance_statements(advance: Advance) -> list[Statement]:
    """The statements that lock mailboxes, by ascending id, take UIDs and raise MODSEQs; the last one reads them back.

    Pass the last one's rows to `advanced`.
    """
    ids = padded(sorted({mailbox for mailbox, _ in advance}))
    return [
        *((_ADVANCE, (advance[key], *key)) for key in sorted(advance)),
        (with_list(_LOCKED, len(ids)), ids),
    ]


def advanced(rows: Iterable[Row], advance: Advance) -> dict[MailboxId, Locked]:
    """The mailboxes that `advance_statements` locked; one that does not exist, or is another account's, is missing."""
    return {mailbox: found for mailbox, found in locked(rows).items() if (mailbox, found.account) in advance}


def locked(rows: Iterable[Row]) -> dict[MailboxId, Locked]:
    """The mailboxes that `lock_statements` locked; one that does not exist, or is another account's, is missing."""
    return {MailboxId(row[0]): Locked(MailboxId(row[0]), AccountId(row[1]), row[2], row[3], row[4]) for row in rows}


_LOCK: Final = (
    "SELECT id, account, uidvalidity, uidnext, highest_modseq FROM mailboxes"
    " WHERE id = %s AND account = %s AND deleted_at = 0 FOR UPDATE"
)


def lock_statements(account: AccountId, mailboxes: Collection[MailboxId]) -> list[Statement]:
    """The statements that lock mailboxes as they are, by ascending id; hand all their rows to `locked`."""
    return [(_LOCK, (mailbox, account)) for mailbox in sorted(set(mailboxes))]


def claim_recent_txn(cursor: Cursor, mailbox: MailboxId) -> tuple[int, int] | None:
    """Take the mailbox's recent messages: (last UID taken before, last UID there is); None when it does not exist."""
    cursor.execute("SELECT recent_uid, uidnext FROM mailboxes WHERE id = %s AND deleted_at = 0 FOR UPDATE", (mailbox,))
    row = cursor.fetchone()
    if row is None:
        return None
    taken, last = row[0], row[1] - 1
    if last > taken:
        cursor.execute("UPDATE mailboxes SET recent_uid = %s WHERE id = %s", (last, mailbox))
    return taken, last


_TAKE_UIDVALIDITY: Final = (
    "UPDATE accounts SET next_uidvalidity = %s + CASE WHEN next_uidvalidity > UNIX_TIMESTAMP()"
    " THEN next_uidvalidity ELSE UNIX_TIMESTAMP() END WHERE id = %s"
)


def take_uidvalidity_txn(cursor: Cursor, account: AccountId, count: int = 1) -> int:
    """The first of `count` UIDVALIDITY values never given before in this account; its row is locked from now on."""
    _, read = cursor.script(
        [
            (_TAKE_UIDVALIDITY, (count, account)),
            ("SELECT next_uidvalidity FROM accounts WHERE id = %s", (account,)),
        ]
    )
    return int(read.rows[0][0]) - count


_INSERT: Final = (
    "INSERT INTO mailboxes (account, name, uidvalidity, special_use, epoch)"
    " SELECT %s, %s, %s, %s, epoch FROM store WHERE id = 1"
)


def insert_txn(cursor: Cursor, account: AccountId, name: str, uidvalidity: int, special_use: str | None) -> None:
    """Add an empty mailbox; DuplicateKey when the name is taken."""
    use = special_use.encode() if special_use is not None else None
    cursor.execute(_INSERT, (account, name.encode(), uidvalidity, use))


def rename_txn(cursor: Cursor, mailbox: MailboxId, name: str, uidvalidity: int) -> None:
    """Give a mailbox another name; DuplicateKey when it is taken."""
    cursor.execute(
        "UPDATE mailboxes SET name = %s, uidvalidity = %s, highest_modseq = highest_modseq + 1 WHERE id = %s",
        (name.encode(), uidvalidity, mailbox),
    )


_DELETE: Final = (
    f"UPDATE mailboxes SET deleted_at = {NOW_US}, highest_modseq = highest_modseq + 1"  # noqa: S608
    " WHERE id = %s AND deleted_at = 0"
)


def delete_txn(cursor: Cursor, mailbox: MailboxId) -> None:
    """Mark a mailbox deleted: its name is free, its rows stay until they are purged."""
    cursor.execute(_DELETE, (mailbox,))


def former_uidvalidity_txn(cursor: Cursor, account: AccountId, name: str) -> int:
    """The highest UIDVALIDITY that the name carried before; 0 when it never did."""
    cursor.execute("SELECT uidvalidity FROM former_names WHERE account = %s AND name = %s", (account, name.encode()))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def leave_name_txn(cursor: Cursor, account: AccountId, name: str, uidvalidity: int) -> None:
    """Remember that the name carried this UIDVALIDITY, when a mailbox leaves it; the account's row is locked."""
    key = (account, name.encode())
    if cursor.execute(
        "UPDATE former_names SET uidvalidity = CASE WHEN uidvalidity > %s THEN uidvalidity ELSE %s END"
        " WHERE account = %s AND name = %s",
        (uidvalidity, uidvalidity, *key),
    ):
        return
    cursor.execute("INSERT INTO former_names (account, name, uidvalidity) VALUES (%s, %s, %s)", (*key, uidvalidity))
