"""Makes a session of each connection that there is room for, and ends them all when the service stops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.cred.portal import Portal
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger
from twisted.mail.imap4 import IAccount

from lightmail.auth.checkers import MailRealm, PasswordChecker
from lightmail.imap.account import MailAccount
from lightmail.imap.admission import Admission
from lightmail.imap.server import ImapServer
from lightmail.sessions import Sessions, TurnedAway

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightmail.config import ImapConfig, LimitsConfig
    from lightmail.imap.services import ImapServices
    from lightmail.model import Account

log = Logger()


class ImapFactory(ServerFactory):
    """Sessions on `services`, on every port that this factory listens on: the bounds hold for all together."""

    noisy = False

    def __init__(self, services: ImapServices) -> None:
        self.services = services
        self.sessions: Final[Sessions[ImapServer]] = Sessions("imap", reactor=services.database.reactor)
        realm: Any = MailRealm({cast(Any, IAccount): self._avatar})  # Any: mypy knows nothing of zope's implementers
        checker: Any = PasswordChecker(services.authenticator, "imap")
        self._portal = Portal(realm, [checker])
        self._admission = Admission(services.limits, services.config.max_connections)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a refusal."""
        address = "" if isinstance(addr, UNIXAddress) else str(getattr(addr, "host", ""))
        place = self._admission.enter(address) if not self.sessions.draining else None
        if place is None:
            log.debug("no room for a connection from {address}", address=address)
            return TurnedAway(b"* BYE [LIMIT] Too many connections, try again later\r\n")
        session = ImapServer(self.services, address, place)
        session.factory = self
        session.portal = self._portal
        return session

    def configure(self, config: ImapConfig, limits: LimitsConfig) -> None:
        """Have the sessions that begin from now on keep to these; those that are open keep to what they began with."""
        self.services = replace(self.services, config=config, limits=limits)
        self._admission.configure(limits, config.max_connections)

    def _avatar(self, owner: Account) -> tuple[MailAccount, Callable[[], None]]:
        account = MailAccount(self.services, owner)
        return account, account.logout

    async def drain(self, seconds: float) -> None:
        """Refuse new sessions and return when those that are have ended; after `seconds` they are cut off."""
        await self.sessions.drain(seconds)
