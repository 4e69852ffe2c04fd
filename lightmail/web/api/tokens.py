"""Who asks: bearer tokens (RFC 6750), the one of the configuration and those with names and scopes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from lightmail.config import Config
from lightmail.metrics import LOGINS
from lightmail.operations.actors import Actor
from lightmail.operations.tokens import TokenUse
from lightmail.peers import ip_of, is_in
from lightmail.web.api.endpoints import Endpoint
from lightmail.web.api.problems import Problem
from lightmail.web.api.scopes import ALL_SCOPES, Scope
from lightmail.web.http import BoundedRequest

log = Logger()

# How the audit log names who has the token of the configuration.
CONFIGURED: Final = "[api] token"
_CHALLENGE: Final = 'Bearer realm="LightMail"'
_TOKEN_OCTETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what he may do."""

    actor: Actor
    scopes: Collection[Scope]


class Tokens:
    """Knows callers by their tokens, ``[api] token`` as it is configured just then among them."""

    def __init__(self, configuration: Callable[[], Config], use: TokenUse) -> None:
        self._configuration = configuration
        self._use = use

    async def caller(self, request: BoundedRequest, endpoint: Endpoint) -> Caller:
        """Who makes this request. Raises Problem: 401 without a good token, 403 where that may not do this."""
        origin = self._origin(request)
        if endpoint.scope is None:
            return Caller(Actor("", origin), ())
        caller = await self._known(request, origin)
        if endpoint.scope not in caller.scopes:
            word = endpoint.scope.value
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{word}"'
            detail = f"The token lacks the scope {word}."
            raise Problem(403, "scope_missing", detail, headers={"WWW-Authenticate": challenge})
        if endpoint.server_only and caller.actor.domain is not None:
            raise Problem(403, "server_only", "The token is of one domain, and this concerns the server as a whole.")
        return caller

    async def _known(self, request: BoundedRequest, origin: str) -> Caller:
        given = request.requestHeaders.getRawHeaders(b"authorization") or []
        if len(given) != 1:
            raise _unauthorized("A token is needed: Authorization: Bearer TOKEN.", "token_missing")
        scheme, _, secret = given[0].partition(b" ")
        secret = secret.strip(b" ")
        if scheme.lower() != b"bearer" or not 0 < len(secret) <= _TOKEN_OCTETS:
            raise _unauthorized("A bearer token is needed: Authorization: Bearer TOKEN.", "token_missing")
        digest = hashlib.sha256(secret).digest()
        api = self._configuration().api
        if api is not None and api.token and hmac.compare_digest(digest, hashlib.sha256(api.token.encode()).digest()):
            return Caller(Actor(CONFIGURED, origin), ALL_SCOPES)
        token = await self._use.find(secret)
        if token is None:
            LOGINS.labels("api", "failed").inc()
            said = "login failed for a token from {address} over api"
            log.info(said, result="failed", address=origin, protocol="api")
            raise _unauthorized("The token is unknown, revoked or expired.", "token_invalid", error="invalid_token")
        scopes = frozenset(scope for scope in Scope if scope.value in token.scopes)
        return Caller(Actor(f"token {token.name}", origin, token.domain), scopes)

    def _origin(self, request: BoundedRequest) -> str:
        """The address of the client; the one that a trusted proxy says it had the request from."""
        peer = request.peer
        forwarded = request.requestHeaders.getRawHeaders(b"x-forwarded-for")
        if forwarded and is_in(peer, self._configuration().limits.trusted_networks):
            said = ip_of(forwarded[-1].rpartition(b",")[2].strip().decode("ascii", "replace"))
            return str(said) if said is not None else peer
        return peer


def _unauthorized(detail: str, code: str, error: str = "") -> Problem:
    challenge = f'{_CHALLENGE}, error="{error}"' if error else _CHALLENGE
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
