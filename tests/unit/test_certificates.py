"""Which certificate a client sees: the one of the host it names, the renewed one once both its files are there."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from lightmail.app.certificate import dns_names, make_self_signed
from lightmail.app.certificates import LOOK_SECONDS, Certificates, renewals
from lightmail.config import TlsConfig
from lightmail.errors import StartupError
from lightmail.metrics import REGISTRY

FIRST = "mail.example.org"


class Client:
    """The client's half of TLS, in memory."""

    def __init__(self, name: str | None, offered: Sequence[str] = ()) -> None:
        context = ssl.create_default_context()
        if offered:
            context.set_alpn_protocols(list(offered))
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._context = context
        self.handshake(name)

    def handshake(self, name: str | None, session: ssl.SSLSession | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)

    def meet(self, server: SSL.Connection) -> str:
        """Shake hands with the server, and hear a word; the host that its certificate is for."""
        server.set_accept_state()
        _through(server, self, self.tls.do_handshake, server.do_handshake)
        server.send(b"hello")
        assert _through(server, self, lambda: self.tls.read(5)) == b"hello"
        return self.host()

    def host(self) -> str:
        octets = self.tls.getpeercert(binary_form=True)
        assert octets is not None
        (name,) = dns_names(x509.load_der_x509_certificate(octets)) - {"localhost"}
        return name

    def exchange(self, server: SSL.Connection) -> None:
        if octets := self._outgoing.read():
            server.bio_write(octets)
        with suppress(SSL.WantReadError):
            self._incoming.write(server.bio_read(1 << 16))


def _through(server: SSL.Connection, client: Client, *calls: Callable[[], Any]) -> Any:
    """The result of the first call, once none of them waits for the other side any more."""
    waiting, results = list(calls), {}
    for _ in range(20):
        for call in list(waiting):
            try:
                results[call] = call()
                waiting.remove(call)
            except (ssl.SSLWantReadError, SSL.WantReadError):
                pass
        client.exchange(server)
        if not waiting:
            return results[calls[0]]
    raise AssertionError("the handshake does not end")


class Place:
    """Files of certificates, and the lines that are logged about them."""

    def __init__(self, directory: Path) -> None:
        self.tls = TlsConfig(str(directory / "cert.pem"), str(directory / "key.pem"), str(directory / "live"))
        self.live = directory / "live"
        self.live.mkdir()
        (self.live / "README").write_text("not a certificate")
        make_self_signed(self.tls, FIRST)
        self.lines: list[str] = []

    def add(self, host: str, name: str | None = None) -> TlsConfig:
        """Put a certificate for a host into the directory, or a new one in the place of what it has."""
        directory = self.live / (name or host)
        shutil.rmtree(directory, ignore_errors=True)
        files = TlsConfig(str(directory / "fullchain.pem"), str(directory / "privkey.pem"))
        make_self_signed(files, host)
        return files

    def renew(self, host: str = FIRST) -> None:
        os.unlink(self.tls.cert)
        os.unlink(self.tls.key)
        make_self_signed(self.tls, host)

    def open(self) -> Certificates:
        certificates = Certificates(self.tls)
        certificates.load()
        return certificates

    def hear(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "lightmail.app.certificates":
            self.lines.append(str(event.get("trouble") or event.get("file")))


@pytest.fixture
def place(tmp_path: Path) -> Any:
    found = Place(tmp_path)
    globalLogPublisher.addObserver(found.hear)
    yield found
    globalLogPublisher.removeObserver(found.hear)


def look(certificates: Certificates) -> None:
    async def at_once(fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    failed: list[Any] = []
    Deferred.fromCoroutine(certificates.look(at_once)).addErrback(failed.append)
    assert not failed, failed[0]


def seen(certificates: Certificates, name: str | None) -> str:
    return Client(name).meet(certificates.serverConnectionForTLS(None))


def serial(certificates: Certificates, name: str | None = None) -> int:
    client = Client(name)
    client.meet(certificates.serverConnectionForTLS(None))
    octets = client.tls.getpeercert(binary_form=True)
    assert octets is not None
    return x509.load_der_x509_certificate(octets).serial_number


def test_each_host_has_its_certificate_and_strangers_get_the_first(place: Place) -> None:
    place.add("imap.example.com")
    place.add("*.example.net", "wild")
    place.add("one.example.net")
    certificates = place.open()
    for name, host in {
        None: FIRST,
        FIRST: FIRST,
        "imap.example.com": "imap.example.com",
        "IMAP.Example.COM": "imap.example.com",
        "any.example.net": "*.example.net",
        "one.example.net": "one.example.net",
        "deep.any.example.net": FIRST,
        "example.net": FIRST,
        "unknown.example": FIRST,
        "localhost": FIRST,
    }.items():
        assert seen(certificates, name) == host, name


@pytest.mark.parametrize("offered", [["imap"], ["pop3"], ["h2", "http/1.1"]])
def test_an_offer_of_protocols_does_no_harm(place: Place, offered: list[str]) -> None:
    place.add("imap.example.com")
    certificates = place.open()
    for name in (None, "imap.example.com"):
        client = Client(name, offered)
        client.meet(certificates.serverConnectionForTLS(None))
        assert client.tls.selected_alpn_protocol() is None


def test_the_one_that_is_configured_wins_for_its_own_names(place: Place) -> None:
    place.add(FIRST)
    certificates = place.open()
    assert serial(certificates, FIRST) == serial(certificates)


def test_a_renewed_certificate_is_shown_to_who_comes_next(place: Place) -> None:
    place.add("imap.example.com")
    certificates = place.open()
    before, open_already = serial(certificates), certificates.serverConnectionForTLS(None)
    other = serial(certificates, "imap.example.com")
    look(certificates)
    assert serial(certificates) == before
    assert place.lines == []
    place.renew()
    look(certificates)
    assert serial(certificates) != before
    assert serial(certificates, "imap.example.com") == other
    assert place.lines == [place.tls.cert]
    client = Client(None)
    client.meet(open_already)  # a handshake that had begun keeps what it began with
    place.add("imap.example.com")
    look(certificates)
    assert serial(certificates, "imap.example.com") != other


def test_a_session_of_before_the_renewal_is_no_obstacle(place: Place) -> None:
    place.add("imap.example.com")
    certificates = place.open()
    for name in (FIRST, "imap.example.com"):
        client = Client(name)
        client.meet(certificates.serverConnectionForTLS(None))
        place.renew()
        place.add("imap.example.com")
        look(certificates)
        client.handshake(name, client.tls.session)
        assert client.meet(certificates.serverConnectionForTLS(None)) == name


def test_half_a_renewal_changes_nothing_and_is_told_once(place: Place, tmp_path: Path) -> None:
    other = TlsConfig(str(tmp_path / "new-cert.pem"), str(tmp_path / "new-key.pem"))
    make_self_signed(other, FIRST)
    certificates = place.open()
    before = serial(certificates)
    shutil.copy(other.cert, place.tls.cert)
    look(certificates)
    look(certificates)
    assert serial(certificates) == before
    assert place.lines == [f"[tls] key: {place.tls.key} does not belong to the certificate in {place.tls.cert}"]
    shutil.copy(other.key, place.tls.key)
    look(certificates)
    assert serial(certificates) != before
    assert place.lines[1:] == [place.tls.cert]


def test_files_out_of_reach_leave_what_is_shown(place: Place) -> None:
    """As when a server that began as root has become somebody who may not read them."""
    certificates = place.open()
    before = serial(certificates)
    os.unlink(place.tls.key)
    look(certificates)
    certificates.prepare(place.tls)()
    look(certificates)
    assert serial(certificates) == before
    assert place.lines == [f"[tls] key: {place.tls.key}: No such file or directory"]


def test_one_bad_certificate_of_a_directory_does_not_hold_up_the_others(place: Place) -> None:
    bad = place.add("bad.example.com")
    Path(bad.key).write_text("nonsense")
    place.add("good.example.com")
    certificates = place.open()
    assert seen(certificates, "good.example.com") == "good.example.com"
    assert seen(certificates, "bad.example.com") == FIRST
    assert place.lines == [f"[tls] key: {bad.key} holds no PEM private key, or one that needs a passphrase"]


def test_a_directorys_certificates_come_and_go(place: Place) -> None:
    certificates = place.open()
    assert seen(certificates, "new.example.com") == FIRST
    place.add("new.example.com")
    look(certificates)
    assert seen(certificates, "new.example.com") == "new.example.com"
    shutil.rmtree(place.live / "new.example.com")
    look(certificates)
    assert seen(certificates, "new.example.com") == FIRST
    shutil.rmtree(place.live)
    look(certificates)
    assert place.lines[-1] == f"[tls] directory: {place.live}: No such file or directory"
    assert seen(certificates, FIRST) == FIRST


def test_other_files_are_taken_on_whole_or_not_at_all(place: Place) -> None:
    files = place.add("imap.example.com")
    certificates = place.open()
    assert seen(certificates, "imap.example.com") == "imap.example.com"
    with pytest.raises(StartupError, match="No such file"):
        certificates.prepare(replace(place.tls, cert="/none"))
    with pytest.raises(StartupError, match="cannot be read"):
        certificates.prepare(replace(files, directory="/none"))
    assert seen(certificates, None) == FIRST
    take = certificates.prepare(files)
    assert seen(certificates, None) == FIRST
    take()
    assert seen(certificates, None) == "imap.example.com"
    assert seen(certificates, FIRST) == "imap.example.com"


def test_when_the_first_of_them_expires_is_a_metric(place: Place) -> None:
    certificates = place.open()
    expiry = REGISTRY.get_sample_value("lightmail_certificate_expiry_seconds")
    assert expiry == certificates.served.first.ends.timestamp()


def test_the_server_looks_once_a_minute(place: Place) -> None:
    async def at_once(fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    clock: Any = Clock()
    certificates = place.open()
    before = serial(certificates)
    service = renewals(certificates, at_once, reactor=clock)
    service.startService()
    place.renew()
    clock.advance(LOOK_SECONDS - 1)
    assert serial(certificates) == before
    clock.advance(1)
    assert serial(certificates) != before
    service.stopService()
    assert clock.getDelayedCalls() == []
