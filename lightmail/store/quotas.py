"""Which accounts run full, and what was said of it (table `quota_warnings`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import INBOX, Account, AccountId, MailboxId
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.sqltext import NOW_US, padded, pieces, with_list

# Its owner was told that the account is nearly full; mail for it was refused.
WARNING: Final = "warning"
EXCEEDED: Final = "exceeded"


@dataclass(frozen=True, slots=True)
class Filling:
    """An account that uses much of what it may, and its INBOX."""

    account: Account
    inbox: MailboxId
    quota: Quota


# Decimal or floating point: an integer product of a large quota would not fit into 64 bits.
_USES: Final = (
    "((a.quota_octets > 0 AND u.octets >= a.quota_octets * (%s / 100.0))"
    " OR (a.quota_messages > 0 AND u.messages >= a.quota_messages * (%s / 100.0)))"
)
_FILLING: Final = (
    "SELECT a.id, a.uuid, a.address, a.active, a.quota_octets, a.quota_messages, b.id, u.octets, u.messages"  # noqa: S608
    " FROM accounts a JOIN account_usage u ON u.account = a.id"
    " JOIN mailboxes b ON b.account = a.id AND b.name = %s AND b.deleted_at = 0"
    f" WHERE a.id > %s AND a.deleted_at = 0 AND {_USES}"
    " AND NOT EXISTS (SELECT 1 FROM quota_warnings w WHERE w.account = a.id AND w.kind = %s)"
    " ORDER BY a.id LIMIT %s"
)


def filling_txn(cursor: Cursor, percent: int, after: AccountId, limit: int) -> list[Filling]:
    """Accounts above the id `after` that use `percent` of a quota and were not told so: the first `limit`, by id."""
    cursor.execute(_FILLING, (INBOX.encode(), after, percent, percent, WARNING.encode(), limit))
    return [
        Filling(
            Account(AccountId(row[0]), row[1], row[2].decode(), bool(row[3]), row[4], row[5]),
            MailboxId(row[6]),
            Quota(row[4], row[5], row[7], row[8]),
        )
        for row in cursor.fetchall()
    ]


_SAID: Final = "SELECT account FROM quota_warnings WHERE account IN ({list}) AND kind = %s"


def said_txn(cursor: Cursor, kind: str, accounts: Sequence[AccountId]) -> set[AccountId]:
    """Of which of the accounts that was said."""
    found: set[AccountId] = set()
    for piece in pieces(accounts):
        ids = padded(piece)
        cursor.execute(with_list(_SAID, len(ids)), [*ids, kind.encode()])
        found.update(AccountId(row[0]) for row in cursor.fetchall())
    return found


# --- writes ---

_SAY: Final = (
    f"INSERT INTO quota_warnings (account, kind, warned_at) SELECT %s, %s, {NOW_US} FROM store"  # noqa: S608
    " WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM quota_warnings WHERE account = %s AND kind = %s)"
)


def say_statement(kind: str, account: AccountId) -> Statement:
    """The statement that notes that this is said of the account; it inserts no row when it was said and still holds.

    DuplicateKey where another transaction says so at the same moment.
    """
    key = (account, kind.encode())
    return _SAY, (*key, *key)


_UNSAY: Final = (
    f"DELETE FROM quota_warnings WHERE kind = %s AND warned_at <= {NOW_US} - %s AND NOT EXISTS"  # noqa: S608
    " (SELECT 1 FROM accounts a JOIN account_usage u ON u.account = a.id"
    f" WHERE a.id = quota_warnings.account AND a.deleted_at = 0 AND {_USES})"
)


def unsay_txn(cursor: Cursor, kind: str, percent: int, age_us: int) -> int:
    """Forget that it was said, `age_us` ago or longer, of accounts that use less than `percent` of their quotas, have
    none, or are gone; of how many."""
    return cursor.execute(_UNSAY, (kind.encode(), age_us, percent, percent))
