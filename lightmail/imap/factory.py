"""Makes a session of each connection that there is room for, and ends them all when the service stops."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.cred.portal import Portal
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger
from twisted.mail.imap4 import IAccount

from lightmail.auth.checkers import MailRealm, PasswordChecker
from lightmail.imap.account import MailAccount
from lightmail.imap.admission import Admission
from lightmail.imap.server import ImapServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightmail.imap.services import ImapServices
    from lightmail.model import Account

log = Logger()


class Refusal(Protocol):
    """A connection too many: told so and closed."""

    transport: Any

    def connectionMade(self) -> None:
        """Say BYE instead of a greeting."""
        self.transport.write(b"* BYE [LIMIT] Too many connections, try again later\r\n")
        self.transport.loseConnection()


class ImapFactory(ServerFactory):
    """Sessions on `services`, on every port that this factory listens on: the bounds hold for all together."""

    noisy = False

    def __init__(self, services: ImapServices) -> None:
        self.services: Final = services
        self.sessions: set[ImapServer] = set()
        realm: Any = MailRealm({cast(Any, IAccount): self._avatar})  # Any: mypy knows nothing of zope's implementers
        checker: Any = PasswordChecker(services.authenticator, "imap")
        self._portal = Portal(realm, [checker])
        self._admission = Admission(services.limits, services.config.max_connections)
        self._stopping: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or a refusal."""
        address = "" if isinstance(addr, UNIXAddress) else str(getattr(addr, "host", ""))
        place = self._admission.enter(address)
        if place is None:
            log.debug("no room for a connection from {address}", address=address)
            return Refusal()
        session = ImapServer(self.services, address, place)
        session.factory = self
        session.portal = self._portal
        return session

    def _avatar(self, owner: Account) -> tuple[MailAccount, Callable[[], None]]:
        account = MailAccount(self.services, owner)
        return account, account.logout

    def opened(self, session: ImapServer) -> None:
        """A session has begun."""
        self.sessions.add(session)

    def closed(self, session: ImapServer) -> None:
        """A session has ended."""
        self.sessions.discard(session)
        if not self.sessions and self._stopping is not None and not self._stopping.called:
            self._stopping.callback(None)

    async def drain(self, seconds: float) -> None:
        """End every session as soon as its running command is answered, and the rest after `seconds`.

        Returns when all are closed. The caller closes the listening ports first.
        """
        if not self.sessions:
            return
        self._stopping = Deferred()
        for session in list(self.sessions):
            session.finish(b"The server is shutting down")
        with suppress(DeferredTimeout):
            await self._stopping.addTimeout(seconds, self.services.database.reactor)
        for session in list(self.sessions):
            session.transport.abortConnection()
