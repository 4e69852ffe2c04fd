"""Tokens of the HTTP API (table `api_tokens`): only the SHA-256 of each is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor, Row
from lightmail.store.sqltext import NOW_US

_COLUMNS: Final = "t.id, t.name, t.scopes, t.domain, d.name, t.created_at, t.expires_at, t.last_used_at, t.revoked_at"
_FROM: Final = "FROM api_tokens t LEFT JOIN domains d ON d.id = t.domain"
_INSERT: Final = (
    "INSERT INTO api_tokens (name, secret_sha256, scopes, domain, created_at, expires_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, %s, {NOW_US}, %s)"
)
_REVOKE: Final = f"UPDATE api_tokens SET revoked_at = {NOW_US} WHERE id = %s AND revoked_at = 0"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `domain` is the id of the one domain that it may administer, 0 for all; times of 0 mean never."""

    id: int
    name: str
    scopes: tuple[str, ...]
    domain: int
    domain_name: str
    created_us: int
    expires_us: int
    last_used_us: int
    revoked_us: int


def _token(row: Row) -> Token:
    scopes = tuple(row[2].decode().split())
    return Token(row[0], row[1].decode(), scopes, row[3], (row[4] or b"").decode(), *row[5:9])


def by_secret_txn(cursor: Cursor, sha256: bytes) -> Token | None:
    """The token with that hash that is neither revoked nor expired."""
    cursor.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE t.secret_sha256 = %s AND t.revoked_at = 0"
        f" AND (t.expires_at = 0 OR t.expires_at > {NOW_US})",
        (sha256,),
    )
    row = cursor.fetchone()
    return None if row is None else _token(row)


def by_id_txn(cursor: Cursor, token: int) -> Token | None:
    """The token of that id, revoked or not."""
    cursor.execute(f"SELECT {_COLUMNS} {_FROM} WHERE t.id = %s", (token,))
    row = cursor.fetchone()
    return None if row is None else _token(row)


def by_name_txn(cursor: Cursor, name: str) -> Token | None:
    """The token of that name that is not revoked."""
    cursor.execute(f"SELECT {_COLUMNS} {_FROM} WHERE t.name = %s AND t.revoked_at = 0", (name.encode(),))
    row = cursor.fetchone()
    return None if row is None else _token(row)


def list_txn(cursor: Cursor, after: int, offset: int, limit: int, domain: int | None) -> list[Token]:
    """Up to `limit` tokens by id, from those beyond `after` the first `offset` left out; of one domain or of all."""
    cursor.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE t.id > %s AND (%s = 0 OR t.domain = %s) ORDER BY t.id LIMIT %s OFFSET %s",
        (after, domain or 0, domain or 0, limit, offset),
    )
    return [_token(row) for row in cursor.fetchall()]


def insert_txn(cursor: Cursor, name: str, sha256: bytes, scopes: Sequence[str], domain: int, expires_us: int) -> None:
    """Add a token; DuplicateKey where one of that name is not revoked."""
    cursor.execute(
        _INSERT,
        (name.encode(), sha256, " ".join(scopes).encode(), domain, expires_us),
    )


def revoke_txn(cursor: Cursor, token: int) -> bool:
    """Revoke a token; False where that is done already."""
    return cursor.execute(_REVOKE, (token,)) == 1


def used_txn(cursor: Cursor, tokens: Sequence[int]) -> None:
    """Note that these tokens were used just now."""
    statement = f"UPDATE api_tokens SET last_used_at = {NOW_US} WHERE id = %s"  # noqa: S608
    cursor.script([(statement, (token,)) for token in sorted(tokens)])
