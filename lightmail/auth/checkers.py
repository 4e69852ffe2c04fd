"""The authenticator as Twisted's cred sees it: a checker and a realm for a Portal, with the stock servers or ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from lightmail.auth.login import Authenticator
from lightmail.auth.sasl import IRemotePassword
from lightmail.errors import AccountDisabled, AuthenticationFailed, AuthorizationFailed, MailError
from lightmail.model import Account

# Makes what a protocol serves to a logged-in account, and what to call when the session ends.
Avatar: TypeAlias = tuple[Any, Callable[[], None]]
MakeAvatar: TypeAlias = Callable[[Account], Avatar]


class LoginDenied(UnauthorizedLogin):
    """A login that was refused for good; ``error`` says why, for protocols that tell."""

    def __init__(self, error: MailError) -> None:
        super().__init__(error.text)
        self.error = error


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Lets the authenticator check names and passwords that come over one protocol.

    The avatar id it finds is the `Account` itself, so that the realm need not read it again. An outage is not a
    refused login: it fails with Unavailable.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, authenticator: Authenticator, protocol: str) -> None:
        self._authenticator = authenticator
        self._protocol = protocol

    def requestAvatarId(self, credentials: Any) -> Deferred[Account]:
        """The account that the credentials open; fails with LoginDenied or Unavailable."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> Account:
        address, authorize_as = "", b""
        if IRemotePassword.providedBy(credentials):
            address, authorize_as = credentials.address, credentials.authorize_as
        try:
            return await self._authenticator.login(
                _octets(credentials.username), _octets(credentials.password), address, self._protocol, authorize_as
            )
        except (AuthenticationFailed, AuthorizationFailed, AccountDisabled) as error:
            raise LoginDenied(error) from error


@implementer(IRealm)
class MailRealm:
    """Gives a logged-in account to the protocol that asked, by the interface that it speaks."""

    def __init__(self, avatars: Mapping[InterfaceClass, MakeAvatar]) -> None:
        self._avatars = dict(avatars)

    def requestAvatar(
        self, avatarId: Account, mind: object, *interfaces: InterfaceClass
    ) -> tuple[InterfaceClass, Any, Callable[[], None]]:
        """(interface, avatar, logout) for the first of `interfaces` that is served. NotImplementedError for none."""
        for interface in interfaces:
            make = self._avatars.get(interface)
            if make is not None:
                avatar, logout = make(avatarId)
                return interface, avatar, logout
        raise NotImplementedError("none of the interfaces is served")


def _octets(text: bytes | str) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
