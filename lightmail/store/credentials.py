"""What a login name and, perhaps, an app password mean: one statement for each login, one row at most."""

from __future__ import annotations

from typing import Final

from lightmail.model import Account, AccountId, Credentials
from lightmail.store.cursor import Cursor

_BY_ADDRESS: Final = (
    "SELECT id, uuid, address, active, quota_octets, quota_messages, password_hash, 0, NULL FROM accounts"
    " WHERE address = %s AND deleted_at = 0"
)
_WITH_APP_PASSWORD: Final = (
    "SELECT a.id, a.uuid, a.address, a.active, a.quota_octets, a.quota_messages, a.password_hash, p.id, p.protocols"
    " FROM accounts a LEFT JOIN app_passwords p ON p.account = a.id AND p.secret_sha256 = %s"
    " WHERE a.address = %s AND a.deleted_at = 0"
)


def find_txn(cursor: Cursor, address: str, app_secret: bytes | None) -> Credentials | None:
    """What opens the account of that address. Aliases do not log in.

    `app_secret` is the digest of what may be one of its app passwords, None for what can be none.
    """
    if app_secret is None:
        cursor.execute(_BY_ADDRESS, (address.encode(),))
    else:
        cursor.execute(_WITH_APP_PASSWORD, (app_secret, address.encode()))
    row = cursor.fetchone()
    if row is None:
        return None
    account = Account(AccountId(row[0]), row[1], row[2].decode(), bool(row[3]), row[4], row[5])
    protocols = frozenset() if row[8] is None else frozenset(row[8].decode().split())
    return Credentials(account, row[6].decode(), row[7] or 0, protocols)
