"""Administrators of the web (tables `administrators` and `administrator_domains`). Names are `name_key` text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor, Row
from lightmail.store.sqltext import NOW_US


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may sign in. `server`: to the whole server; else to `domains`, ids with names. `has_totp`: a code is asked
    for after the password. `last_sign_in_us` is 0 for never."""

    id: int
    name: str
    server: bool
    active: bool
    has_totp: bool
    created_us: int
    last_sign_in_us: int
    domains: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against. `totp_secret` is empty where the password is enough; codes of time steps up to
    `totp_step` were taken already."""

    administrator: Administrator
    password_hash: str
    totp_secret: bytes
    totp_step: int


_COLUMNS: Final = "SELECT id, name, server, active, totp_secret, created_at, last_sign_in_at"
_WHO: Final = f"{_COLUMNS}, password_hash, totp_step FROM administrators WHERE deleted_at = 0"
_BY_NAME: Final = f"{_WHO} AND name = %s"
_BY_ID: Final = f"{_WHO} AND id = %s"
_LIST: Final = f"{_WHO} ORDER BY name"
_DOMAINS: Final = (
    "SELECT r.administrator, d.id, d.name FROM administrator_domains r JOIN domains d ON d.id = r.domain"
    " WHERE %s = 0 OR r.administrator = %s ORDER BY d.name"
)
_INSERT: Final = (
    "INSERT INTO administrators (name, password_hash, server, created_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, {NOW_US})"
)
_DELETE: Final = f"UPDATE administrators SET deleted_at = {NOW_US} WHERE id = %s AND deleted_at = 0"  # noqa: S608
_SIGNED_IN: Final = f"UPDATE administrators SET last_sign_in_at = {NOW_US} WHERE id = %s"  # noqa: S608


def _credentials(row: Row, domains: Sequence[tuple[int, str]]) -> Credentials:
    who = Administrator(
        row[0], row[1].decode(), bool(row[2]), bool(row[3]), bool(row[4]), row[5], row[6], tuple(domains)
    )
    return Credentials(who, row[7].decode(), bytes(row[4]), row[8])


def _domains(cursor: Cursor, administrator: int) -> dict[int, list[tuple[int, str]]]:
    """The domains of one administrator, or (0) of each."""
    cursor.execute(_DOMAINS, (administrator, administrator))
    found: dict[int, list[tuple[int, str]]] = {}
    for who, domain, name in cursor.fetchall():
        found.setdefault(who, []).append((domain, name.decode()))
    return found


def by_name_txn(cursor: Cursor, name: str) -> Credentials | None:
    """The administrator of that name."""
    cursor.execute(_BY_NAME, (name.encode(),))
    row = cursor.fetchone()
    return _credentials(row, _domains(cursor, row[0]).get(row[0], ())) if row else None


def by_id_txn(cursor: Cursor, administrator: int) -> Credentials | None:
    """The administrator of that id."""
    cursor.execute(_BY_ID, (administrator,))
    row = cursor.fetchone()
    return _credentials(row, _domains(cursor, row[0]).get(row[0], ())) if row else None


def list_txn(cursor: Cursor) -> list[Administrator]:
    """All administrators, by name."""
    cursor.execute(_LIST)
    rows = cursor.fetchall()
    domains = _domains(cursor, 0)
    return [_credentials(row, domains.get(row[0], ())).administrator for row in rows]


# --- writes ---


def lock_txn(cursor: Cursor, administrator: int) -> bool:
    """Keep others from changing the administrator until the transaction ends; False where there is none."""
    cursor.execute("SELECT id FROM administrators WHERE id = %s AND deleted_at = 0 FOR UPDATE", (administrator,))
    return cursor.fetchone() is not None


def insert_txn(cursor: Cursor, name: str, password_hash: str, server: bool) -> None:
    """Add an administrator; DuplicateKey where the name is taken."""
    cursor.execute(_INSERT, (name.encode(), password_hash.encode(), int(server)))


def set_domains_txn(cursor: Cursor, administrator: int, domains: Sequence[int]) -> None:
    """Let an administrator have exactly these domains."""
    insert = "INSERT INTO administrator_domains (administrator, domain) VALUES (%s, %s)"
    cursor.script(
        [
            ("DELETE FROM administrator_domains WHERE administrator = %s", (administrator,)),
            *((insert, (administrator, domain)) for domain in domains),
        ]
    )


def set_role_txn(cursor: Cursor, administrator: int, server: bool) -> None:
    """Let an administrator be one of the server, or of domains."""
    cursor.execute("UPDATE administrators SET server = %s WHERE id = %s", (int(server), administrator))


def set_password_txn(cursor: Cursor, administrator: int, password_hash: str) -> None:
    """Give an administrator another password."""
    cursor.execute(
        "UPDATE administrators SET password_hash = %s WHERE id = %s", (password_hash.encode(), administrator)
    )


def set_active_txn(cursor: Cursor, administrator: int, active: bool) -> None:
    """Let an administrator sign in, or not."""
    cursor.execute("UPDATE administrators SET active = %s WHERE id = %s", (int(active), administrator))


def set_totp_txn(cursor: Cursor, administrator: int, secret: bytes, step: int) -> None:
    """Ask an administrator for codes made with `secret` beyond time step `step`; with an empty secret, for none."""
    cursor.execute(
        "UPDATE administrators SET totp_secret = %s, totp_step = %s WHERE id = %s", (secret, step, administrator)
    )


def take_step_txn(cursor: Cursor, administrator: int, step: int) -> bool:
    """Take a time step's code; False where it, or a later one, was taken already."""
    changed = cursor.execute(
        "UPDATE administrators SET totp_step = %s WHERE id = %s AND totp_step < %s", (step, administrator, step)
    )
    return changed == 1


def signed_in_txn(cursor: Cursor, administrator: int) -> None:
    """Note that an administrator has signed in just now."""
    cursor.execute(_SIGNED_IN, (administrator,))


def delete_txn(cursor: Cursor, administrator: int) -> None:
    """Delete an administrator; the name is free at once."""
    cursor.execute("DELETE FROM administrator_domains WHERE administrator = %s", (administrator,))
    cursor.execute(_DELETE, (administrator,))
