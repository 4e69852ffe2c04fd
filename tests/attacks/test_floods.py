"""Clients that send without end, one octet at a time, or that only open connections: bounded, and others are served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lightmail.config import ImapConfig, LimitsConfig, LmtpConfig, Pop3Config
from tests.support.imapworld import ImapWorld
from tests.support.mailroom import Mailroom
from tests.support.transcript import Connection

MIB = 1 << 20


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def little_memory(most: int = 24 * MIB) -> Iterator[None]:
    before = resident()
    yield
    assert resident() - before < most


@contextmanager
def imap(directory: Path, **limits: int) -> Iterator[ImapWorld]:
    bounds = LimitsConfig(**{"append_octets": MIB, **limits})
    world = ImapWorld(directory, config=ImapConfig(max_connections=40), limits=bounds).open()
    world.add_account("alice@example.org", "secret")
    try:
        yield world
    finally:
        world.close()


@contextmanager
def mailroom(directory: Path, **limits: int) -> Iterator[Mailroom]:
    room = Mailroom(
        directory,
        lmtp=LmtpConfig(max_connections=40, max_message_octets=MIB),
        pop3=Pop3Config(max_connections=40),
        limits=LimitsConfig(**limits),
    ).open()
    room.add_account("alice@example.org", "secret")
    try:
        yield room
    finally:
        room.close()


def pour(port: int, start: bytes, piece: bytes, octets: int) -> list[bytes]:
    """Send `octets` of a piece again and again after `start`; every line of the answer, until the server hangs up."""
    client, lines = Connection(port), []

    def send() -> None:
        with suppress(OSError):
            client.send(start)
            for _ in range(octets // len(piece)):
                client.send(piece)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with suppress(EOFError, OSError, TimeoutError):
            while True:
                lines.append(client.line())
    finally:
        client.close()
        thread.join()
    return lines


LOGIN = b"l LOGIN alice@example.org secret\r\n"
STREAMS = {
    "no line end, ever": (b"", b"x" * 65536, b"BAD"),
    "no line end after login": (LOGIN, b"x" * 65536, b"BAD"),
    "a literal that does not wait": (b"a LOGIN {99999999+}\r\n", b"LOGOUT\r\n" * 8192, b"NO [TOOBIG]"),
    "the same after login": (LOGIN + b"a STATUS {999999999+}\r\n", b"z LOGOUT\r\n" * 8192, b"NO [TOOBIG]"),
    "many literals": (LOGIN + b"a SEARCH", b" HEADER {9+}\r\naaaaaaaaa {9+}\r\naaaaaaaaa" * 1000, b"BAD"),
    "many empty literals": (LOGIN + b"a SEARCH", b" {0+}\r\n" * 8192, b"BAD"),
    "bad commands": (b"", b"x\r\n" * 20_000, b"BAD"),
    "tags without end": (LOGIN, b"a" * 65536 + b" NOOP\r\n", b"BAD"),
    "an authentication": (b"a AUTHENTICATE PLAIN\r\n", b"A" * 65536, b"BAD"),
    "in IDLE": (LOGIN + b"a IDLE\r\n", b"x" * 65536, b"BAD"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_imap_streams(tmp_path: Path, name: str) -> None:
    start, piece, answer = STREAMS[name]
    with imap(tmp_path) as world, little_memory():
        lines = pour(world.port, start, piece, 256 * MIB)
        assert any(answer in line for line in lines), lines[:5]
        assert lines[-1].startswith(b"* BYE"), lines[-1]
        assert len(lines) < 40
        until_empty(lambda: len(world.factory.sessions) == 0)


def until_empty(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ENVELOPE = b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n"
OTHERS = {
    "lmtp, no line end": ("lmtp", b"", b"x" * 65536, b"500 5.5.2"),
    "lmtp, recipients": ("lmtp", ENVELOPE, b"RCPT TO:<" + b"x" * 8000 + b"@example.org>\r\n", b"501 5.1.3"),
    "lmtp, data without end": ("lmtp", ENVELOPE + b"DATA\r\n", b"x" * 65536, b"552 5.3.4"),
    "lmtp, dots": ("lmtp", ENVELOPE + b"DATA\r\n", b"\r\n.x" * 16384, b"552 5.3.4"),
    "lmtp, chunks of nothing known": ("lmtp", b"LHLO c\r\n", b"BDAT 60000\r\n" + b"x" * 60000, b"503 5.5.1"),
    "pop3, no line end": ("pop3", b"", b"x" * 65536, b"-ERR"),
    "pop3, names": ("pop3", b"", b"USER " + b"x" * 8200 + b"\r\n", b"-ERR"),
    "pop3, an authentication": ("pop3", b"AUTH PLAIN\r\n", b"A" * 65536, b"-ERR"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_streams_of_the_other_protocols(tmp_path: Path, name: str) -> None:
    protocol, start, piece, answer = OTHERS[name]
    with mailroom(tmp_path) as room, little_memory():
        port = room.lmtp_port if protocol == "lmtp" else room.pop3_port
        lines = pour(port, start, piece, 256 * MIB)
        assert any(line.startswith(answer) for line in lines), lines[:5]
        assert len(lines) < 400
        assert room.objects() == []
        until_empty(lambda: room.spooled_octets() == 0)


# One octet at a time


def drip(client: Connection, octets: bytes, pause: float = 0.05) -> list[bytes]:
    """Send octet by octet until the server hangs up; what it said."""
    lines: list[bytes] = []
    deadline = time.monotonic() + 8
    with suppress(EOFError, ConnectionError):
        while time.monotonic() < deadline:
            for octet in octets:
                client.send(bytes([octet]))
                time.sleep(pause)
                if b"\r\n" in client._received:
                    break
                client._socket.settimeout(0.001)
                with suppress(TimeoutError):
                    received = client._socket.recv(65536)
                    if not received:
                        return lines
                    client._received += received
            while b"\r\n" in client._received:
                lines.append(client.line())
        raise AssertionError("still connected")
    return lines


def test_slow_senders_do_not_outstay_the_time_to_log_in(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "m").mkdir()
    with imap(tmp_path / "i", login_seconds=1) as world, mailroom(tmp_path / "m", login_seconds=1) as room:
        for port, start in (
            (world.port, b""),
            (world.port, b"a LOGIN {300+}\r\n"),
            (world.port, b"a AUTHENTICATE PLAIN\r\n"),
            (room.pop3_port, b""),
            (room.pop3_port, b"AUTH PLAIN\r\n"),
        ):
            client = Connection(port)
            client.line()
            client.send(start)
            started = time.monotonic()
            said = drip(client, b"x")
            client.close()
            assert time.monotonic() - started < 4, (start, said)


# Connections


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_connections_that_never_log_in_are_bounded_and_others_served(tmp_path: Path, protocol: str) -> None:
    maker = imap if protocol == "imap" else mailroom
    with maker(tmp_path, connections_per_address_before_login=20) as world, little_memory():
        port = world.port if isinstance(world, ImapWorld) else world.pop3_port
        honest = Connection(port)
        honest.line()
        honest.send(LOGIN if protocol == "imap" else b"USER alice@example.org\r\nPASS secret\r\n")
        honest.line()
        greetings = []
        doors = [Connection(port) for _ in range(200)]
        for door in doors:
            greetings.append(door.line())
        refused = [line for line in greetings if line.startswith((b"* BYE [LIMIT]", b"-ERR [SYS/TEMP]"))]
        assert len(refused) == 180
        honest.send(b"n NOOP\r\n" if protocol == "imap" else b"NOOP\r\n")
        assert b"OK" in honest.line()
        for door in doors:
            door.close()
        until_empty(lambda: room_for_one(port))
        honest.close()


def room_for_one(port: int) -> bool:
    client = Connection(port)
    greeting = client.line()
    client.close()
    return greeting.startswith((b"* OK", b"+OK"))


def test_lmtp_connections_are_bounded(tmp_path: Path) -> None:
    with mailroom(tmp_path) as room:
        doors = [Connection(room.lmtp_port) for _ in range(60)]
        greetings = [door.line()[:9] for door in doors]
        assert greetings.count(b"421 4.3.2") == 20
        for door in doors:
            door.close()


@pytest.mark.heavy
def test_a_handshake_that_never_comes_is_ended(tmp_path: Path) -> None:
    """STARTTLS, and then silence: the time to log in goes on, and what cannot be said goodbye to is cut off."""
    with imap(tmp_path, login_seconds=2) as world:
        client = Connection(world.port)
        client.line()
        client.send(b"a STARTTLS\r\n")
        client.line()
        client._socket.settimeout(60)
        started = time.monotonic()
        with suppress(ConnectionError):
            while client._socket.recv(65536):
                pass
        assert time.monotonic() - started < 40
        client.close()
        until_empty(lambda: len(world.factory.sessions) == 0)


def test_many_literals_take_time_in_proportion(tmp_path: Path) -> None:
    with imap(tmp_path) as world:

        def seconds(count: int) -> float:
            client = Connection(world.port)
            client.line()
            client.send(LOGIN)
            client.line()
            started = time.process_time()
            client.send(b"a SEARCH" + b" {0+}\r\n" * count + b"\r\nb NOOP\r\n")
            while not client.line().startswith(b"b "):
                pass
            client.close()
            return time.process_time() - started

        seconds(100)
        assert seconds(12_000) < max(0.3, 8 * 2.5 * seconds(1_500))  # a square would be 64 times
