"""Tokens of the HTTP API: made, revoked, looked up, and noted as used."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.operations.transactions import Transactions
from lightmail.store import tokens
from lightmail.store.tokens import Token

log = Logger()

# The mark makes a leaked token easy to find; 32 random octets follow it.
_FORM: Final = re.compile(rb"lmt_[A-Za-z0-9_-]{43}")
# That a token was used is written down at most so often.
_USED_SECONDS: Final = 60.0
_REMEMBERED: Final = 1000


class TokenUse:
    """Finds tokens, and notes now and then that they are used."""

    def __init__(self, tx: Transactions, reactor: Any) -> None:
        self._tx = tx
        self._reactor = reactor
        self._noted: dict[int, float] = {}

    async def find(self, secret: bytes, sha256: bytes) -> Token | None:
        """The token of that secret, whose hash is given, if it is good now. Raises Unavailable."""
        if _FORM.fullmatch(secret) is None:
            return None
        token = await self._tx.database.read("token", tokens.by_secret_txn, sha256)
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
        writing = Deferred.fromCoroutine(self._tx.database.run("token-used", tokens.used_txn, [token]))
        writing.addErrback(_log_failure)


def _log_failure(failure: Any) -> None:
    if not failure.check(MailError):
        log.failure("the use of a token was not noted", failure=failure)
