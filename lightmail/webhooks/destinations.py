"""Where a request may go: a name is resolved, its addresses are checked, and the connection is made to one of those.

A name is looked up once for each connection, so no later answer of a name server can lead elsewhere. Private addresses
are where a server's own network is: databases, the metadata of a cloud, services that trust whoever reaches them.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address as Place4
from twisted.internet.address import IPv6Address as Place6
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IResolutionReceiver, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

# Octets of one answer, its headers included. Nobody reads them: the status says all there is to know.
ANSWER_OCTETS: Final = 64 << 10
# How long a connection may take to end politely.
_CLOSE_SECONDS: Final = 2.0
# A name that has more addresses than this is tried at the first ones.
_ADDRESSES: Final = 4

_NAT64: Final = IPv6Network("64:ff9b::/96")


class Unreachable(Exception):
    """The receiver's name has no address that may be connected to; the text says why, in one line."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the Internet at large: neither private, nor of this host, nor of a group.

    An IPv6 address that stands for an IPv4 address is what that is.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = _inside(found)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, through mapping or a gateway."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def permitted(resolver: Any, host: str, port: int, *, allow_private: bool) -> Sequence[Place4 | Place6]:
    """The addresses of a host that may be connected to, in the order of preference. Raises Unreachable."""
    found = [place for place in await _resolved(resolver, host, port) if isinstance(place, Place4 | Place6)]
    if not found:
        raise Unreachable(f"the name {host} has no address")
    chosen = [place for place in found if allow_private or is_public(place.host)]
    if not chosen:
        raise Unreachable(f"the address {found[0].host} is private, and [webhook] allow_private is not set")
    return chosen[:_ADDRESSES]


async def _resolved(resolver: Any, host: str, port: int) -> list[Any]:
    done: Deferred[list[Any]] = Deferred()
    resolver.resolveHostName(_Receiver(done), host, portNumber=port, transportSemantics="TCP")
    return await done


@implementer(IResolutionReceiver)
class _Receiver:
    """Gathers the addresses of a name."""

    def __init__(self, done: Deferred[list[Any]]) -> None:
        self._done = done
        self._found: list[Any] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """The look-up cannot be stopped: who waits for it no longer hears nothing of it."""

    def addressResolved(self, address: Any) -> None:
        """One more."""
        self._found.append(address)

    def resolutionComplete(self) -> None:
        """That is all."""
        if not self._done.called:
            self._done.callback(self._found)


@implementer(IAgentEndpointFactory)
class Destinations:
    """Endpoints of checked addresses, for twisted.web's Agent. `trust_root` is who vouches for certificates: None means
    whom the system trusts. `resolver` is the reactor's own unless another is given."""

    def __init__(
        self,
        reactor: Any,
        *,
        allow_private: bool,
        trust_root: Any = None,
        resolver: Any = None,
    ) -> None:
        self._reactor = reactor
        self._allow_private = allow_private
        self._trust_root = trust_root
        self._resolver = resolver

    def endpointForURI(self, uri: URI) -> Any:
        """Where a URI leads, over TLS with the host's name checked where its scheme is https."""
        host = uri.host.decode("ascii").strip("[]")
        checked: Any = _Checked(self, host, uri.port)
        if uri.scheme == b"https":
            trusted = {} if self._trust_root is None else {"trustRoot": self._trust_root}
            checked = wrapClientTLS(optionsForClientTLS(host, **trusted), checked)
        return _BoundedEndpoint(checked, self._reactor)

    async def connect(self, host: str, port: int, factory: Any) -> Any:
        """A connection to the first checked address that takes it. Raises Unreachable, ConnectError."""
        resolver = self._resolver or self._reactor.nameResolver
        places = await permitted(resolver, host, port, allow_private=self._allow_private)
        trouble: Exception = ConnectError()
        for place in places:
            try:
                return await self._endpoint(place).connect(factory)
            except ConnectError as error:
                trouble = error
        raise trouble

    def _endpoint(self, place: Place4 | Place6) -> Any:
        kind = TCP6ClientEndpoint if isinstance(place, Place6) else TCP4ClientEndpoint
        return kind(self._reactor, place.host, place.port)


@implementer(IStreamClientEndpoint)
class _Checked:
    """The endpoint of a host whose addresses are checked when a connection is made."""

    def __init__(self, destinations: Destinations, host: str, port: int) -> None:
        self._destinations = destinations
        self._host = host
        self._port = port

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect."""
        return ensureDeferred(self._destinations.connect(self._host, self._port, protocolFactory))


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    """Another endpoint, whose connections are cut off when the other side says too much, or does not close."""

    def __init__(self, endpoint: Any, reactor: Any) -> None:
        self._endpoint = endpoint
        self._reactor = reactor

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect; the result is the protocol of the factory that was given."""
        factory = _BoundedFactory(protocolFactory, self._reactor)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda protocol: protocol.wrappedProtocol)


class _Bounded(ProtocolWrapper):
    """A connection on which one request at a time is made."""

    _octets = 0
    _closing: Any = None

    def write(self, data: bytes) -> None:
        """A request goes out: the answer to it is counted from here on."""
        self._octets = 0
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """As `write`."""
        self._octets = 0
        super().writeSequence(data)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Part of an answer."""
        self._octets += len(data)
        if self._octets > ANSWER_OCTETS:
            self.transport.abortConnection()  # type: ignore[union-attr]
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """Close; cut off where the other side does not say goodbye."""
        super().loseConnection()  # type: ignore[no-untyped-call]
        if self._closing is None and self.transport is not None:
            self._closing = self.factory.reactor.callLater(_CLOSE_SECONDS, self.transport.abortConnection)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """It is closed."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _BoundedFactory(WrappingFactory):
    protocol = _Bounded
    noisy = False

    def __init__(self, factory: Any, reactor: Any) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.reactor = reactor
