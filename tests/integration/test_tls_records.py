"""On a port with TLS from the first octet, and behind STARTTLS, nothing but TLS records leaves the server."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.integration.servers import HOST, MailServer

_RECORDS = range(20, 24)


class Tapped:
    """A TLS client that looks at every octet it receives."""

    def __init__(self, link: socket.socket) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._link = link
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._unread = b""
        self._step(self._tls.do_handshake)

    def _step(self, call):  # type: ignore[no-untyped-def]
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._link.sendall(self._outgoing.read())
                octets = self._link.recv(65_536)
                assert octets, "the server closed the connection"
                self._check(octets)
                self._incoming.write(octets)
                continue
            self._link.sendall(self._outgoing.read())
            return result

    def _check(self, octets: bytes) -> None:
        self._unread += octets
        while len(self._unread) >= 5:
            assert self._unread[0] in _RECORDS, f"in the clear: {self._unread[:80]!r}"
            record = 5 + int.from_bytes(self._unread[3:5], "big")
            if len(self._unread) < record:
                return
            self._unread = self._unread[record:]

    def say(self, line: bytes) -> None:
        self._step(lambda: self._tls.write(line + b"\r\n"))

    def read_until(self, end: bytes) -> bytes:
        heard = b""
        while end not in heard:
            heard += self._step(lambda: self._tls.read(65_536))
        return heard


@pytest.mark.parametrize("port", ["imaps", "pop3s"])
def test_a_port_with_tls(production: MailServer, port: str) -> None:
    with socket.create_connection((HOST, getattr(production, port)), timeout=30) as link:
        client = Tapped(link)
        client.read_until(b"LightMail")
        client.say(b"a CAPABILITY" if port == "imaps" else b"CAPA")
        client.read_until(b"a OK" if port == "imaps" else b"\r\n.\r\n")
        client.say(b"b LOGOUT" if port == "imaps" else b"QUIT")
        client.read_until(b"b OK" if port == "imaps" else b"+OK")


@pytest.mark.parametrize("port", ["imap", "pop3"])
def test_behind_starttls(production: MailServer, port: str) -> None:
    with socket.create_connection((HOST, getattr(production, port)), timeout=30) as link:
        assert b"LightMail" in link.recv(4096)
        link.sendall(b"s STARTTLS\r\n" if port == "imap" else b"STLS\r\n")
        assert b"OK" in link.recv(4096)
        client = Tapped(link)
        client.say(b"a CAPABILITY" if port == "imap" else b"CAPA")
        client.read_until(b"a OK" if port == "imap" else b"\r\n.\r\n")
