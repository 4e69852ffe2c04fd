"""Takes POP3 connections in, up to bounds, and ends them in an orderly way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final

from twisted.internet.protocol import Protocol, ServerFactory

from lightmail.config import LimitsConfig, Pop3Config
from lightmail.peers import is_in, is_loopback
from lightmail.pop3.server import Pop3Server
from lightmail.pop3.services import Pop3Services
from lightmail.sessions import Sessions, TurnedAway


class Pop3Factory(ServerFactory):
    """Makes a session of each connection. The bound per address is for those that have not logged in."""

    noisy = False

    def __init__(self, services: Pop3Services) -> None:
        self._services = services
        self.sessions: Final[Sessions[Pop3Server]] = Sessions("pop3", reactor=services.reactor)
        self._strangers: Counter[str] = Counter()

    def buildProtocol(self, addr: Any) -> Protocol:
        """A session, or a refusal where there are too many."""
        address = str(getattr(addr, "host", ""))
        if self.sessions.draining or self._is_full(address):
            return TurnedAway(b"-ERR [SYS/TEMP] Too many connections, try again later\r\n")
        session = Pop3Server(
            self._services, address, is_loopback(address), known=self._known, ended=self.sessions.closed
        )
        session.factory = self  # type: ignore[assignment]  # Twisted declares None
        self.sessions.opened(session)
        self._strangers[address] += 1
        return session

    async def drain(self, seconds: float) -> None:
        """Refuse new sessions and return when those that are have ended; after `seconds` they are cut off."""
        await self.sessions.drain(seconds)

    def configure(self, config: Pop3Config, limits: LimitsConfig) -> None:
        """Have the sessions that begin from now on keep to these; those that are open keep to what they began with."""
        self._services = replace(self._services, config=config, limits=limits)

    def _is_full(self, address: str) -> bool:
        if len(self.sessions) >= self._services.config.max_connections:
            return True
        limits = self._services.limits
        if self._strangers[address] < limits.connections_per_address_before_login or not address:
            return False
        return not is_in(address, limits.trusted_networks)

    def _known(self, session: Pop3Server) -> None:
        """The session has logged in, or ended: it is no stranger any more."""
        self._strangers[session.address] -= 1
        if not self._strangers[session.address]:
            del self._strangers[session.address]
