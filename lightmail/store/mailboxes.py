"""Mailboxes: their names, their counters, their state in numbers.

A mailbox's row is the lock of everything in it: whoever changes messages first raises ``highest_modseq`` there, so
commits come in the order of UIDs and MODSEQs (P2, P3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lightmail.model import AccountId, Mailbox, MailboxId
from lightmail.store.cursor import Bulk, Cursor, Row, Statement
from lightmail.store.faults import OlderEpoch
from lightmail.store.keywords import keywords_txn
from lightmail.store.sqltext import NOT_DELETED, NOW_US, padded, pieces, with_list
from lightmail.store.subscriptions import subscriptions_txn

__all__ = [
    "JUMP",
    "Locked",
    "MailboxStatus",
    "advance_statements",
    "advanced",
    "by_id_txn",
    "by_name_txn",
    "jump_txn",
    "keywords_txn",
    "list_txn",
    "locked",
    "modseqs_txn",
    "name_statement",
    "named_statement",
    "require_current",
    "status_txn",
    "subscriptions_txn",
]


# How far the counters of a mailbox jump for each epoch that it is older: further than it can have grown in a lost tail.
# A backup that is restored twice is two epochs older the second time, and jumps over what the first time gave out.
JUMP: Final = 1 << 20
# Whether they must, before anything reads or raises them (`store.epochs`).
_OLDER: Final = "epoch < (SELECT epoch FROM store WHERE id = 1)"
_DISTANCE: Final = f"((SELECT epoch FROM store WHERE id = 1) - epoch) * {JUMP}"  # noqa: S608


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


# A mailbox of an older epoch is at the MODSEQ that it will have once it is read: whoever knows it as it was is behind.
_MODSEQ: Final = f"highest_modseq + {_DISTANCE}"
_SELECT: Final = (
    f"SELECT id, account, name, uidvalidity, uidnext, {_MODSEQ}, forgotten_modseq, recent_uid, special_use"  # noqa: S608
    " FROM mailboxes"
)


def _mailbox(row: Row) -> Mailbox:
    special_use = row[8].decode() if row[8] is not None else None
    return Mailbox(
        MailboxId(row[0]), AccountId(row[1]), row[2].decode(), row[3], row[4], row[5], row[6], row[7], special_use
    )


def name_statement(account: AccountId, name: str) -> Statement:
    """The statement that finds the account's mailbox of that name, for a script."""
    return (
        f"{_SELECT} WHERE account = %s AND name = %s AND deleted_at = 0",
        (account, name.encode()),
    )


def named_statement(account: AccountId, name: str) -> Statement:
    """The statement whose row is the id of the account's mailbox of that name; there is none without it."""
    return "SELECT id FROM mailboxes WHERE account = %s AND name = %s AND deleted_at = 0", (account, name.encode())


def by_name_txn(cursor: Cursor, account: AccountId, name: str) -> Mailbox | None:
    """The account's mailbox of that name."""
    cursor.execute(*name_statement(account, name))
    row = cursor.fetchone()
    return _mailbox(row) if row else None


def by_id_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Mailbox | None:
    """The account's mailbox of that id."""
    cursor.execute(
        f"{_SELECT} WHERE id = %s AND account = %s AND deleted_at = 0",
        (mailbox, account),
    )
    row = cursor.fetchone()
    return _mailbox(row) if row else None


def list_txn(cursor: Cursor, account: AccountId) -> list[Mailbox]:
    """The account's mailboxes, sorted by the octets of their names."""
    cursor.execute(
        f"{_SELECT} WHERE account = %s AND deleted_at = 0 ORDER BY name",
        (account,),
    )
    return [_mailbox(row) for row in cursor.fetchall()]


_STATUS: Final = (
    "SELECT b.id, b.epoch < (SELECT epoch FROM store WHERE id = 1),"
    " b.uidnext, b.uidvalidity, b.highest_modseq, COUNT(m.uid), COALESCE(SUM(m.octets), 0),"
    " COALESCE(SUM(CASE WHEN (m.flags & 1) = 0 THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN m.uid > b.recent_uid THEN 1 ELSE 0 END), 0)"
    " FROM mailboxes b LEFT JOIN messages m ON m.mailbox = b.id AND m.deleted_at = 0"
    " WHERE b.account = %s AND b.name = %s AND b.deleted_at = 0"
    " GROUP BY b.id, b.epoch, b.uidnext, b.uidvalidity, b.highest_modseq"
)
_COUNTERS: Final = (
    f"SELECT id, {_OLDER}, uidnext, uidvalidity, highest_modseq FROM mailboxes"  # noqa: S608
    " WHERE account = %s AND name = %s AND deleted_at = 0"
)


def status_txn(cursor: Cursor, account: AccountId, name: str, counts: bool = True) -> MailboxStatus | None:
    """The mailbox in numbers, or None. Without `counts`, what needs a look at the messages is 0, and cheap.

    Raises OlderEpoch.
    """
    cursor.execute(_STATUS if counts else _COUNTERS, (account, name.encode()))
    row = cursor.fetchone()
    if row is None:
        return None
    require_current([row])
    if not counts:
        return MailboxStatus(0, 0, 0, row[2], row[3], row[4], 0)
    messages, octets, unseen, recent = (int(value) for value in row[5:9])
    return MailboxStatus(messages, recent, unseen, row[2], row[3], row[4], octets)


_MODSEQS: Final = f"SELECT id, {_MODSEQ} FROM mailboxes WHERE id IN ({{list}})"  # noqa: S608


def modseqs_txn(cursor: Cursor, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, int]:
    """The highest MODSEQ of each mailbox, deleted ones too: a deletion is a change that sessions must learn of."""
    found: dict[MailboxId, int] = {}
    for piece in pieces(mailboxes):
        ids = padded(piece)
        cursor.execute(with_list(_MODSEQS, len(ids)), ids)
        found.update((MailboxId(row[0]), row[1]) for row in cursor.fetchall())
    return found


def require_current(rows: Iterable[Row]) -> None:
    """Raise OlderEpoch if any of `rows`, which begin with (mailbox, whether its epoch is older), says so."""
    older = [MailboxId(row[0]) for row in rows if row[1]]
    if older:
        raise OlderEpoch(older)


# --- writes ---

_JUMP: Final = (
    f"UPDATE mailboxes SET uidnext = uidnext + {_DISTANCE}, highest_modseq = highest_modseq + {_DISTANCE}"  # noqa: S608
    f" WHERE id IN ({{list}}) AND {_OLDER}"
)
# All that anyone was told before is forgotten, by clients as by the journal: what went with the tail can only be told
# by reading all anew.
_LAND: Final = (
    "UPDATE mailboxes SET forgotten_modseq = highest_modseq, journal_modseq = 0,"  # noqa: S608
    f" epoch = (SELECT epoch FROM store WHERE id = 1) WHERE id IN ({{list}}) AND {_OLDER}"
)


def jump_txn(cursor: Cursor, mailboxes: Collection[MailboxId]) -> None:
    """Bring mailboxes to the store's epoch: their next UIDs and MODSEQs are above all that any session has seen."""
    ids = padded(sorted(set(mailboxes)))
    cursor.script([(with_list(sql, len(ids)), ids) for sql in (_JUMP, _LAND)])


_ADVANCE: Final = (
    "UPDATE mailboxes SET uidnext = uidnext + %s, highest_modseq = highest_modseq + 1"  # noqa: S608
    f" WHERE id = %s AND account = %s AND {NOT_DELETED}"
)
_LOCKED: Final = ("id", _OLDER, "account", "uidvalidity", "uidnext", "highest_modseq")
_LOCKED_FROM: Final = "mailboxes WHERE id IN ({list}) AND deleted_at = 0"


# For each mailbox, with the account that it is thought to belong to, how many UIDs to take there.
Advance: TypeAlias = Mapping[tuple[MailboxId, AccountId], int]


def advance_statements(advance: Advance) -> list[Statement | Bulk]:
    """The statements that lock mailboxes, by ascending id, take UIDs and raise MODSEQs; the last one reads them back.

    Pass the last one's rows to `advanced`.
    """
    ids = padded(sorted({mailbox for mailbox, _ in advance}))
    return [
        *((_ADVANCE, (advance[key], *key)) for key in sorted(advance)),
        Bulk(_LOCKED, with_list(_LOCKED_FROM, len(ids)), None, ids),
    ]


def advanced(rows: Iterable[Row], advance: Advance) -> dict[MailboxId, Locked]:
    """The mailboxes that `advance_statements` locked; one that does not exist, or is another account's, is missing.

    Raises OlderEpoch.
    """
    return {mailbox: found for mailbox, found in locked(rows).items() if (mailbox, found.account) in advance}


def locked(rows: Iterable[Row]) -> dict[MailboxId, Locked]:
    """The mailboxes that `lock_statements` locked; one that does not exist, or is another account's, is missing.

    Raises OlderEpoch.
    """
    found = list(rows)
    require_current(found)
    return {MailboxId(row[0]): Locked(MailboxId(row[0]), AccountId(row[2]), *row[3:6]) for row in found}


_LOCK: Final = (
    f"SELECT id, {_OLDER}, account, uidvalidity, uidnext, highest_modseq FROM mailboxes"  # noqa: S608
    f" WHERE id = %s AND account = %s AND {NOT_DELETED} FOR UPDATE"
)


def lock_statements(account: AccountId, mailboxes: Collection[MailboxId]) -> list[Statement]:
    """The statements that lock mailboxes as they are, by ascending id; hand all their rows to `locked`."""
    return [(_LOCK, (mailbox, account)) for mailbox in sorted(set(mailboxes))]


_LOCK_RECENT: Final = f"SELECT recent_uid, uidnext FROM mailboxes WHERE id = %s AND {NOT_DELETED} FOR UPDATE"  # noqa: S608


def claim_recent_txn(cursor: Cursor, mailbox: MailboxId) -> tuple[int, int] | None:
    """Take the mailbox's recent messages: (last UID taken before, last UID there is); None when it does not exist."""
    cursor.execute(_LOCK_RECENT, (mailbox,))
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
    f" WHERE id = %s AND {NOT_DELETED}"
)


def delete_statement(mailbox: MailboxId) -> Statement:
    """The statement that marks a mailbox deleted: its name is free, its rows stay until they are purged."""
    return _DELETE, (mailbox,)


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
