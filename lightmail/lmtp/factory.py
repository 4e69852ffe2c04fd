"""Takes LMTP connections in, up to a bound, and ends them in an orderly way."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory

from lightmail.config import LimitsConfig, LmtpConfig
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
        self._routing = _routing(services)
        self._turns = DeferredSemaphore(MAX_DELIVERIES)
        self.sessions: Final[Sessions[LmtpServer]] = Sessions("lmtp", reactor=services.reactor)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a refusal where there are too many."""
        if self.sessions.draining or len(self.sessions) >= self._services.config.max_connections:
            return TurnedAway(b"421 4.3.2 Too many connections, try again later\r\n")
        session = LmtpServer(self._services, self._routing, self._turns, self.sessions.closed)
        self.sessions.opened(session)
        return session

    def configure(self, config: LmtpConfig, limits: LimitsConfig) -> None:
        """Have the sessions that begin from now on keep to these; those that are open keep to what they began with."""
        self._services = replace(self._services, config=config, limits=limits)
        self._routing = _routing(self._services)

    async def drain(self, seconds: float) -> None:
        """Refuse new sessions and return when those that are have ended; after `seconds` they are cut off."""
        await self.sessions.drain(seconds)


def _routing(services: LmtpServices) -> Routing:
    return Routing(services.database, services.hostname, services.config.subaddress_mailboxes)
