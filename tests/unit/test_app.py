"""The frame of a server process: parts in order, sockets, certificates, systemd's notifications."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lightmail.app import systemd
from lightmail.app.certificate import make_self_signed, read_pair
from lightmail.app.lifecycle import OrderedService, Part, Parts
from lightmail.app.sockets import bind_tcp, bind_unix
from lightmail.config import TlsConfig
from lightmail.errors import StartupError


class Reactor(Clock):
    """A clock that can be stopped, as a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Noted:
    """Parts that note what is done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def part(self, name: str, *, fails: Exception | None = None, waits: Deferred[None] | None = None) -> Part:
        async def start() -> None:
            self.done.append(f"start {name}")
            if fails is not None:
                raise fails

        async def stop() -> None:
            if waits is not None:
                await waits
            self.done.append(f"stop {name}")

        return Part(name, start, stop, stop_seconds=10)


def service(parts: list[Part], reactor: Reactor, **options: Any) -> OrderedService:
    async def assemble(stack: Parts) -> None:
        for part in parts:
            await stack.start(part)

    return OrderedService(assemble, reactor, **options)


def test_parts_stop_in_the_opposite_order_each_awaited():
    reactor, parts, hold = Reactor(), Noted(), Deferred()
    server = service([parts.part("a"), parts.part("b", waits=hold), parts.part("c")], reactor)
    server.privilegedStartService()
    server.startService()
    assert parts.done == ["start a", "start b", "start c"]
    stopped = server.stopService()
    assert parts.done[3:] == ["stop c"]
    hold.callback(None)
    assert parts.done[3:] == ["stop c", "stop b", "stop a"]
    assert stopped.called


def test_a_part_that_does_not_stop_is_left_behind():
    reactor, parts = Reactor(), Noted()
    server = service([parts.part("a"), parts.part("b", waits=Deferred())], reactor)
    server.startService()
    stopped = server.stopService()
    reactor.advance(10)
    assert parts.done[2:] == ["stop a"]
    assert stopped.called


def test_a_part_that_cannot_start_ends_the_process():
    reactor, parts, statuses = Reactor(), Noted(), list[int]()
    chain = [parts.part("a"), parts.part("b", fails=StartupError("no b")), parts.part("c")]
    server = service(chain, reactor, exit_with=statuses.append)
    server.startService()
    assert parts.done == ["start a", "start b"]
    assert statuses == [1]
    reactor.advance(0)
    assert reactor.stopped
    server.stopService()
    assert parts.done[2:] == ["stop b", "stop a"]


def test_a_port_that_cannot_be_bound_ends_the_process():
    def fail() -> None:
        raise StartupError("port in use")

    reactor, parts, statuses = Reactor(), Noted(), list[int]()
    server = service([parts.part("a")], reactor, privileged=fail, exit_with=statuses.append)
    server.privilegedStartService()
    server.startService()
    assert parts.done == []
    assert statuses == [1]


def test_stopping_while_starting():
    reactor, parts, held = Reactor(), Noted(), Deferred()

    async def wait() -> None:
        await held

    server = service([parts.part("a"), Part("b", start=wait), parts.part("c")], reactor)
    server.startService()
    stopped = server.stopService()
    assert stopped.called
    assert parts.done == ["start a", "stop a"]


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path, abstract):
    name = f"lightmail-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(5)
        systemd.notify(systemd.READY, {"NOTIFY_SOCKET": ("@" if abstract else "") + name})
        assert manager.recv(100) == b"READY=1"


def test_systemd_that_is_not_there():
    systemd.notify(systemd.READY, {})
    systemd.notify(systemd.READY, {"NOTIFY_SOCKET": "/nowhere/at/all"})


@pytest.fixture
def tls(tmp_path: Path) -> TlsConfig:
    return TlsConfig(str(tmp_path / "tls" / "cert.pem"), str(tmp_path / "tls" / "key.pem"))


def test_a_certificate_is_made_once(tls):
    assert make_self_signed(tls, "mail.example.org")
    made = Path(tls.cert).read_bytes()
    assert stat.S_IMODE(os.stat(tls.key).st_mode) == 0o600
    assert not make_self_signed(tls, "mail.example.org")
    assert Path(tls.cert).read_bytes() == made
    assert read_pair(tls.cert, tls.key).names == {"mail.example.org", "localhost"}


def test_tls_before_1_2_is_refused(tls):
    make_self_signed(tls, "mail.example.org")
    for version in (SSL.OP_NO_SSLv3, SSL.OP_NO_TLSv1, SSL.OP_NO_TLSv1_1):
        assert read_pair(tls.cert, tls.key).context.set_options(0) & version, version


def test_bad_certificates_are_one_line(tls, tmp_path):
    other = TlsConfig(str(tmp_path / "other.pem"), str(tmp_path / "other-key.pem"))
    make_self_signed(tls, "a")
    make_self_signed(other, "b")
    with pytest.raises(StartupError, match=r"^\[tls\] key: .* does not belong to the certificate"):
        read_pair(tls.cert, other.key)
    with pytest.raises(StartupError, match=r"^\[tls\] cert: .* holds no PEM certificate$"):
        read_pair(tls.key, tls.key)
    with pytest.raises(StartupError, match=r"^\[tls\] key: .* holds no PEM private key"):
        read_pair(tls.cert, tls.cert)
    with pytest.raises(StartupError, match=r"^\[tls\] cert: /none: No such file"):
        read_pair("/none", tls.key)


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^\[imap\] port = {port}: port {port} on 127.0.0.1 is in use; "):
            bind_tcp("[imap] port", "127.0.0.1", port)


def test_an_address_of_another_host():
    with pytest.raises(StartupError, match=r"192.0.2.1 is not an address of this host"):
        bind_tcp("[imap] port", "192.0.2.1", 1143)


def test_a_unix_socket_replaces_a_leftover_and_nothing_else(tmp_path):
    path = str(tmp_path / "lmtp.sock")
    with bind_unix("[lmtp] socket", path, 0o640, None):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    with bind_unix("[lmtp] socket", path, 0o660, None) as second:  # the first left its file behind
        second.listen()
        with pytest.raises(StartupError, match="another server listens there"):
            bind_unix("[lmtp] socket", path, 0o660, None)
    plain = tmp_path / "plain"
    plain.write_text("precious")
    with pytest.raises(StartupError, match="a file that is no socket stands there"):
        bind_unix("[lmtp] socket", str(plain), 0o660, None)
    assert plain.read_text() == "precious"
    with pytest.raises(StartupError, match=r"^\[lmtp\] socket = .*: No such file or directory; check"):
        bind_unix("[lmtp] socket", str(tmp_path / "none" / "s"), 0o660, None)
