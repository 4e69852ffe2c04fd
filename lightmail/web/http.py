"""What every HTTP listener of this server has: bounds on connections, on requests, and on the time they take to come.

twisted.web bounds a request's line and header fields, and nothing else: a body goes to a file of any size, forms and
multipart bodies are parsed before anybody has asked for them, and one octet a minute keeps a connection for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from lightmail.peers import is_loopback
from lightmail.sessions import TurnedAway
from lightmail.web.shares import Shares

BODY_OCTETS: Final = 1 << 20
# What all bodies that are being received or worked on may hold together.
_BODIES_OCTETS: Final = 32 << 20
# Within so many seconds a request has to be here whole, and the next one has to begin.
_REQUEST_SECONDS: Final = 60
# What of a body that is too big is still read and thrown away, so that the client reads the answer instead of a reset.
_DISCARDED_OCTETS: Final = 8 << 20


class BoundedChannel(HTTPChannel):
    """A connection on which no request takes longer than a minute to arrive; in its own time to be answered."""

    site: BoundedSite
    host: str
    _deadline: Any = None

    def connectionMade(self) -> None:
        """Expect the first request."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channels.add(self)
        self._expect()

    def allContentReceived(self) -> None:
        """A request is here whole."""
        self._rest()
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """A request has been answered: expect the next one."""
        self._expect()
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if self.site.draining:
            self.end()

    def end(self) -> None:
        """Close the connection unless a request is being answered; then that is the last one."""
        if not self.requests:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing more is expected."""
        self.site.left(self)
        self._rest()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _expect(self) -> None:
        self._rest()
        self._deadline = self.callLater(_REQUEST_SECONDS, self.abort)  # type: ignore[no-untyped-call]

    def _rest(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def abort(self) -> None:
        """Cut the connection."""
        assert self.transport is not None
        self.transport.abortConnection()


class BoundedRequest(Request):
    """A request whose body stays in memory, up to a bound: beyond it, `too_big` is set and the body is thrown away.

    Its `id` is what the answer, the log and the client can speak of it by.
    """

    too_big = False
    crowded = False
    _received = 0
    _held = 0

    def __init__(self, channel: BoundedChannel, *args: Any) -> None:
        super().__init__(channel, *args)  # type: ignore[no-untyped-call]
        self.id = os.urandom(8).hex()
        self._site, self._host = channel.site, channel.host
        self.caller = ""

    def gotLength(self, length: int | None) -> None:
        """The header is here; `length` is what the body will have, None for chunks that come."""
        self.content = BytesIO()
        self.too_big = length is not None and length > BODY_OCTETS

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body has come."""
        self._received += len(data)
        self.too_big = self.too_big or self._received > BODY_OCTETS
        if not (self.too_big or self.crowded):
            self.crowded = not self._site.bodies.take(self._host, len(data))
            if not self.crowded:
                self._held += len(data)
                self.content.write(data)  # type: ignore[union-attr]
                return
        self._let_go()
        if self._received > _DISCARDED_OCTETS:
            self.channel.transport.abortConnection()  # type: ignore[union-attr]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is here whole. Forms are not looked for: nothing here takes them."""
        self.content.seek(0)  # type: ignore[union-attr]
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.args = {}
        self.process()  # type: ignore[no-untyped-call]

    def getRequestHostname(self) -> bytes:
        """No page depends on what a client calls this host, and a router would stumble over some names."""
        return b"localhost"

    def finish(self) -> None:
        """The answer has been written."""
        self._let_go()
        super().finish()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        """The client is gone."""
        self._let_go()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    @property
    def peer(self) -> str:
        """The address of the other end; empty for a Unix socket."""
        return getattr(self.getClientAddress(), "host", "")  # type: ignore[no-untyped-call]

    def cut(self) -> None:
        """Close the connection at once: what was begun of an answer is seen not to be whole."""
        if self.channel is not None:
            self.channel.transport.abortConnection()  # type: ignore[union-attr]

    def say(self, name: str, value: str) -> None:
        """Set a header field of the answer."""
        self.setHeader(name.encode("ascii"), value.encode("ascii", "replace"))  # type: ignore[no-untyped-call]

    def put(self, octets: bytes) -> None:
        """Write a piece of the answer's body, after the header; of HEAD's the header alone."""
        self.write(octets)  # type: ignore[no-untyped-call]

    def body(self) -> bytes:
        """The body."""
        content: BytesIO = self.content  # type: ignore[assignment]
        return content.getvalue()

    def _let_go(self) -> None:
        held, self._held = self._held, 0
        if held:
            self._site.bodies.give_back(self._host, held)
            self.content = BytesIO()


class BoundedSite(Site):
    """The factory of connections: so many at once, of which a quarter may come from one address unless it is `exempt`.

    `bodies` is what the bodies of all requests may take, in octets. `channels` are the connections that are open; once
    `draining`, each ends with the answer that is on its way.
    """

    noisy = False
    displayTracebacks = False
    protocol = BoundedChannel  # type: ignore[assignment]

    def __init__(
        self, root: Any, reactor: Any, connections: int = 200, exempt: Callable[[str], bool] = is_loopback
    ) -> None:
        arguments: dict[str, Any] = {"requestFactory": BoundedRequest, "timeout": _REQUEST_SECONDS, "reactor": reactor}
        super().__init__(root, **arguments)  # type: ignore[no-untyped-call]
        self.bodies = Shares(_BODIES_OCTETS, exempt)
        self._places = Shares(connections, exempt)
        self.channels: set[BoundedChannel] = set()
        self.draining = False
        self._clock = reactor
        self._last_left: Deferred[None] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        """A connection; one that is closed where there are too many: they would take descriptors from the mail."""
        host = getattr(addr, "host", "")
        if not self._places.take(host):
            return TurnedAway(b"")
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        channel.host = host
        return channel

    async def drain(self, seconds: float) -> None:
        """Close connections as soon as what they asked for is answered, and all that are open after `seconds`."""
        self.draining = True
        for channel in tuple(self.channels):
            channel.end()
        if not self.channels:
            return
        self._last_left = Deferred()
        with suppress(WaitedTooLong):
            await self._last_left.addTimeout(seconds, self._clock)
        for channel in tuple(self.channels):
            channel.abort()

    def left(self, channel: BoundedChannel) -> None:
        """A connection is gone."""
        self.channels.discard(channel)
        self._places.give_back(channel.host)
        if not self.channels and self._last_left is not None and not self._last_left.called:
            self._last_left.callback(None)

    def log(self, request: Any) -> None:
        """No line of twisted.web's own: the API logs its requests itself, and probes ask every few seconds."""
