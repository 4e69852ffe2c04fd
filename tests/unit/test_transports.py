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
from lightmail.imap.output import Output
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


def test_what_waits_is_sent_when_pushed(door: Door) -> None:
    def say() -> bytes:
        door.transport.write(b"written")
        door.transport.push()
        return door.client.recv(100)

    assert call(say) == b"written"


def test_pushed_octets_come_once_and_in_order(door: Door) -> None:
    pieces = [bytes([65 + k]) * 1_000_000 for k in range(9)]

    def say() -> None:
        for piece in pieces:
            door.transport.write(piece)
            door.transport.push()

    call(say)
    got = bytearray()
    while len(got) < 9_000_000:
        got += door.client.recv(1 << 20)
    assert got == b"".join(pieces)


def test_pushing_to_a_client_that_has_gone_does_nothing(door: Door) -> None:
    door.client.close()

    def say() -> None:
        door.transport.write(bytes(1000))
        door.transport.push()

    until(lambda: call(say) is None and door.lost)
    call(say)
    assert door.lost == 1


def test_whoever_writes_much_goes_on_at_once_while_the_kernel_takes_it(door: Door) -> None:
    def say() -> tuple[bool, bytes]:
        output = Output(door.transport)
        output.write(bytes(70_000))
        return output.paused, door.client.recv(70_000)

    paused, got = call(say)
    assert not paused
    while len(got) < 70_000:
        got += door.client.recv(70_000)
    assert got == bytes(70_000)


def test_whoever_writes_more_than_the_kernel_takes_is_told_to_wait(door: Door) -> None:
    def say() -> bool:
        output = Output(door.transport)
        output.write(bytes(20_000_000))
        return output.paused

    assert call(say)


@pytest.mark.parametrize("end", ["write", "write_last", "close"])
def test_what_is_held_leaves_before_what_comes_next(door: Door, end: str) -> None:
    def say() -> None:
        output = Output(door.transport)
        output.hold(b"held ")
        output.hold(b"longer ")
        if end == "close":
            output.close()
        else:
            getattr(output, end)(b"last")

    call(say)
    wanted = b"held longer " + (b"" if end == "close" else b"last")
    got = b""
    while len(got) < len(wanted):
        got += door.client.recv(100)
    assert got == wanted
