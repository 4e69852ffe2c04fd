"""Signing in to the web, and out: browsers hold a random secret in a cookie, the database its SHA-256.

Any server process knows a session from its row. It ends a while after it was last used, and some hours after it began
whatever is done in it; with a change of the password at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from lightmail.errors import AuthenticationFailed
from lightmail.model import Account, AccountId
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, administrators, web_sessions
from lightmail.store.administrators import Administrator
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.web_sessions import WebSession

LIFETIME_US: Final = 12 * 3_600_000_000
IDLE_US: Final = 3_600_000_000
# That a session is used is written down at most so often.
_SEEN_US: Final = 60_000_000
_SECRET_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is behind a browser: an administrator, or the owner of an account. `sha256` is what names the session."""

    sha256: bytes
    session: WebSession
    administrator: Administrator | None
    account: Account | None


async def sign_in_administrator(
    tx: Transactions, actor: Actor, administrator: Administrator, browser: str, totp_step: int = 0
) -> str:
    """Begin a session of an administrator whose password was right; the secret for the cookie.

    `totp_step` is the time step of his code, 0 where none is asked for. Raises AuthenticationFailed where that code was
    taken already, or he may not sign in any more; Unavailable.
    """
    secret = secrets.token_urlsafe(_SECRET_OCTETS)
    sha256 = _digest(secret)
    await tx.commit(
        "web-sign-in", _administrator_txn, actor, administrator.id, sha256, browser, totp_step, account=None
    )
    return secret


async def sign_in_owner(tx: Transactions, actor: Actor, account: Account, browser: str) -> str:
    """Begin a session of an account's owner whose password was right; the secret for the cookie.

    Raises AuthenticationFailed where the account is gone or disabled, Unavailable.
    """
    secret = secrets.token_urlsafe(_SECRET_OCTETS)
    await tx.commit("web-sign-in", _owner_txn, actor, account.id, _digest(secret), browser, account=None)
    return secret


async def signed_in(database: Database, secret: str) -> SignedIn | None:
    """Who has that secret in his cookie, None where the session has ended. Raises Unavailable."""
    if not secret or len(secret) > 2 * _SECRET_OCTETS:
        return None
    sha256 = _digest(secret)
    found, stale = await database.read("web-session", _find_txn, sha256)
    if stale:
        await database.run("web-seen", web_sessions.seen_txn, sha256)
    return found


async def sign_out(database: Database, sha256: bytes) -> None:
    """End a session; nothing happens where it has ended. Raises Unavailable."""
    await database.run("web-sign-out", web_sessions.delete_txn, sha256)


def form_token(secret: str) -> str:
    """What the forms of a session carry: no other site knows it, and it tells nothing of the cookie."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()


def is_form_token(secret: str, given: str) -> bool:
    """Whether a form comes from a page of this session."""
    return hmac.compare_digest(form_token(secret).encode("ascii"), given.encode("utf-8", "replace"))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _administrator_txn(
    cursor: Cursor, actor: Actor, administrator: int, sha256: bytes, browser: str, totp_step: int
) -> Changed[None]:
    if not administrators.lock_txn(cursor, administrator):
        raise AuthenticationFailed
    known = administrators.by_id_txn(cursor, administrator)
    if known is None or not known.administrator.active:
        raise AuthenticationFailed
    if known.totp_secret and not administrators.take_step_txn(cursor, administrator, totp_step):
        raise AuthenticationFailed
    web_sessions.insert_txn(cursor, sha256, administrator, 0, LIFETIME_US, actor.origin, browser)
    administrators.signed_in_txn(cursor, administrator)
    cursor.execute(*actor.record("administrator.sign_in", known.administrator.name, {}))
    return Changed(None)


def _owner_txn(cursor: Cursor, actor: Actor, account: AccountId, sha256: bytes, browser: str) -> Changed[None]:
    known = accounts.by_id_txn(cursor, account)
    if known is None or not known.active:
        raise AuthenticationFailed
    web_sessions.insert_txn(cursor, sha256, 0, account, LIFETIME_US, actor.origin, browser)
    cursor.execute(*actor.record("account.sign_in", known.address, {}))
    return Changed(None)


def _find_txn(cursor: Cursor, sha256: bytes) -> tuple[SignedIn | None, bool]:
    """The session of that hash, and whether it is to be noted as used."""
    session = web_sessions.find_txn(cursor, sha256, IDLE_US)
    if session is None:
        return None, False
    stale = session.idle_us > _SEEN_US
    if session.administrator:
        credentials = administrators.by_id_txn(cursor, session.administrator)
        if credentials is None or not credentials.administrator.active:
            return None, False
        return SignedIn(sha256, session, credentials.administrator, None), stale
    account = accounts.by_id_txn(cursor, AccountId(session.account))
    if account is None or not account.active:
        return None, False
    return SignedIn(sha256, session, None, account), stale
