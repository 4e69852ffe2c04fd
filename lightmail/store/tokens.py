"""Tokens of the HTTP API (table `api_tokens`): only the SHA-256 of each is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor, Row
from lightmail.store.sqltext import NOW_US

# Of a domain that was deleted no token is any good.
_TOKENS: Final = (
    "SELECT t.id, t.name, t.scopes, t.domain, d.name, t.created_at, t.expires_at, t.last_used_at FROM api_tokens t"
    " LEFT JOIN domains d ON d.id = t.domain WHERE t.revoked_at = 0 AND (t.domain = 0 OR d.id IS NOT NULL)"
)
_BY_SECRET: Final = f"{_TOKENS} AND t.secret_sha256 = %s AND (t.expires_at = 0 OR t.expires_at > {NOW_US})"
_BY_ID: Final = f"{_TOKENS} AND t.id = %s"
_BY_NAME: Final = f"{_TOKENS} AND t.name = %s"
_PAGE: Final = f"{_TOKENS} AND t.id > %s AND (%s = 0 OR t.domain = %s) ORDER BY t.id LIMIT %s OFFSET %s"
_INSERT: Final = (
    "INSERT INTO api_tokens (name, secret_sha256, scopes, domain, created_at, expires_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, %s, {NOW_US}, %s)"
)
_REVOKE: Final = f"UPDATE api_tokens SET revoked_at = {NOW_US} WHERE id = %s AND revoked_at = 0"  # noqa: S608
_USED: Final = f"UPDATE api_tokens SET last_used_at = {NOW_US} WHERE id = %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is not revoked. `domain` is the id of the one domain that it may administer, None for the server;
    `expires_us` and `last_used_us` are 0 for never."""

    id: int
    name: str
    scopes: tuple[str, ...]
    domain: int | None
    domain_name: str | None
    created_us: int
    expires_us: int
    last_used_us: int


def _token(row: Row) -> Token:
    scopes = tuple(row[2].decode().split())
    return Token(row[0], row[1].decode(), scopes, row[3] or None, row[4].decode() if row[3] else None, *row[5:8])


def by_secret_txn(cursor: Cursor, sha256: bytes) -> Token | None:
    """The token with that hash, unless it has expired."""
    cursor.execute(_BY_SECRET, (sha256,))
    row = cursor.fetchone()
    return _token(row) if row else None


def by_id_txn(cursor: Cursor, token: int) -> Token | None:
    """The token of that id, expired or not."""
    cursor.execute(_BY_ID, (token,))
    row = cursor.fetchone()
    return _token(row) if row else None


def by_name_txn(cursor: Cursor, name: str) -> Token | None:
    """The token of that name, expired or not."""
    cursor.execute(_BY_NAME, (name.encode(),))
    row = cursor.fetchone()
    return _token(row) if row else None


def page_txn(cursor: Cursor, after: int, offset: int, limit: int, domain: int | None) -> list[Token]:
    """Tokens by id: of those beyond `after`, `limit` after the first `offset`; of one domain, or of all."""
    cursor.execute(_PAGE, (after, domain or 0, domain or 0, limit, offset))
    return [_token(row) for row in cursor.fetchall()]


def insert_txn(
    cursor: Cursor, name: str, sha256: bytes, scopes: Sequence[str], domain: int | None, expires_us: int
) -> None:
    """Add a token; DuplicateKey where one of that name is not revoked."""
    cursor.execute(_INSERT, (name.encode(), sha256, " ".join(scopes).encode(), domain or 0, expires_us))


def revoke_txn(cursor: Cursor, token: int) -> bool:
    """Revoke a token; False where that is done already."""
    return cursor.execute(_REVOKE, (token,)) == 1


def used_txn(cursor: Cursor, token: int) -> None:
    """Note that a token was used just now."""
    cursor.execute(_USED, (token,))
