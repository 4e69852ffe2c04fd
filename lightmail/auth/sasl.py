"""The SASL mechanisms PLAIN (RFC 4616) and LOGIN, as challenges for a protocol to ask and as credentials for cred."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from twisted.cred.credentials import IUsernamePassword
from twisted.mail.interfaces import IChallengeResponse
from zope.interface import Attribute, implementer

from lightmail.errors import Invalid


class IRemotePassword(IUsernamePassword):
    """A name and password that came over the network."""

    address = Attribute("The client's IP address as text, empty where it is not known.")
    authorize_as = Attribute("SASL's authorization identity (bytes), empty for the name's own.")


@implementer(IRemotePassword)
class RemotePassword:
    """A name and password in octets, as a client gave them."""

    def __init__(self, username: bytes = b"", password: bytes = b"", *, address: str = "") -> None:
        self.username = username
        self.password = password
        self.address = address
        self.authorize_as = b""

    def checkPassword(self, password: bytes) -> bool:
        """Whether `password` is the one that was given."""
        return hmac.compare_digest(self.password, password)


@implementer(IChallengeResponse)
class Plain(RemotePassword):
    """PLAIN: one response, ``[authzid] NUL authcid NUL password``."""

    def __init__(self, *, address: str = "") -> None:
        super().__init__(address=address)

    def getChallenge(self) -> bytes:
        """What to ask the client: nothing."""
        return b""

    def setResponse(self, response: bytes) -> None:
        """Take the client's response. Raises Invalid when it is not of the form."""
        fields = response.split(b"\0")
        if len(fields) != 3 or not fields[1]:
            raise Invalid("Not a PLAIN response.")
        self.authorize_as, self.username, self.password = fields

    def moreChallenges(self) -> bool:
        """Whether there is more to ask after a response."""
        return False


@implementer(IChallengeResponse)
class Login(RemotePassword):
    """LOGIN, which no RFC defines and Outlook uses: asks for the name, then for the password."""

    def __init__(self, *, address: str = "") -> None:
        super().__init__(address=address)
        self._answered = 0

    def getChallenge(self) -> bytes:
        """What to ask the client. The words are those that clients compare with."""
        return b"Password:" if self._answered else b"Username:"

    def setResponse(self, response: bytes) -> None:
        """Take the client's response: the first is the name."""
        if not self._answered:
            self.username = response
        else:
            self.password = response
        self._answered += 1

    def moreChallenges(self) -> bool:
        """Whether there is more to ask after a response."""
        return self._answered < 2


# Name to class, strongest first; each takes the client's address by keyword.
MECHANISMS: Final[Mapping[bytes, Callable[..., Plain | Login]]] = MappingProxyType({b"PLAIN": Plain, b"LOGIN": Login})
