"""The protocol of ClamAV's daemon, against ends that answer, refuse, lie, babble and keep silent."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.scanning import clamd
from lightmail.scanning.clamd import ClamdError, StreamTooLong
from tests.support.scriptedclamd import answering, daemon, exactly, stream

SECONDS = 5.0
LARGE = 8 << 20  # more than any socket's buffers


def scan(address: str, message: bytes = b"Subject: x\r\n\r\n", seconds: float = SECONDS) -> str | None:
    return clamd.scan(address, io.BytesIO(message), seconds)


class Pieces(io.RawIOBase):
    """A file whose reads give what it has in the pieces that it has it in."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter([piece for piece in pieces if piece])

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


class Echo:
    """A daemon that keeps what it is given."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        self.chunks = stream(connection)
        connection.sendall(b"stream: OK\0")


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[Echo, str]]:
    heard = Echo()
    with daemon(heard) as address:
        yield heard, address


@given(pieces=st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=50, deadline=None)
def test_whatever_pieces_a_message_is_read_in_the_daemon_gets_its_octets(
    echo: tuple[Echo, str], pieces: list[bytes]
) -> None:
    heard, address = echo
    assert clamd.scan(address, cast(BinaryIO, Pieces(pieces)), SECONDS) is None
    assert b"".join(heard.chunks) == b"".join(pieces)
    assert all(heard.chunks)


def test_a_long_message_goes_in_chunks(echo: tuple[Echo, str]) -> None:
    heard, address = echo
    message = bytes(range(256)) * 4096
    assert scan(address, message) is None
    assert b"".join(heard.chunks) == message
    assert max(map(len, heard.chunks)) == 65536


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        (b"stream: OK\0", None),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\0", "Win.Test.EICAR_HDB-1"),
        (b"stream: Eicar(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0", "Eicar(44d88612fea8a8f36de82e1278abb02f:68)"),
        (b"stream: OK FOUND\0", "OK"),
        (b"stream: a b\tc\r\nX-Field: d\x1b[1m\xc3\xa9\x7f FOUND\0", "a b?c??X-Field: d?[1m???"),
        (b"stream: OK\0stream: Late FOUND\0", None),
        (b"stream: OK\n\0", None),
    ],
)
def test_what_the_daemon_found(answer: bytes, signature: str | None) -> None:
    with daemon(answering(answer)) as address:
        assert scan(address) == signature


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"stream: Can't allocate memory ERROR\0", "it answered: stream: Can't allocate memory ERROR"),
        (b"INSTREAM: Can't write to temporary file. ERROR\0", "it answered: INSTREAM: Can't write"),
        (b"UNKNOWN COMMAND\0", "it answered: UNKNOWN COMMAND"),
        (b"stream: ok\0", "it answered: stream: ok"),
        (b"1: stream: OK\0", "it answered: 1: stream: OK"),
        (b"220 mx.example.org ESMTP\r\n", "its answer has no end: 220 mx.example.org ESMTP"),
        (b"\0", "it answered: nothing"),
        (b"", "it hung up"),
        # The beginning of a longer one.
        (b"stream: OK", "its answer has no end: stream: OK"),
        (b"\xff\0\xff", "it answered: ?"),
    ],
)
def test_what_is_no_verdict(answer: bytes, said: str) -> None:
    with daemon(answering(answer)) as address, pytest.raises(ClamdError) as raised:
        scan(address)
    assert not isinstance(raised.value, StreamTooLong)
    assert str(raised.value).startswith(said)


def test_an_answer_without_end_is_not_read_for_ever() -> None:
    sent = 0

    def babbling(connection: socket.socket) -> None:
        nonlocal sent
        stream(connection)
        with suppress(OSError):
            while True:
                sent += connection.send(b"stream: " * 1000)

    with daemon(babbling) as address, pytest.raises(ClamdError, match="its answer has no end: stream: ") as raised:
        scan(address)
    assert len(str(raised.value)) < 300
    assert sent < LARGE


def hanging_up(said: bytes, *, after: int = 1000) -> Callable[[socket.socket], None]:
    """Read a little, say this, and close the connection while more comes."""

    def script(connection: socket.socket) -> None:
        exactly(connection, after)
        connection.sendall(said)

    return script


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_message_over_its_bound_is_refused_while_it_comes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ctl" if kind == "unix" else None
    said = b"INSTREAM size limit exceeded. ERROR\0"
    with daemon(hanging_up(said), path) as address, pytest.raises(StreamTooLong):
        scan(address, bytes(LARGE))
    with daemon(answering(said)) as address, pytest.raises(StreamTooLong):
        scan(address)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_daemon_that_hangs_up_in_the_middle_gives_no_verdict(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ctl" if kind == "unix" else None
    with daemon(hanging_up(b""), path) as address, pytest.raises(ClamdError, match="the connection broke"):
        scan(address, bytes(LARGE))


def test_what_it_finds_in_the_beginning_counts_and_what_it_does_not_find_there_does_not() -> None:
    with daemon(hanging_up(b"stream: Found.Early FOUND\0")) as address:
        assert scan(address, bytes(LARGE)) == "Found.Early"
    with daemon(hanging_up(b"stream: OK\0")) as address, pytest.raises(ClamdError, match="the connection broke"):
        scan(address, bytes(LARGE))


def waiting(connection: socket.socket) -> None:
    """Read all, and never answer."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def deaf(connection: socket.socket) -> None:
    """Read nothing for longer than anybody waits."""
    time.sleep(0.6)


def dripping(connection: socket.socket) -> None:
    """Answer an octet at a time, and never come to an end."""
    stream(connection)
    with suppress(OSError):
        while True:
            connection.sendall(b"s")
            time.sleep(0.02)


@pytest.mark.parametrize("script", [waiting, dripping, deaf])
def test_the_seconds_are_for_all_of_it(script: Callable[[socket.socket], None]) -> None:
    began = time.monotonic()
    with daemon(script) as address, pytest.raises(ClamdError, match=r"takes too long|no verdict within"):
        scan(address, bytes(LARGE), 0.2)
    assert time.monotonic() - began < 3


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_daemon_on_a_port(host: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this host has no IPv6")
    with daemon(answering(b"stream: OK\0"), host=host) as address:
        assert scan(address) is None


def test_a_daemon_on_a_unix_socket(tmp_path: Path) -> None:
    with daemon(answering(b"stream: OK\0"), tmp_path / "ctl") as address:
        assert address == str(tmp_path / "ctl")
        assert scan(address) is None


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ClamdError, match=r"none cannot be reached: No such file or directory"):
        scan(str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ClamdError, match=rf"^127.0.0.1:{port} cannot be reached: Connection refused$"):
        scan(f"127.0.0.1:{port}")
    with pytest.raises(ClamdError, match="cannot be reached"):
        scan("nowhere.invalid:3310")


def test_a_full_queue_of_connections_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        began = time.monotonic()
        with pytest.raises(ClamdError, match="cannot be reached: it takes too long"):
            scan(str(path), seconds=0.2)
        assert 0.15 < time.monotonic() - began < 3


def test_its_version() -> None:
    said = b"ClamAV 1.4.6/27430/Fri Oct 18 08:35:37 2024"
    with daemon(answering(said + b"\0")) as address:
        assert clamd.version(address, SECONDS) == said.decode()
    with daemon(answering(b"")) as address, pytest.raises(ClamdError):
        clamd.version(address, SECONDS)
