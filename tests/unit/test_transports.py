"""Connections that send at once what is written last: every octet once, in the order of writing, whoever reads."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from lightmail.app.sockets import bind_tcp, bind_unix, listen
from tests.support.reactor import call, run


class Door:
    """A listening socket and the transport of the one client that has come."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.lost = 0
        door = self

        class Server(Protocol):
            def connectionMade(self) -> None:
                door.transport = self.transport

            def connectionLost(self, reason: Any = None) -> None:
                door.lost += 1

        self.transport: Any = None
        if kind == "tcp":
            bound = bind_tcp("test", "127.0.0.1", 0)
            self.client = socket.socket()
        else:
            bound = bind_unix("test", str(directory / "socket"), 0o600, None)
            self.client = socket.socket(socket.AF_UNIX)
        where = bound.getsockname()
        self.port = call(listen, reactor, "test", bound, Factory.forProtocol(Server))
        self.client.settimeout(20)
        self.client.connect(where)
        until(lambda: self.transport is not None)

    def close(self) -> None:
        self.client.close()
        until(lambda: self.lost)

        async def stop() -> None:
            await self.port.stopListening()

        run(stop())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(params=["tcp", "unix"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    opened = Door(request.param, tmp_path)
    yield opened
    opened.close()


def test_it_is_sent_before_the_reactor_turns(door: Door) -> None:
    def say() -> bytes:
        door.transport.write_now(b"now")
        return door.client.recv(100)  # in the reactor's thread, which therefore does nothing else

    assert call(say) == b"now"


def test_what_was_written_before_goes_before(door: Door) -> None:
    def say() -> None:
        door.transport.write(b"first ")
        door.transport.write_now(b"second ")
        door.transport.write(b"third")

    call(say)
    got = b""
    while len(got) < 18:
        got += door.client.recv(100)
    assert got == b"first second third"


def test_what_the_kernel_does_not_take_comes_later(door: Door) -> None:
    pieces = [bytes([65 + k]) * 3_000_000 for k in range(3)]
    call(lambda: [door.transport.write_now(piece) for piece in pieces] and None)
    got = bytearray()
    while len(got) < 9_000_000:
        got += door.client.recv(1 << 20)
    assert got == b"".join(pieces)


def test_a_client_that_has_gone_is_noticed_as_ever(door: Door) -> None:
    door.client.close()
    until(lambda: call(lambda: door.transport.write_now(bytes(1000))) is None and door.lost)
    call(lambda: door.transport.write_now(b"to nobody"))
    assert door.lost == 1
