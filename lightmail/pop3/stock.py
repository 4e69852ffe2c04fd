"""Our maildrops behind Twisted's cred, for its stock ``POP3`` server or any other that logs in through a portal."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from lightmail.model import Account
from lightmail.pop3.maildrop import Maildrop, open_maildrop
from lightmail.pop3.services import Pop3Services


@implementer(IRealm)
class Pop3Realm:
    """Opens the maildrop of an account that `auth.checkers.PasswordChecker` has let in."""

    def __init__(self, services: Pop3Services) -> None:
        self._services = services

    def requestAvatar(
        self, avatarId: Account, mind: object, *interfaces: InterfaceClass
    ) -> Deferred[tuple[type[IMailboxPOP3], Maildrop, Callable[[], None]]]:
        """(IMailboxPOP3, maildrop, logout). Fails with InUse or Unavailable; NotImplementedError for other faces."""
        if IMailboxPOP3 not in interfaces:
            raise NotImplementedError("only IMailboxPOP3 is served")
        return Deferred.fromCoroutine(self._open(avatarId))

    async def _open(self, account: Account) -> tuple[type[IMailboxPOP3], Maildrop, Callable[[], None]]:
        drop = await open_maildrop(self._services, account, token_hex(6))

        def logout() -> None:
            Deferred.fromCoroutine(drop.close())

        return IMailboxPOP3, drop, logout
