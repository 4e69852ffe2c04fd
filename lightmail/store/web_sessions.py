"""Who is signed in to the web (table `web_sessions`): one row a browser, found by the SHA-256 of its cookie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.store.cursor import Cursor, Statement
from lightmail.store.sqltext import NOW_US

ORIGIN_OCTETS: Final = 64
BROWSER_OCTETS: Final = 255


@dataclass(frozen=True, slots=True)
class WebSession:
    """A browser that is signed in: as the administrator of that id, or (`administrator` 0) as an account's owner.
    `idle_us`: for how long it was not noted as used."""

    administrator: int
    account: int
    created_us: int
    idle_us: int
    origin: str
    browser: str


_INSERT: Final = (
    "INSERT INTO web_sessions"  # noqa: S608
    " (secret_sha256, administrator, account, created_at, seen_at, expires_at, origin, browser)"
    f" VALUES (%s, %s, %s, {NOW_US}, {NOW_US}, {NOW_US} + %s, %s, %s)"
)
_FIND: Final = (
    f"SELECT administrator, account, created_at, {NOW_US} - seen_at, origin, browser FROM web_sessions"  # noqa: S608
    f" WHERE secret_sha256 = %s AND expires_at > {NOW_US} AND seen_at > {NOW_US} - %s"
)
_SEEN: Final = f"UPDATE web_sessions SET seen_at = {NOW_US} WHERE secret_sha256 = %s"  # noqa: S608


def insert_txn(
    cursor: Cursor, sha256: bytes, administrator: int, account: int, lifetime_us: int, origin: str, browser: str
) -> None:
    """Add a session that ends after `lifetime_us` whatever is done in it."""
    where = (origin.encode("ascii", "replace")[:ORIGIN_OCTETS], browser.encode("utf-8", "replace")[:BROWSER_OCTETS])
    cursor.execute(_INSERT, (sha256, administrator, account, lifetime_us, *where))


def find_txn(cursor: Cursor, sha256: bytes, idle_us: int) -> WebSession | None:
    """The session of that cookie, unless it has ended, or nothing was done in it for `idle_us`."""
    cursor.execute(_FIND, (sha256, idle_us))
    row = cursor.fetchone()
    if row is None:
        return None
    origin, browser = row[4].decode("ascii", "replace"), row[5].decode("utf-8", "replace")
    return WebSession(row[0], row[1], row[2], row[3], origin, browser)


def seen_txn(cursor: Cursor, sha256: bytes) -> None:
    """Note that the session was used just now."""
    cursor.execute(_SEEN, (sha256,))


def delete_txn(cursor: Cursor, sha256: bytes) -> None:
    """End a session."""
    cursor.execute("DELETE FROM web_sessions WHERE secret_sha256 = %s", (sha256,))


def delete_of_txn(cursor: Cursor, administrator: int, account: int, but: bytes = b"") -> int:
    """End the sessions of an administrator, or (0) of an account's owner, except that of the hash `but`; how many."""
    return cursor.execute(*delete_of_statement(administrator, account, but))


def delete_of_statement(administrator: int, account: int, but: bytes = b"") -> Statement:
    """The statement of `delete_of_txn`."""
    return (
        "DELETE FROM web_sessions WHERE administrator = %s AND account = %s AND secret_sha256 <> %s",
        (administrator, account, but),
    )
