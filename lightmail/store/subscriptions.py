"""Subscriptions (RFC 3501 section 6.3.6): names, not mailboxes; they survive a DELETE."""

from __future__ import annotations

from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor

# The journal finds changed subscriptions by it; and it locks the account's row first, as whoever changes names does.
_CHANGED: Final = "UPDATE accounts SET meta_seq = meta_seq + 1 WHERE id = %s"


def subscriptions_txn(cursor: Cursor, account: AccountId) -> list[str]:
    """The names the account is subscribed to, sorted by their octets."""
    cursor.execute("SELECT name FROM subscriptions WHERE account = %s ORDER BY name", (account,))
    return [row[0].decode() for row in cursor.fetchall()]


def insert_txn(cursor: Cursor, account: AccountId, name: str) -> None:
    """Subscribe; DuplicateKey when the account is."""
    insert = "INSERT INTO subscriptions (account, name) VALUES (%s, %s)"
    cursor.script([(_CHANGED, (account,)), (insert, (account, name.encode()))])


def count_txn(cursor: Cursor, account: AccountId) -> int:
    """How many names the account is subscribed to."""
    cursor.execute("SELECT COUNT(*) FROM subscriptions WHERE account = %s", (account,))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def delete_txn(cursor: Cursor, account: AccountId, name: str) -> None:
    """Unsubscribe, whether the account was subscribed or not."""
    delete = "DELETE FROM subscriptions WHERE account = %s AND name = %s"
    cursor.script([(_CHANGED, (account,)), (delete, (account, name.encode()))])
