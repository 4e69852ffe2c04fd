"""The proxy that the fault tests stand on does what it says, octet for octet."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.faultproxy import DOWN, UP, Direction, Effect, Fault, FaultProxy, fault_proxy
from tests.support.reactor import call, run


class Echo(Protocol):
    """Says everything back, and notes it."""

    def connectionMade(self) -> None:
        self.factory.open.append(self)
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.open.remove(self)
        self.factory.heard.append(self.heard)


class Server:
    """An echo server: connections open at this moment, and what each that has ended had said."""

    def __init__(self) -> None:
        self.factory = Factory.forProtocol(Echo)
        self.factory.open, self.factory.heard = [], []
        self.port = call(lambda: reactor.listenTCP(0, self.factory, interface="127.0.0.1"))  # type: ignore[attr-defined]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port.getHost().port

    def heard(self, connections: int = 1) -> list[bytes]:
        """What was heard, once so many connections have ended."""
        until = time.monotonic() + 10
        while len(self.factory.heard) < connections and time.monotonic() < until:
            time.sleep(0.005)
        return list(self.factory.heard)

    def close(self) -> None:
        """Stop listening; connections go on."""

        async def stop() -> None:
            if self.port.connected:
                await self.port.stopListening()

        run(stop())


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with fault_proxy(server.address) as made:
        yield made


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def everything(client: socket.socket) -> bytes:
    """What comes until the connection ends in order."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def says(client: socket.socket, data: bytes) -> bytes:
    """As many octets as were said."""
    client.sendall(data)
    said = b""
    while len(said) < len(data) and (piece := client.recv(65536)):
        said += piece
    return said


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.15)
    try:
        return not client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


@pytest.mark.parametrize("octets", [1, 3, 5, 9, 70_000])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_cut_after_so_many_octets_and_no_more(server: Server, proxy: FaultProxy, direction: Direction, octets: int):
    text = b"0123456789" * 10_000
    with connect(proxy) as client:
        assert says(client, b"before") == b"before"
        proxy.meet(Fault(direction, Effect.CLOSE, after=octets))
        client.sendall(text)
        passed = everything(client)
    (heard,) = server.heard()
    if direction is UP:
        assert heard == b"before" + text[:octets]
        assert text[:octets].startswith(passed)
    else:
        assert passed == text[:octets]
    assert proxy.befallen == 1


def test_what_was_said_decides(server: Server, proxy: FaultProxy):
    proxy.meet(Fault(UP, Effect.CLOSE, at=b"STOP", after=4))
    with connect(proxy) as client:
        assert says(client, b"a STO") == b"a STO"
        client.sendall(b"P and more")
        everything(client)
    assert server.heard() == [b"a STOP"]
    proxy.meet(Fault(DOWN, Effect.CLOSE, at=b"STOP", times=1))
    with connect(proxy) as client:
        client.sendall(b"do STOP it")
        assert everything(client) in (b"", b"do ")
    assert server.heard(2)[1] == b"do STOP it", "only the answer is lost"
    with connect(proxy) as client:
        assert says(client, b"STOP") == b"STOP", "it was to befall one connection"


def test_reset(server: Server, proxy: FaultProxy):
    proxy.meet(Fault(UP, Effect.RESET))
    with connect(proxy) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert server.heard() == [b""]


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_what_is_swallowed_never_comes(server: Server, proxy: FaultProxy, direction: Direction):
    with connect(proxy) as client:
        assert says(client, b"before") == b"before"
        proxy.meet(Fault(direction, Effect.SWALLOW))
        client.sendall(b"lost")
        assert is_silent(client)
        proxy.heal()
        assert is_silent(client), "what is broken stays broken"
        with connect(proxy) as other:
            assert says(other, b"new") == b"new"
    proxy.drop()
    assert sorted(server.heard(2)) == sorted([b"before" + (b"lost" if direction is DOWN else b""), b"new"])


def test_what_is_held_up_comes_when_that_ends(server: Server, proxy: FaultProxy):
    with connect(proxy) as client:
        proxy.meet(Fault(UP, Effect.STALL, after=2))
        client.sendall(b"abcdef")
        assert client.recv(2) == b"ab"
        assert is_silent(client)
        client.sendall(b"ghi")
        proxy.heal()
        assert says(client, b"j") != b""
    assert server.heard() == [b"abcdefghij"]


def test_what_is_delayed_comes_later_in_its_order(server: Server, proxy: FaultProxy):
    proxy.meet(Fault(DOWN, Effect.DELAY, seconds=0.2))
    with connect(proxy) as client:
        began = time.monotonic()
        assert says(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2
        client.sendall(b"slow again ")
        proxy.heal()
        client.sendall(b"and fast")
        assert says(client, b".").startswith(b"slow again ")


def test_an_abandoned_server_hears_nothing_until_it_is_let_go(server: Server, proxy: FaultProxy):
    with connect(proxy) as client:
        assert says(client, b"before") == b"before"
        proxy.meet(Fault(UP, Effect.ABANDON, at=b"!"))
        client.sendall(b"!")
        assert everything(client) == b""
    assert len(call(lambda: list(server.factory.open))) == 1
    proxy.drop()
    assert server.heard() == [b"before"]


def test_refused_and_taken_again_at_the_same_port(server: Server, proxy: FaultProxy):
    with connect(proxy) as client:
        assert says(client, b"x") == b"x"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.heal()
    with connect(proxy) as client:
        assert says(client, b"x") == b"x"


def test_without_its_server_it_resets(proxy: FaultProxy, server: Server):
    server.close()
    with pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)
    assert not call(lambda: set(proxy.links))
