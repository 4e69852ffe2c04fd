"""A TCP proxy before a database or an object store that hurts what passes through it, when and as a test says.

It lives in the reactor's thread of `tests.support.reactor`; `meet`, `heal` and `drop` may be called in any thread,
the rest belongs to the test's own::

    with fault_proxy((host, port)) as proxy:
        proxy.meet(Fault(DOWN, Effect.CLOSE, at=COMMIT, times=1))   # the next COMMIT is done, and its answer lost
        ...
        proxy.heal()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from tests.support.reactor import call, run

reactor: Any = installed_reactor

# What a client says, for `Fault.at`.
COMMIT: Final = b"\x03COMMIT"  # COM_QUERY; PyMySQL sends it as a packet of its own
PUT: Final = b"PUT /"
GET: Final = b"GET /"


class Direction(Enum):
    """Where octets are going."""

    UP = "to the server"
    DOWN = "to the client"


UP: Final = Direction.UP
DOWN: Final = Direction.DOWN


class Effect(Enum):
    """What befalls a connection."""

    CLOSE = 1  # it closes in order, at both ends
    RESET = 2  # it is reset, at both ends
    SWALLOW = 3  # nothing passes in that direction any more, for ever, not even its end
    STALL = 4  # nothing passes until `heal`, then all that waited
    DELAY = 5  # everything passes `seconds` later
    ABANDON = 6  # the client's end closes; the server's stays open and hears nothing, until `drop`


@dataclass(frozen=True)
class Fault:
    """What goes wrong on every connection, also on those that are open already.

    `after` so many octets have passed in `direction`, counted on each connection from the fault's beginning; with `at`
    only from the moment that the client says these octets (they count themselves, on the way up). `times`: how many
    connections it befalls; None: all. `seconds` belongs to DELAY.
    """

    direction: Direction
    effect: Effect
    after: int = 0
    at: bytes | None = None
    times: int | None = None
    seconds: float = 0.0


class FaultProxy:
    """Forwards connections at `port` of 127.0.0.1 to `target`. ``befallen``: connections the fault has hit so far."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.fault: Fault | None = None
        self.befallen = 0
        self.links: set[Link] = set()
        self._listener: Any = None
        self.port = 0
        call(self._listen)

    def meet(self, fault: Fault) -> None:
        """Have everything meet this fault, instead of the one before."""
        _in_reactor(self._set, fault)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, as a machine without the server does."""
        run(self._refuse())

    def heal(self) -> None:
        """End the fault; take connections again. What the fault has broken stays broken."""
        _in_reactor(self._set, None)

    def drop(self) -> None:
        """Reset all connections, those too that a fault has left half open."""
        _in_reactor(self._drop)

    def close(self) -> None:
        """End everything."""
        run(self._refuse())

    # In the reactor's thread

    def _listen(self) -> None:
        factory = Factory.forProtocol(ClientSide)
        factory.proxy = self
        self._listener = reactor.listenTCP(self.port, factory, interface="127.0.0.1")
        self.port = self._listener.getHost().port

    async def _refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stopListening()
        self._drop()

    def _set(self, fault: Fault | None) -> None:
        self.fault = fault
        self.befallen = 0
        if self._listener is None:
            self._listen()
        for link in list(self.links):
            link.begin(fault)

    def _drop(self) -> None:
        for link in list(self.links):
            link.reset()

    def strikes(self, fault: Fault) -> bool:
        """Whether the fault befalls one more connection; it is counted."""
        if fault.times is not None and self.befallen >= fault.times:
            return False
        self.befallen += 1
        return True


def _in_reactor(fn: Callable[..., None], *args: Any) -> None:
    if isInIOThread():
        fn(*args)
    else:
        call(fn, *args)


class Link:
    """One connection of a client and the one made for it to the server. `_ends` has those that are open."""

    def __init__(self, proxy: FaultProxy, client: Any) -> None:
        self.proxy = proxy
        self._ends: dict[Direction, Any] = {DOWN: client}
        self._connecting = True
        self._lost: set[Direction] = set()
        self._held: list[tuple[Direction, bytes]] = []
        self._late: dict[Direction, deque[tuple[float, bytes | None]]] = {UP: deque(), DOWN: deque()}
        self.begin(proxy.fault)

    def begin(self, fault: Fault | None) -> None:
        """From now on this fault counts; what another one held up passes."""
        self._fault = fault
        self._armed = fault is not None and fault.at is None
        self._passed = 0
        self._said = b""
        held, self._held = self._held, []
        for direction, data in held:
            self._send(direction, data)
        if not self._connecting:
            for end in self._ends.values():
                end.resumeProducing()

    def connected(self, server: Any) -> None:
        """The server's end is there."""
        self._connecting = False
        self._ends[UP] = server
        if DOWN in self._ends:
            self._ends[DOWN].resumeProducing()
        else:
            server.loseConnection()

    def not_connected(self) -> None:
        """There is no server."""
        self._connecting = False
        self.reset()
        self._forget()

    def reset(self) -> None:
        """Reset both ends."""
        for end in list(self._ends.values()):
            end.abortConnection()

    def received(self, direction: Direction, data: bytes) -> None:
        """Octets came that go in `direction`."""
        fault = self._fault
        if fault is not None and direction is UP and not self._armed:
            data = self._look_for(fault, data)
        if fault is not None and self._armed and direction is fault.direction and data:
            self._suffer(fault, data)
        elif data:
            self._send(direction, data)

    def _look_for(self, fault: Fault, data: bytes) -> bytes:
        """Pass what comes before the octets that the fault waits for; the rest, which begins with them."""
        assert fault.at is not None
        known, said = len(self._said), self._said + data
        self._said = said[-len(fault.at) + 1 :]
        found = said.find(fault.at)
        if found < 0:
            return data
        self._armed = True
        before = max(0, found - known)
        if before:
            self._send(UP, data[:before])
        if fault.direction is UP:
            self._passed = max(0, known - found)  # they came in two pieces, and the first has gone on
        return data[before:]

    def _suffer(self, fault: Fault, data: bytes) -> None:
        room = fault.after - self._passed
        self._passed += len(data)
        if room > 0:
            self._send(fault.direction, data[:room])
            data = data[room:]
        if self._passed < fault.after:
            return
        if fault.effect is Effect.DELAY:
            self._send(fault.direction, data, fault.seconds)
        elif fault.effect is Effect.STALL:
            self._held.append((fault.direction, data))
            self._ends[DOWN if fault.direction is UP else UP].pauseProducing()
        elif self.proxy.strikes(fault):
            self._break(fault)
        else:
            self._fault = None
            self._send(fault.direction, data)

    def _break(self, fault: Fault) -> None:
        self._fault = None
        if fault.effect is Effect.CLOSE:
            for end in list(self._ends.values()):
                end.loseConnection()
        elif fault.effect is Effect.RESET:
            self.reset()
        elif fault.effect is Effect.SWALLOW:
            self._lost.add(fault.direction)
        elif fault.effect is Effect.ABANDON:
            self._lost |= {UP, DOWN}
            self._ends[DOWN].loseConnection()

    def _send(self, direction: Direction, data: bytes | None, seconds: float = 0.0) -> None:
        """Pass octets, or (None) their end, so many seconds later and behind what waits already."""
        queue = self._late[direction]
        if not queue and not seconds:
            self._write(direction, data)
            return
        queue.append((reactor.seconds() + seconds, data))
        if len(queue) == 1:
            self._send_late(direction)

    def _send_late(self, direction: Direction) -> None:
        """Pass what is due, in the order in which it came: timers of the reactor alone would not keep that."""
        queue = self._late[direction]
        while queue:
            wait = queue[0][0] - reactor.seconds()
            if wait > 0:
                reactor.callLater(wait, self._send_late, direction)
                return
            self._write(direction, queue.popleft()[1])

    def _write(self, direction: Direction, data: bytes | None) -> None:
        end = self._ends.get(direction)
        if end is None or direction in self._lost:
            return
        if data is None:
            end.loseConnection()
        elif data:
            end.write(data)

    def ended(self, direction: Direction) -> None:
        """No more octets will come that go in `direction`: its source is gone."""
        self._ends.pop(DOWN if direction is UP else UP, None)
        self._send(direction, None)
        self._forget()

    def _forget(self) -> None:
        if not self._ends and not self._connecting:
            self.proxy.links.discard(self)


class ClientSide(Protocol):
    """The client's connection."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.pauseProducing()
        proxy: FaultProxy = self.factory.proxy  # type: ignore[union-attr]
        self.link = Link(proxy, transport)
        proxy.links.add(self.link)
        reactor.connectTCP(*proxy.target, ServerSideFactory(self.link), timeout=10)

    def dataReceived(self, data: bytes) -> None:
        self.link.received(UP, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.link.ended(UP)


class ServerSide(Protocol):
    """The connection to the server."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.link.connected(transport)

    def dataReceived(self, data: bytes) -> None:
        self.link.received(DOWN, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.link.ended(DOWN)


class ServerSideFactory(ClientFactory):
    """Connects a link to its server; where nobody listens, the client's end is reset."""

    noisy = False

    def __init__(self, link: Link) -> None:
        self.link = link

    def buildProtocol(self, addr: IAddress) -> Protocol:
        return ServerSide(self.link)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.link.not_connected()


@contextmanager
def fault_proxy(target: tuple[str, int]) -> Iterator[FaultProxy]:
    """A proxy that is closed at the end."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
