"""The open sessions of one protocol: counted, and ended in an orderly way when the server stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong

from lightmail.metrics import SESSIONS


class Session(Protocol):
    """What must be possible with a session."""

    def drain(self) -> None:
        """End it once its running command has been answered."""

    def abort(self) -> None:
        """Cut its connection."""


S = TypeVar("S", bound=Session)


class Sessions(Generic[S]):
    """Those that are open, and the gauge that shows how many. `draining` once no more may be let in."""

    def __init__(self, name: str, *, reactor: Any) -> None:
        self.draining = False
        self._reactor = reactor
        self._open: set[S] = set()
        self._gauge = SESSIONS.labels(name)
        self._last_closed: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[S]:
        return iter(tuple(self._open))

    def opened(self, session: S) -> None:
        """A session has begun."""
        self._open.add(session)
        self._gauge.inc()

    def closed(self, session: S) -> None:
        """A session that was `opened` has ended; to be called once for each."""
        self._open.discard(session)
        self._gauge.dec()
        if not self._open and self._last_closed is not None and not self._last_closed.called:
            self._last_closed.callback(None)

    async def drain(self, seconds: float) -> None:
        """End every session as soon as its command is answered, and cut off those still open after `seconds`."""
        self.draining = True
        for session in self:
            session.drain()
        if not self._open:
            return
        self._last_closed = Deferred()
        try:
            with suppress(WaitedTooLong):
                await self._last_closed.addTimeout(seconds, self._reactor)
        finally:
            for session in self:
                session.abort()


class TurnedAway(protocol.Protocol):
    """A connection too many: told so in `words`, and closed."""

    transport: Any

    def __init__(self, words: bytes) -> None:
        self._words = words

    def connectionMade(self) -> None:
        """Say it instead of a greeting."""
        self.transport.write(self._words)
        self.transport.loseConnection()
