"""Takes LMTP connections in, up to a bound, and ends them in an orderly way."""

from __future__ import annotations

from typing import Final, cast

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory

from lightmail.channel import Transport
from lightmail.lmtp.server import LmtpServer
from lightmail.lmtp.services import LmtpServices
from lightmail.metrics import SESSIONS

# Messages being stored and committed at once; more wait for their turn, their clients paused.
MAX_DELIVERIES: Final = 64


class _TurnedAway(Protocol):
    """One connection too many."""

    def connectionMade(self) -> None:
        transport = cast(Transport, self.transport)
        transport.write(b"421 4.3.2 Too many connections, try again later\r\n")
        transport.loseConnection()


class LmtpFactory(ServerFactory):
    """Makes a session of each connection."""

    noisy = False

    def __init__(self, services: LmtpServices) -> None:
        self._services = services
        self._turns = DeferredSemaphore(MAX_DELIVERIES)
        self._sessions: set[LmtpServer] = set()
        self._draining: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a refusal where there are too many."""
        if self._draining is not None or len(self._sessions) >= self._services.config.max_connections:
            return _TurnedAway()
        session = LmtpServer(self._services, self._turns, self._ended)
        self._sessions.add(session)
        SESSIONS.labels("lmtp").inc()
        return session

    async def drain(self, seconds: float) -> None:
        """Refuse new sessions and return when those that are have ended; after `seconds` they are cut off."""
        self._draining = Deferred()
        for session in tuple(self._sessions):
            session.drain()
        if not self._sessions:
            return
        self._draining.addTimeout(seconds, self._services.reactor)
        try:
            await self._draining
        except (WaitedTooLong, CancelledError):
            for session in tuple(self._sessions):
                session.abort()

    def _ended(self, session: LmtpServer) -> None:
        self._sessions.discard(session)
        SESSIONS.labels("lmtp").dec()
        if self._draining is not None and not self._sessions and not self._draining.called:
            self._draining.callback(None)
