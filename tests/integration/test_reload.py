"""SIGHUP at a real server: what may change does, what may not is named, a bad file changes nothing; sessions stay."""

from __future__ import annotations

import http.client
import imaplib
import os
import poplib
import re
import signal
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lightmail.app.certificate import make_self_signed
from lightmail.config import TlsConfig
from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer
from tests.support.seaweedfs import free_ports

TOKEN = "a token of the configuration"


class Manager:
    """A service manager that hears what a server of Type=notify says."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(30)

    def heard(self, word: str) -> str:
        """The next message that has the word, whatever came before it."""
        while word not in (text := self._socket.recv(4096).decode()):
            pass
        return text

    def quiet(self) -> None:
        """Forget what was said and not heard yet."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            while self._socket.recv(4096):
                pass
        self._socket.settimeout(30)

    def close(self) -> None:
        self._socket.close()


class Server(MailServer):
    """One that tells a manager, and reloads when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.log_file = directory / "lightmail.log"
        super().__init__(
            directory,
            {
                "api": {"token": TOKEN},
                "logging": {"path": self.log_file},
                "tls": {"directory": directory / "live"},
            },
        )
        (directory / "live").mkdir()
        self.manager = Manager(directory)

    def reload(self, word: str = "STATUS=reloaded") -> list[str]:
        """Send SIGHUP; the lines that the server said of it."""
        before = len(self.said())
        self.hang_up(word)
        return self.said()[before:]

    def hang_up(self, word: str) -> None:
        """Send SIGHUP, and wait for what the manager is told at the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in self.manager.heard("RELOADING=1")
        assert word in self.manager.heard("READY=1")

    def said(self) -> list[str]:
        return re.findall(r" app\.reloading (.*)", self.log_file.read_text())

    def change(self, section: str, **keys: object) -> None:
        self.sections[section] = {**self.sections.get(section, {}), **keys}
        self.write_config()

    def status(self, token: str) -> int:
        """What the API answers to who has that token."""
        connection = http.client.HTTPConnection(HOST, self.http, timeout=10)
        try:
            connection.request("GET", "/admin/sessions", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("reload"))
    server.populate("ada@example.org")
    server.launch(NOTIFY_SOCKET=server.manager.path)
    server.wait_until_ready()
    server.manager.heard("READY=1")
    yield server
    server.kill()
    server.manager.close()
    assert "Traceback" not in server.log() + server.log_file.read_text()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The server, with its first configuration before and after."""
    sections = {name: dict(keys) for name, keys in running.sections.items()}
    yield running
    running.sections = sections
    running.write_config()
    running.reload()


def context() -> ssl.SSLContext:
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def names(connection: Any) -> set[str]:
    """The DNS names in the certificate of a TLS connection."""
    certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName)) - {"localhost"}


def shown(port: int, name: str | None = None) -> set[str]:
    """What a port with TLS from the first octet shows."""
    link = socket.create_connection((HOST, port), timeout=10)
    with context().wrap_socket(link, server_hostname=name) as tls:
        return names(tls)


def log_in(server: Server) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL(HOST, server.imaps, ssl_context=context())
    client.login("ada@example.org", "secret")
    client.select()
    return client


def test_what_may_change_does_and_sessions_stay(server: Server, tmp_path: Path) -> None:
    client, plain = log_in(server), imaplib.IMAP4(HOST, server.imap)
    other = TlsConfig(str(tmp_path / "new" / "cert.pem"), str(tmp_path / "new" / "key.pem"))
    make_self_signed(other, "new.example.org")
    live = server.directory / "live" / "imap.example.com"
    make_self_signed(TlsConfig(str(live / "fullchain.pem"), str(live / "privkey.pem")), "imap.example.com")
    server.change("tls", cert=other.cert, key=other.key)
    server.change("limits", append_octets="1000")
    server.change("imap", max_failed_attempts=1)
    server.change("lmtp", max_message_size="1000")
    server.change("api", token="another")
    assert server.status(TOKEN) == 200
    said = server.reload()
    assert "[limits] append_octets = 1000 from now on; it was 52428800" in said
    assert "[imap] max_failed_attempts = 1 from now on; it was 5" in said
    assert "[api] token = (hidden) from now on; it was (hidden)" in said
    assert said[-1] == "reloaded"
    assert not any("restart" in line for line in said)
    assert (server.status(TOKEN), server.status("another")) == (401, 200)
    for port in (server.imaps, server.pop3s):
        assert shown(port) == {"new.example.org"}
        assert shown(port, "imap.example.com") == {"imap.example.com"}
    plain.starttls(context())
    assert names(plain.sock) == {"new.example.org"}
    stls = poplib.POP3(HOST, server.pop3)
    stls.stls(context())
    assert names(stls.sock) == {"new.example.org"}
    stls.quit()
    large = message(0) + b"x" * 2000
    assert client.append("INBOX", "", "", large)[0] == "OK", "it began before"
    late = log_in(server)
    assert late.append("INBOX", "", "", large)[0] == "NO"
    late.logout()
    with smtplib.LMTP(HOST, server.lmtp) as lmtp:
        lmtp.ehlo()
        assert lmtp.esmtp_features["size"] == "1000"
    for session in (client, plain):
        assert session.noop()[0] == "OK"
        session.logout()


def test_a_bad_file_changes_nothing(server: Server, tmp_path: Path) -> None:
    client, before = log_in(server), server.config.read_text()
    for bad, complaint in (
        ("[imap]\nprot = 1\n", "[imap] prot is an unknown key"),
        (before.replace(server.tls.cert, server.tls.key), "holds no PEM certificate"),
        (before.replace(str(server.log_file), "/nowhere/log"), "[logging] path: /nowhere/log: No such file"),
    ):
        server.config.write_text(bad.replace("[lmtp]", "[limits]\nappend_octets = 10\n[lmtp]"))
        said = server.reload("STATUS=not reloaded: ")
        assert len(said) == 1
        assert said[0].startswith("nothing is reloaded, and nothing has changed: ")
        assert complaint in said[0]
    os.unlink(server.config)
    assert "No such file" in server.reload("STATUS=not reloaded: ")[0]
    server.config.write_text(before)
    assert server.reload() == ["reloaded"]
    assert shown(server.imaps) == {"mail.example.org"}
    assert client.append("INBOX", "", "", message(0))[0] == "OK"
    client.logout()


def test_what_takes_a_restart_is_named_each_time_and_the_rest_is_taken_on(server: Server) -> None:
    (port,) = free_ports(1)
    server.change("imap", port=port, max_failed_attempts=2)
    server.change("limits", index_octets="1M")
    server.change("garbage", batch_size=7)
    del server.sections["pop3"]
    server.write_config()
    first = server.reload()
    assert "[imap] max_failed_attempts = 2 from now on; it was 5" in first
    restart = {
        f"[imap] port = {port} takes a restart; {server.imap} stays in force",
        "[limits] index_octets = 1048576 takes a restart; 268435456 stays in force",
        "[garbage] is new, which takes a restart",
        "[pop3] is gone, which takes a restart",
    }
    assert restart < set(first)
    assert restart == set(server.reload()) - {"reloaded"}
    assert shown(server.pop3s) == {"mail.example.org"}
    assert imaplib.IMAP4(HOST, server.imap).logout()[0] == "BYE"


def test_the_log_is_opened_anew_and_moves(server: Server, tmp_path: Path) -> None:
    rotated = tmp_path / "lightmail.log.1"
    server.log_file.rename(rotated)
    server.hang_up("STATUS=reloaded")
    assert "reloaded" in server.log_file.read_text()
    elsewhere = tmp_path / "elsewhere.log"
    server.change("logging", path=elsewhere, json="true", level="debug")
    server.hang_up("STATUS=reloaded")
    log_in(server).logout()
    assert '"level": "info"' in elsewhere.read_text()
    assert "login ok" not in server.log_file.read_text()
    elsewhere.rename(tmp_path / "elsewhere.log.1")
    server.config.write_text("nonsense")
    server.hang_up("STATUS=not reloaded")
    assert "nothing is reloaded" in elsewhere.read_text(), "logrotate does not depend on the configuration"


def test_signals_side_by_side_are_one_reload_and_another(server: Server) -> None:
    assert server.process is not None
    for _ in range(20):
        server.process.send_signal(signal.SIGHUP)
    server.manager.heard("STATUS=reloaded")
    server.change("imap", max_failed_attempts=3)
    said: list[str] = []
    while not any("max_failed_attempts = 3" in line for line in said):
        said = server.reload()
    server.manager.quiet()
