"""The HTTP listener's own pages, /health, /ready and /metrics: for load balancers and Prometheus, without a token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lightmail.errors import MailError
from lightmail.metrics import REGISTRY

log = Logger()

Check = Callable[[], Awaitable[object]]

_BODY_OCTETS: Final = 65_536
_IDLE_SECONDS: Final = 60
_REMEMBER_SECONDS: Final = 1.0


class Readiness:
    """Whether the server can serve: every check passes, and it is not about to stop.

    A check that neither answers nor fails within `deadline_seconds` has failed. Answers are kept for a second, so that
    the page can be asked as often as anyone likes.
    """

    def __init__(self, checks: Mapping[str, Check], reactor: Any, deadline_seconds: float = 5.0) -> None:
        self._checks = checks
        self._reactor = reactor
        self._deadline_seconds = deadline_seconds
        self._stopping = False
        self._state: dict[str, str] = {}
        self._asked = float("-inf")

    def stop(self) -> None:
        """From now on the answer is no: a balancer stops sending clients while the present ones are served."""
        self._stopping = True

    async def state(self) -> tuple[bool, Mapping[str, str]]:
        """Whether to send clients here, and each check's result in a word: ok, failed or stopping."""
        if self._stopping:
            return False, {"server": "stopping"}
        if self._reactor.seconds() - self._asked > _REMEMBER_SECONDS:
            self._asked = self._reactor.seconds()
            running = {name: self._begin(check) for name, check in self._checks.items()}
            self._state = {name: await result for name, result in running.items()}
        return all(word == "ok" for word in self._state.values()), self._state

    def _begin(self, check: Check) -> Deferred[str]:
        async def outcome() -> str:
            try:
                await check()
            except MailError:
                return "failed"
            except Exception:
                log.failure("a readiness check failed")
                return "failed"
            return "ok"

        result = Deferred.fromCoroutine(outcome())
        return result.addTimeout(
            self._deadline_seconds, self._reactor, onTimeoutCancel=lambda _result, _timeout: "failed"
        )


class _Request(Request):
    """A request whose body is bounded: these pages take none, and the spool of twisted.web has no end."""

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > _BODY_OCTETS:
            assert self.channel is not None
            self.channel.forceAbortClient()
            return
        super().gotLength(length)  # type: ignore[no-untyped-call]


class _Site(Site):
    def log(self, request: Any) -> None:
        """No line per request: probes ask every few seconds, and the metrics count what matters."""


class _Page(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def render(self, request: Request) -> Any:
        """Answer GET and HEAD; all else is 405."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return self._send(request, 405, "text/plain; charset=utf-8", b"only GET\n")
        return super().render(request)  # type: ignore[no-untyped-call]

    def _send(self, request: Request, status: int, kind: str, body: bytes) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"server", b"LightMail")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-type", kind.encode("ascii"))
        if request.method == b"HEAD":  # twisted.web would drop the body, but log a warning at each probe
            request.setHeader(b"content-length", b"%d" % len(body))
            return b""
        return body


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> Any:
        return notFound()


class _Health(_Page):
    """The process runs and its event loop turns; nothing more is asked."""

    def render_GET(self, request: Request) -> bytes:
        return self._send(request, 200, "text/plain; charset=utf-8", b"ok\n")


class _Metrics(_Page):
    def render_GET(self, request: Request) -> bytes:
        return self._send(request, 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))


class _Ready(_Page):
    def __init__(self, readiness: Readiness) -> None:
        super().__init__()
        self._readiness = readiness

    def render_GET(self, request: Request) -> int:
        gone: list[Any] = []
        request.notifyFinish().addErrback(gone.append)

        async def answer() -> None:
            ready, state = await self._readiness.state()
            body = json.dumps({"ready": ready, "checks": dict(state)}).encode("ascii") + b"\n"
            if not gone:
                request.write(self._send(request, 200 if ready else 503, "application/json", body))
                request.finish()

        Deferred.fromCoroutine(answer()).addErrback(lambda failure: log.failure("/ready failed", failure))
        return NOT_DONE_YET


class _Bounded(WrappingFactory):
    """Closes connections that are too many at once: they would take descriptors from the mail services."""

    noisy = False

    def __init__(self, site: Site, connections: int) -> None:
        super().__init__(site)  # type: ignore[no-untyped-call]
        self._connections = connections

    def buildProtocol(self, addr: Any) -> Any:
        return super().buildProtocol(addr) if len(self.protocols) < self._connections else None


def make_site(readiness: Readiness, reactor: Any, connections: int = 200) -> Any:
    """The factory of the HTTP listener, for so many connections at once."""
    pages: dict[bytes, Any] = {b"health": _Health(), b"ready": _Ready(readiness), b"metrics": _Metrics()}
    root = _Root()  # type: ignore[no-untyped-call]
    for name, page in pages.items():
        root.putChild(name, page)
    site = _Site(root, requestFactory=_Request, timeout=_IDLE_SECONDS, reactor=reactor)  # type: ignore[no-untyped-call]
    site.displayTracebacks = False
    site.noisy = False
    return _Bounded(site, connections)
