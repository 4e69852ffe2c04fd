"""Takes LMTP connections in, up to a bound, and ends them in an orderly way."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory

from lightmail.delivery.routing import Routing
from lightmail.lmtp.server import LmtpServer
from lightmail.lmtp.services import LmtpServices
from lightmail.sessions import Sessions, TurnedAway

# Messages being stored and committed at once; more wait for their turn, their clients paused.
MAX_DELIVERIES: Final = 64


class LmtpFactory(ServerFactory):
    """Makes a session of each connection."""

    noisy = False

    def __init__(self, services: LmtpServices) -> None:
        self._services = services
        config = services.config
        self._routing = Routing(services.database, services.hostname, config.subaddress_mailboxes)
        self._turns = DeferredSemaphore(MAX_DELIVERIES)
        self.sessions: Final[Sessions[LmtpServer]] = Sessions("lmtp", reactor=services.reactor)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a refusal where there are too many."""
        if self.sessions.draining or len(self.sessions) >= self._services.config.max_connections:
            return TurnedAway(b"421 4.3.2 Too many connections, try again later\r\n")
        session = LmtpServer(self._services, self._routing, self._turns, self.sessions.closed)
        self.sessions.opened(session)
        return session

    async def drain(self, seconds: float) -> None:
        """Refuse new sessions and return when those that are have ended; after `seconds` they are cut off."""
        await self.sessions.drain(seconds)
