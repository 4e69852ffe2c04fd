"""What IMAP sessions notice of scans: their own APPENDs are refused, and of what is withheld they hear nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor

from lightmail.config import ClamavConfig, ImapConfig, LmtpConfig
from lightmail.lmtp.factory import LmtpFactory
from lightmail.lmtp.services import LmtpServices
from tests.support import clamd as clamds
from tests.support.clamd import MARKED_NAME, Clamd
from tests.support.imapworld import ImapWorld
from tests.support.infected import CLEAN, INFECTED, MARKED_LETTER
from tests.support.lmtpclient import LmtpClient
from tests.support.mailclients import ImapClient
from tests.support.reactor import call, run
from tests.support.verifying import assert_clean

reactor: Any = installed_reactor

REFUSED = f"NO [CANNOT] A virus was found in the message: {MARKED_NAME}.".encode()


@dataclass
class Site:
    """A server for IMAP that LMTP delivers to, too: sessions are told of deliveries by hints."""

    world: ImapWorld
    lmtp_port: int

    def deliver(self, address: str, message: bytes) -> bytes:
        with LmtpClient("127.0.0.1", self.lmtp_port) as client:
            (reply,) = client.deliver("sender@example.com", [address], message)
        return reply

    def client(self, address: str) -> ImapClient:
        client = ImapClient("127.0.0.1", self.world.port)
        client.expect(f"LOGIN {address} secret".encode())
        return client

    def scan(self, config: ClamavConfig) -> None:
        call(self.world.scanner.configure, config)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until the reactor's thread sees that."""
        until = time.monotonic() + 10
        while not call(done):
            assert time.monotonic() < until
            time.sleep(0.005)

    def objects(self) -> int:
        return len(self.world.store.keys("emails"))

    def rows(self) -> int:
        def read(cursor: Any) -> int:
            cursor.execute("SELECT COUNT(*) FROM messages", ())
            return int(cursor.fetchone()[0])

        return run(self.world.database.read("test", read))


@contextmanager
def opened(directory: Path, clamav: ClamavConfig, **more: Any) -> Iterator[Site]:
    world = ImapWorld(directory, clamav=clamav, with_tls=False, **more).open()
    services = LmtpServices(
        "mx.example.org",
        LmtpConfig(),
        world.limits,
        world.database,
        world.transactions,
        world.services.blobs,
        world.spools,
        world.scanner,
        reactor,
    )
    factory = LmtpFactory(services)
    listener = call(reactor.listenTCP, 0, factory, 50, "127.0.0.1")
    try:
        yield Site(world, listener.getHost().port)
    finally:
        run(stopped(listener))
        run(factory.drain(5))
        world.close()


async def stopped(listener: Any) -> None:
    await listener.stopListening()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, clamd: Clamd) -> Iterator[Site]:
    config = ImapConfig(deleted_tree=True)
    with opened(tmp_path_factory.mktemp("site"), clamd.config(), config=config) as site:
        yield site


@pytest.fixture
def site(whole: Site, clamd: Clamd) -> Iterator[Site]:
    yield whole
    whole.scan(clamd.config())


@pytest.fixture
def ann(site: Site, request: pytest.FixtureRequest) -> str:
    address = re.sub(r"\W", "-", request.node.name)[-40:].strip("-").lower() + "@example.org"
    site.world.add_account(address, "secret")
    return address


# --- APPEND


def test_a_clean_message_is_stored_as_the_client_brought_it(site: Site, ann: str) -> None:
    with site.client(ann) as client:
        assert client.command(b"APPEND INBOX (\\Seen)", CLEAN).startswith(b"OK [APPENDUID ")
        client.expect(b"SELECT INBOX")
        client.expect(b"FETCH 1 BODY.PEEK[]")
        assert CLEAN in client.untagged[0]
        assert b"X-Virus" not in client.untagged[0]


@pytest.mark.parametrize("way", INFECTED)
def test_an_infected_one_is_refused_and_the_session_goes_on(site: Site, ann: str, way: str) -> None:
    message, name = INFECTED[way]
    objects, rows = site.objects(), site.rows()
    with site.client(ann) as client:
        client.expect(b"SELECT INBOX")
        assert client.command(b"APPEND INBOX", message) == REFUSED.replace(MARKED_NAME.encode(), name.encode())
        assert client.untagged == [b"+ OK"] or all(line.startswith(b"+") for line in client.untagged)
        assert (site.objects(), site.rows()) == (objects, rows)
        assert client.command(b"NOOP").startswith(b"OK ")
        assert client.untagged == []
        # Sent unasked, and one behind the other.
        client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))
        client.send(b"b APPEND INBOX {%d+}\r\n%b\r\nc NOOP\r\n" % (len(CLEAN), CLEAN))
        said = [client.line()]
        while not said[-1].startswith(b"c OK"):
            said.append(client.line())
        assert said[0].startswith(b"a NO [CANNOT] A virus was found")
        assert [line for line in said if line.endswith(b" EXISTS\r\n")] == [b"* 1 EXISTS\r\n"]
        assert any(re.fullmatch(rb"b OK \[APPENDUID \d+ 1\] .*\r\n", line) for line in said)


def test_a_virus_behind_a_message_that_was_stored_is_refused_too(site: Site, ann: str) -> None:
    with site.client(ann) as client:
        for number in range(3):
            message = CLEAN + b"%d\r\n" % number
            client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))
            assert client.line().startswith(b"a OK [APPENDUID ")
            client.send(b"b APPEND INBOX {%d+}\r\n%b\r\n" % (len(MARKED_LETTER), MARKED_LETTER))
            assert client.line() == b"b " + REFUSED + b"\r\n"
        assert client.count(b"INBOX") == 3


def test_append_may_be_left_out(site: Site, ann: str, clamd: Clamd) -> None:
    site.scan(clamd.config(append=False))
    with site.client(ann) as client:
        assert client.command(b"APPEND INBOX", MARKED_LETTER).startswith(b"OK [APPENDUID ")
    assert site.deliver(ann, MARKED_LETTER).endswith(b"withheld for a virus"), "deliveries are not"


def test_without_a_scanner_a_client_has_to_come_again_or_not(
    site: Site, ann: str, clamd: Clamd, tmp_path: Path
) -> None:
    nobody = str(tmp_path / "none")
    with site.client(ann) as client:
        site.scan(clamd.config(address=nobody))
        objects = site.objects()
        assert client.command(b"APPEND INBOX", CLEAN).startswith(b"NO [UNAVAILABLE] ")
        assert site.objects() == objects
        site.scan(clamd.config(address=nobody, unavailable="deliver"))
        assert client.command(b"APPEND INBOX", CLEAN).startswith(b"OK [APPENDUID ")
        site.scan(clamd.config(max_octets=10))
        assert client.command(b"APPEND INBOX", MARKED_LETTER).startswith(b"OK [APPENDUID ")
        client.expect(b"SELECT INBOX")
        client.expect(b"FETCH 2 BODY.PEEK[]")
        assert MARKED_LETTER in client.untagged[0]


def test_whatever_is_done_with_deliveries_an_append_is_refused(site: Site, ann: str, clamd: Clamd) -> None:
    with site.client(ann) as client:
        for infected in ("withhold", "junk", "reject"):
            site.scan(clamd.config(infected=infected))
            assert client.command(b"APPEND INBOX", MARKED_LETTER) == REFUSED
        assert client.count(b"INBOX") == client.count(b"Junk") == 0


def test_a_refused_append_is_an_event(site: Site, ann: str) -> None:
    events = site.world.transactions.events
    call(events.want, ("virus.found",))
    try:
        with site.client(ann) as client:
            assert client.command(b"APPEND INBOX", MARKED_LETTER) == REFUSED
    finally:
        call(events.want, ())

    def read(cursor: Any) -> list[Any]:
        cursor.execute("SELECT payload FROM webhook_queue WHERE account = %s", (site.world.account(ann).id,))
        return [row[0] for row in cursor.fetchall()]

    (payload,) = run(site.world.database.read("test", read))
    assert b'"protocol":"imap"' in payload
    assert b'"action":"reject"' in payload
    assert f'"recipient":"{ann}"'.encode() in payload


def test_a_client_that_is_gone_while_its_message_waits_leaves_nothing_behind(site: Site, ann: str) -> None:
    with clamds.running() as daemon:
        site.scan(daemon.config(timeout_ms=300))
        with daemon.halted():
            for _ in range(3):
                with site.client(ann) as client:
                    client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(CLEAN), CLEAN))
                    site.wait(lambda: site.world.scanner._pool._pending > 0)
            site.wait(lambda: site.world.scanner._pool._pending == 0 and site.world.spools._taken == 0)
        with site.client(ann) as client:
            assert client.count(b"INBOX") == 0
            assert client.command(b"APPEND INBOX", CLEAN).startswith(b"OK [APPENDUID ")


def test_where_it_is_off_nothing_is_handed_over(tmp_path: Path) -> None:
    with opened(tmp_path, ClamavConfig()) as site:
        site.world.add_account("ann@example.org", "secret")
        handed: list[object] = []
        site.world.scanner._pool.run = lambda *args: handed.append(args)  # type: ignore[assignment,method-assign]
        with site.client("ann@example.org") as client:
            assert client.command(b"APPEND INBOX", MARKED_LETTER).startswith(b"OK [APPENDUID ")
        assert handed == []
        assert site.world.scanner._pool._started == 0


# --- sessions that look on


def told(client: ImapClient) -> list[bytes]:
    """What a NOOP tells."""
    client.expect(b"NOOP")
    return client.untagged


def test_an_open_mailbox_gets_no_response_for_what_is_withheld(site: Site, ann: str) -> None:
    assert site.deliver(ann, CLEAN).startswith(b"250 ")
    with site.client(ann) as client:
        client.expect(b"SELECT INBOX")
        for message in (MARKED_LETTER, INFECTED["zip"][0]):
            assert site.deliver(ann, message).endswith(b"withheld for a virus")
        assert told(client) == []
        assert site.deliver(ann, INFECTED["text"][0] + b"again\r\n").endswith(b"withheld for a virus")
        assert site.deliver(ann, CLEAN + b"again\r\n").startswith(b"250 ")
        assert told(client) == [b"* 2 EXISTS", b"* 2 RECENT"]
        client.expect(b"FETCH 1:* (UID)")
        assert client.untagged == [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 5)"]
        client.expect(b"UID FETCH 2:* (UID)")
        assert client.untagged == [b"* 2 FETCH (UID 5)"]
        client.expect(b"UID STORE 1:5 +FLAGS.SILENT (\\Deleted)")
        client.expect(b"EXPUNGE")
        assert client.untagged == [b"* 2 EXPUNGE", b"* 1 EXPUNGE", b"* 0 RECENT"]


def test_idle_is_told_of_what_comes_and_of_nothing_else(site: Site, ann: str) -> None:
    with site.client(ann) as client:
        client.expect(b"SELECT INBOX")
        client.send(b"i IDLE\r\n")
        assert client.line().startswith(b"+ ")
        assert site.deliver(ann, MARKED_LETTER).endswith(b"withheld for a virus")
        assert site.deliver(ann, CLEAN).startswith(b"250 ")
        said = [client.line()]
        client.send(b"DONE\r\n")
        while not said[-1].startswith(b"i OK"):
            said.append(client.line())
        assert said[:-1] == [b"* 1 EXISTS\r\n", b"* 1 RECENT\r\n"]


def test_it_is_not_among_deleted_mail_nor_in_any_number(site: Site, ann: str) -> None:
    assert site.deliver(ann, MARKED_LETTER).endswith(b"withheld for a virus")
    with site.client(ann) as client:
        client.expect(b"STATUS INBOX (MESSAGES UNSEEN RECENT UIDNEXT)")
        (status,) = client.untagged
        for word in (b"MESSAGES 0", b"UNSEEN 0", b"RECENT 0", b"UIDNEXT 2"):
            assert word in status
        client.expect(b'LIST "" "*"')
        assert not [line for line in client.untagged if b"Deleted/" in line]
        assert client.command(b"SELECT Deleted/INBOX").startswith(b"NO ") or b"* 0 EXISTS" in client.untagged


def test_nothing_is_wrong_with_the_store(site: Site) -> None:
    assert_clean(site.world.transactions, site.world.store)
