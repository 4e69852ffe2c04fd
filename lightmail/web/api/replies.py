"""From an endpoint's answer to the octets of a response."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from lightmail.web.api import pages
from lightmail.web.api.endpoints import Answer, Endpoint, Nothing, Octets, Page
from lightmail.web.api.problems import CONTENT_TYPE, Problem
from lightmail.web.downloads import disposition
from lightmail.web.http import BoundedRequest

# A client that takes nothing of an answer for so long is cut off.
_READING_SECONDS: Final = 60.0


async def send(request: BoundedRequest, endpoint: Endpoint, answer: Answer, reactor: Any) -> None:
    """Write an answer, as fast as the client takes it; the request is finished by the caller."""
    if isinstance(answer, Nothing):
        _begin(request, 204, None, None)
    elif isinstance(answer, Octets):
        await _send_octets(request, endpoint, answer, reactor)
    elif isinstance(answer, Page):
        after = None if answer.next_cursor is None else pages.encoded(answer.next_cursor)
        document = {"items": answer.items, "next_cursor": after, "total": answer.total}
        _send_json(request, endpoint.status, "application/json", document)
    else:
        _send_json(request, answer.status or endpoint.status, "application/json", answer.value)


def send_problem(request: BoundedRequest, problem: Problem) -> None:
    """Write a problem."""
    for name, value in problem.headers.items():
        request.say(name, value)
    _send_json(request, problem.status, CONTENT_TYPE, problem.document(request.id))


def _send_json(request: BoundedRequest, status: int, kind: str, value: Any) -> None:
    octets = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    _begin(request, status, kind, len(octets))
    request.put(octets)


def _begin(request: BoundedRequest, status: int, kind: str | None, length: int | None) -> None:
    request.setResponseCode(status)
    headers: Mapping[str, str] = {
        "Server": "LightMail",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": request.id,
    }
    for name, value in headers.items():
        request.say(name, value)
    if kind is not None:
        request.say("Content-Type", kind)
    if length is not None:
        request.say("Content-Length", str(length))
    if request.method == b"HEAD" or status == 204:
        request.put(b"")


async def _send_octets(request: BoundedRequest, endpoint: Endpoint, answer: Octets, reactor: Any) -> None:
    body = answer.body
    length = len(body) if isinstance(body, bytes) else answer.length
    if answer.filename is not None:
        request.say("Content-Disposition", disposition(answer.filename))
        # Whatever a browser takes it for, it runs nothing of it.
        request.say("Content-Security-Policy", "sandbox; default-src 'none'")
    _begin(request, endpoint.status, answer.content_type, length)
    if isinstance(body, bytes):
        request.put(body)
    else:
        await send_pieces(request, body, reactor)


async def send_pieces(request: BoundedRequest, pieces: AsyncIterator[bytes], reactor: Any) -> None:
    """Write pieces, each when the client has taken most of those before it."""
    try:
        if request.method == b"HEAD":
            return
        flow = _Flow()
        request.registerProducer(flow, True)  # type: ignore[no-untyped-call]
        try:
            async for piece in pieces:
                request.put(piece)
                await flow.open(reactor)
        finally:
            if request.channel is not None:  # the client is still there
                request.unregisterProducer()  # type: ignore[no-untyped-call]
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


@implementer(IPushProducer)
class _Flow:
    """Whether the connection takes more at the moment."""

    def __init__(self) -> None:
        self._waiting: Deferred[None] | None = None
        self._paused = False
        self._gone = False

    def pauseProducing(self) -> None:
        """Enough for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._gone = True
        self.resumeProducing()

    async def open(self, reactor: Any) -> None:
        """Wait until the connection takes more. CancelledError where it is gone, or takes nothing for a minute."""
        if self._paused and not self._gone:
            self._waiting = Deferred()
            try:
                await self._waiting.addTimeout(_READING_SECONDS, reactor)
            except DeferredTimeout:
                raise CancelledError from None
        if self._gone:
            raise CancelledError
