"""The open sessions of one protocol: counted, told of, and ended in an orderly way; all of them when we stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong

from lightmail.metrics import SESSIONS, Reading
from lightmail.model import AccountId

# Why a session is ended, as its client is told.
STOPPING: Final = "The server is shutting down"
DISMISSED: Final = "The session was ended by an administrator"


class About(NamedTuple):
    """Who is at the other end: `account` is None in protocols without a login, `client` what it says it is."""

    account: AccountId | None
    address: str
    secure: bool
    client: str


class Session(Protocol):
    """What must be possible with a session. `id` is unique in this process."""

    @property
    def id(self) -> str:
        """Its name in the log."""

    @property
    def phase(self) -> str:
        """What it is at, for metrics: one of a few words of its protocol."""

    def about(self) -> About | None:
        """Who it is; None as long as nobody has logged in."""

    def drain(self, why: str) -> None:
        """End it once its running command has been answered; `why` is for the client."""

    def abort(self) -> None:
        """Cut its connection."""


S = TypeVar("S", bound=Session)


class Sessions(Generic[S]):
    """Those that are open, and the gauge that shows how many. `draining` once no more may be let in."""

    def __init__(self, name: str, *, reactor: Any) -> None:
        self.name: Final = name
        self.draining = False
        self._reactor = reactor
        self._open: dict[S, int] = {}
        self._last_closed: Deferred[None] | None = None
        SESSIONS.watch(self, Sessions._readings)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[S]:
        return iter(tuple(self._open))

    def __contains__(self, session: object) -> bool:
        return session in self._open

    def since(self) -> list[tuple[S, int]]:
        """The open sessions, each with the moment when it began (Unix microseconds)."""
        return list(self._open.items())

    def opened(self, session: S) -> None:
        """A session has begun."""
        self._open[session] = time.time_ns() // 1000

    def closed(self, session: S) -> None:
        """A session that was `opened` has ended; to be called once for each."""
        self._open.pop(session, None)
        if not self._open and self._last_closed is not None and not self._last_closed.called:
            self._last_closed.callback(None)

    def _readings(self) -> Iterator[Reading]:
        for phase, count in Counter(session.phase for session in self._open).items():
            yield (self.name, phase), count

    async def drain(self, seconds: float) -> None:
        """End every session as soon as its command is answered, and cut off those still open after `seconds`."""
        self.draining = True
        for session in self:
            session.drain(STOPPING)
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
