"""Tokens of the HTTP API: made, revoked, looked up, and noted as used."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lightmail.errors import AlreadyExists, Invalid, MailError, NoSuchDomain, NoSuchToken, NotPermitted
from lightmail.operations.actors import SERVER, Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import domains, tokens
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey
from lightmail.store.tokens import Token

log = Logger()

# What they begin with makes a leaked one easy to find; 32 random octets follow.
_MARK: Final = "lmt_"
_FORM: Final = re.compile(rb"lmt_[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff][^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,59}")
# That a token was used is written down at most so often.
_USED_SECONDS: Final = 60.0
_REMEMBERED: Final = 1000


async def add_token(
    tx: Transactions,
    actor: Actor,
    name: str,
    scopes: Collection[str],
    *,
    domain: int | None = None,
    expires_us: int = 0,
    within: Collection[str] | None = None,
) -> tuple[Token, str]:
    """Make a token that may do what the `scopes` say, in one domain where `domain` is its id; the secret is told once.

    `within` are the scopes of who asks: nobody gives what he does not have, and who administers one domain gives tokens
    of that alone. Raises AlreadyExists (the name), NoSuchDomain, NotPermitted, Invalid, Unavailable.
    """
    if _NAME.fullmatch(name) is None:
        raise Invalid("A token's name has 1 to 60 characters, none of them a control character, and no space first.")
    if not scopes:
        raise Invalid("A token needs a scope.")
    if within is not None and not set(scopes) <= set(within):
        raise NotPermitted("A token cannot give a scope that it does not have.")
    secret = _MARK + secrets.token_urlsafe(32)
    made = await tx.commit(
        "add-token", _add_txn, actor, name, _digest(secret), sorted(scopes), domain, expires_us, account=None
    )
    return made, secret


async def revoke_token(tx: Transactions, actor: Actor, token: int) -> None:
    """Have a token be good for nothing from the next request on. Raises NoSuchToken, Unavailable."""
    await tx.commit("revoke-token", _revoke_txn, actor, token, account=None)


def seen_by(actor: Actor, token: Token | None) -> Token:
    """The token, if the actor may know of it. Raises NoSuchToken."""
    if token is None or (actor.domain is not None and token.domain != actor.domain):
        raise NoSuchToken
    return token


class TokenUse:
    """Finds tokens, and notes now and then that they are used."""

    def __init__(self, tx: Transactions, reactor: Any) -> None:
        self._tx = tx
        self._reactor = reactor
        self._noted: dict[int, float] = {}

    async def find(self, secret: bytes) -> Token | None:
        """The token of that secret, if it is good now. Raises Unavailable."""
        if _FORM.fullmatch(secret) is None:
            return None
        token = await self._tx.database.read("token", tokens.by_secret_txn, hashlib.sha256(secret).digest())
        if token is not None:
            self._note(token.id)
        return token

    def _note(self, token: int) -> None:
        now = self._reactor.seconds()
        if now - self._noted.get(token, float("-inf")) < _USED_SECONDS:
            return
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted[token] = now
        # Nobody waits for it: a request is answered as soon as ever.
        writing = Deferred.fromCoroutine(self._tx.database.run("token-used", tokens.used_txn, token))
        writing.addErrback(_log_bug)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _add_txn(
    cursor: Cursor,
    actor: Actor,
    name: str,
    sha256: bytes,
    scopes: list[str],
    domain: int | None,
    expires_us: int,
) -> Changed[Token]:
    if domain is None:
        actor.require_server()
    elif not actor.administers(domain) or domains.lock_txn(cursor, domain) is None:
        raise NoSuchDomain
    try:
        tokens.insert_txn(cursor, name, sha256, scopes, domain, expires_us)
    except DuplicateKey:
        raise AlreadyExists("There is a token of that name already.") from None
    made = tokens.by_name_txn(cursor, name)
    assert made is not None
    detail = {"id": made.id, "scopes": scopes, "expires_us": expires_us}
    cursor.execute(*actor.record("token.add", name, detail, domain or SERVER))
    return Changed(made)


def _revoke_txn(cursor: Cursor, actor: Actor, token: int) -> Changed[None]:
    found = seen_by(actor, tokens.by_id_txn(cursor, token))
    if not tokens.revoke_txn(cursor, token):
        raise NoSuchToken
    cursor.execute(*actor.record("token.revoke", found.name, {"id": token}, found.domain or SERVER))
    return Changed(None)


def _log_bug(failure: Any) -> None:
    if not failure.check(MailError):
        log.failure("the use of a token was not noted", failure=failure)
