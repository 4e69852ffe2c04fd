"""One attempt to tell the receiver of an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from lightmail import __version__
from lightmail.config import WebhookConfig
from lightmail.webhooks.destinations import Destinations, Unreachable
from lightmail.webhooks.signing import signature_headers, signing_keys

log = Logger()

# Requests at once, and connections that are kept for the next ones: not for long, for many servers close theirs soon.
AT_ONCE: Final = 8
_KEPT_SECONDS: Final = 1.5
_RETRY_AFTER_SECONDS: Final = 3600
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a request: the receiver's HTTP status, or None where it gave none, and why; one line, none of it the
    receiver's own words.

    `wait_seconds` is how long it wants to be left alone; 0 where it does not say.
    """

    status: int | None
    error: str
    seconds: float
    wait_seconds: int = 0

    @property
    def arrived(self) -> bool:
        """Whether the receiver took the event: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """Makes the requests to one receiver, as it is configured. `close` it."""

    def __init__(
        self,
        config: WebhookConfig,
        reactor: Any,
        *,
        trust_root: Any = None,
        resolver: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = config.url
        self._uri = config.url.encode("ascii")
        self._token = config.token
        self._keys = signing_keys(config.secret, config.token)
        self._timeout_seconds = config.timeout_ms / 1000
        self._reactor = reactor
        self._clock = clock
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = AT_ONCE
        self._pool.cachedConnectionTimeout = _KEPT_SECONDS  # type: ignore[assignment]
        self._drains: set[_Drain] = set()
        destinations = Destinations(
            reactor, allow_private=config.allow_private, trust_root=trust_root, resolver=resolver
        )
        self._agent = Agent.usingEndpointFactory(reactor, destinations, self._pool)

    async def send(self, event_id: bytes, body: bytes) -> Attempt:
        """Tell of an event, in JSON; what came of it. Raises nothing but CancelledError."""
        began = self._reactor.seconds()
        posting = Deferred.fromCoroutine(self._post(event_id, body))
        timer = self._reactor.callLater(self._timeout_seconds, posting.cancel)
        status, wait, error = None, 0, ""
        try:
            status, wait = await posting
            error = "" if 200 <= status < 300 else _said(status)
        except Exception as trouble:
            cause = _cause(trouble)
            if isinstance(cause, CancelledError) and timer.active():
                raise CancelledError from None  # who asked for it has no use for it any more
            error = self._explained(cause)
            if not error and isinstance(trouble, ResponseFailed):
                error = "its answer is no HTTP"
            elif not error:
                log.failure("the event evt_{event} could not be told", event=event_id.hex())
                error = "internal error, it has been logged"
        finally:
            if timer.active():
                timer.cancel()
        return Attempt(status, error, self._reactor.seconds() - began, wait)

    async def close(self) -> None:
        """Let go of all connections but those of requests that are under way."""
        for drain in list(self._drains):
            drain.cut()
        await self._pool.closeCachedConnections()

    async def _post(self, event_id: bytes, body: bytes) -> tuple[int, int]:
        """The status of the answer, and how many seconds the receiver wants to be left alone."""
        named = signature_headers(self._keys, f"evt_{event_id.hex()}", int(self._clock()), body)
        headers = Headers({name: [value] for name, value in named.items()})
        headers.addRawHeader("content-type", "application/json")
        headers.addRawHeader("user-agent", f"LightMail/{__version__}")
        if self._token:
            headers.addRawHeader("authorization", b"Bearer " + self._token.encode("utf-8"))
        response: Any = await self._agent.request(b"POST", self._uri, headers, _Body(body))
        # The rest is not waited for: it is passed over, up to a bound, so that the connection can be kept.
        response.deliverBody(_Drain(self._drains, self._timeout_seconds, self._reactor))
        return response.code, _wait_seconds(response)

    def _explained(self, trouble: Exception) -> str:
        """What went wrong, in one line that names no secret and repeats nothing that a stranger said; empty where that
        is not among what is known to go wrong."""
        if isinstance(trouble, Unreachable):
            return str(trouble)
        if isinstance(trouble, CancelledError):
            return f"no answer within {self._timeout_seconds:g} s"
        if isinstance(trouble, VerificationError):
            return "its certificate is for another name"
        if isinstance(trouble, SSL.Error):
            return "TLS failed; its certificate is not trusted, or it speaks no TLS 1.2"
        if isinstance(trouble, ConnectError):
            return f"no connection: {type(trouble).__doc__}".rstrip(".")
        if isinstance(trouble, ConnectionClosed):
            return "it closed the connection without an answer"
        return ""


def _cause(trouble: Exception) -> Exception:
    """What twisted.web was told by those below it."""
    while isinstance(trouble, ResponseFailed) and trouble.reasons and isinstance(trouble.reasons[0].value, Exception):
        trouble = trouble.reasons[0].value
    return trouble


def _said(status: int) -> str:
    if 300 <= status < 400:
        return f"it answered {status}; redirects are not followed, name the new URL"
    return f"it answered {status}"


def _wait_seconds(response: Any) -> int:
    """How long it wants to be left alone: as it says in seconds (RFC 9110 section 10.2.3); an hour if it is gone."""
    if response.code == _GONE:
        return _RETRY_AFTER_SECONDS
    values = response.headers.getRawHeaders("retry-after", [])
    text = values[0].strip() if values else ""
    if response.code < 400 or not (text.isascii() and text.isdigit()):
        return 0
    return min(int(text[:9]), _RETRY_AFTER_SECONDS)


@implementer(IBodyProducer)
class _Body:
    """A small body, written at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


class _Drain(Protocol):
    """Passes over the body of an answer; it is among `drains` meanwhile. One that does not end in time is cut off."""

    def __init__(self, drains: set[_Drain], seconds: float, reactor: Any) -> None:
        self._drains = drains
        self._timer = reactor.callLater(seconds, self.cut)
        drains.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Nobody reads it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has ended."""
        self._drains.discard(self)
        if self._timer.active():
            self._timer.cancel()

    def cut(self) -> None:
        """Close the connection instead of reading on."""
        transport: Any = self.transport
        transport.loseConnection()
