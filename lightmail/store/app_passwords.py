"""App passwords of accounts (table `app_passwords`); `store.credentials` finds them at a login."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Row
from lightmail.store.sqltext import NOW_US, pieces

_USES_AT_ONCE: Final = 200
_FROM_OCTETS: Final = 64


@dataclass(frozen=True, slots=True)
class AppPassword:
    """An app password without its secret. `last_used_us` 0: never."""

    id: int
    account: AccountId
    name: str
    protocols: tuple[str, ...]
    created_us: int
    last_used_us: int
    last_used_from: str


_COLUMNS: Final = "id, account, name, protocols, created_at, last_used_at, last_used_from"
_LIST: Final = f"SELECT {_COLUMNS} FROM app_passwords WHERE account = %s ORDER BY name"  # noqa: S608
_BY_ID: Final = f"SELECT {_COLUMNS} FROM app_passwords WHERE id = %s"  # noqa: S608
_BY_NAME: Final = f"SELECT {_COLUMNS} FROM app_passwords WHERE account = %s AND name = %s"  # noqa: S608


def _app_password(row: Row) -> AppPassword:
    protocols = tuple(row[3].decode().split())
    return AppPassword(row[0], AccountId(row[1]), row[2].decode(), protocols, row[4], row[5], row[6].decode())


def list_txn(cursor: Cursor, account: AccountId) -> list[AppPassword]:
    """The app passwords of an account, by name."""
    cursor.execute(_LIST, (account,))
    return [_app_password(row) for row in cursor.fetchall()]


def by_id_txn(cursor: Cursor, app_password: int) -> AppPassword | None:
    """The app password of that id."""
    cursor.execute(_BY_ID, (app_password,))
    row = cursor.fetchone()
    return _app_password(row) if row else None


def by_name_txn(cursor: Cursor, account: AccountId, name: str) -> AppPassword | None:
    """The app password of that name, as it was given."""
    cursor.execute(_BY_NAME, (account, name.encode()))
    row = cursor.fetchone()
    return _app_password(row) if row else None


# --- writes; the account's row is locked ---

_INSERT: Final = (
    "INSERT INTO app_passwords (account, name, secret_sha256, protocols, created_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, %s, {NOW_US})"
)


def insert_txn(cursor: Cursor, account: AccountId, name: str, secret: bytes, protocols: Iterable[str]) -> None:
    """Add an app password by its digest; DuplicateKey where the account has one of that name."""
    cursor.execute(_INSERT, (account, name.encode(), secret, " ".join(protocols).encode()))


def delete_txn(cursor: Cursor, app_password: int) -> bool:
    """Remove an app password; False when it was gone."""
    return cursor.execute("DELETE FROM app_passwords WHERE id = %s", (app_password,)) == 1


_USE: Final = "UPDATE app_passwords SET last_used_at = %s, last_used_from = %s WHERE id = %s AND last_used_at < %s"


def note_uses_txn(cursor: Cursor, uses: Sequence[tuple[int, int, str]]) -> None:
    """Note uses, (id, Unix microseconds, address) each, unless a later one is noted."""
    rows = [
        (used_us, address.encode("ascii", "replace")[:_FROM_OCTETS], id_, used_us) for id_, used_us, address in uses
    ]
    for piece in pieces(sorted(rows, key=lambda row: row[2]), _USES_AT_ONCE):
        cursor.script([(_USE, row) for row in piece])
