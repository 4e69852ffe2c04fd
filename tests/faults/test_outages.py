"""What clients see while the database or the object store is away (P8), and that all goes on without a restart."""

from __future__ import annotations

import select
import shutil
import socket
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.lmtpclient import LmtpClient
from tests.support.seaweedfs import SeaweedFS

USER = b"ada@example.org"
LATER = b"Temporarily unavailable, try again later."
_numbers = count(1)


@pytest.fixture(scope="module")
def database() -> Iterator[mariadb.Private]:
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    private = mariadb.Private()
    yield private
    private.remove()


@pytest.fixture(scope="module")
def server(database: mariadb.Private, s3_server: SeaweedFS) -> Iterator[MailServer]:
    """A running server without caches, so that each command meets the stores; ada has three messages."""
    directory = Path(tempfile.mkdtemp(prefix="lm-"))
    name = database.server.fresh_database()
    made = MailServer(
        directory,
        {
            "database": mysql_section(database.server.config(name)),
            "storage": {"driver": "s3", "cache_bytes": 0},
            "s3": s3_section(s3_server),
            "limits": {"verified_seconds": 0},
        },
    )
    made.cli("migrate")
    made.cli("domain", "add", "example.org")
    for user in ("ada", "bob"):
        made.account(f"{user}@example.org")
    made.start()
    with LmtpClient(HOST, made.lmtp) as client:
        for _ in range(3):
            assert all(reply.startswith(b"250") for reply in deliver(client))
    yield made
    status, log = made.stop(), made.log()
    shutil.rmtree(directory, ignore_errors=True)
    assert status == 0
    assert "Traceback" not in log, log[-5000:]


def deliver(client: LmtpClient) -> list[bytes]:
    # Large enough that the whole of it is in no cache.
    message = b"Message-ID: <%d@outage>\r\nSubject: hi\r\n\r\n%b\r\n" % (next(_numbers), b"0123456789" * 40_000)
    return client.deliver("sender@example.net", ["ada@example.org", "bob@example.org"], message)


class Dialogue:
    """A connection on which a command gets the line that completes it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=60)
        self._answers = self._socket.makefile("rb")
        self._answers.readline()

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self._socket.close()

    def imap(self, command: bytes) -> bytes:
        """The tagged response without its tag, or a continuation request."""
        self.send(command)
        return self.answer()

    def imap_literal(self, octets: bytes) -> bytes:
        """As `imap`, for the literal that a continuation request asked for."""
        self._socket.sendall(octets + b"\r\n")
        return self.answer()

    def send(self, command: bytes) -> None:
        """Send a command, whose answer is asked for later."""
        self._socket.sendall(b"tag " + command + b"\r\n")

    def lines(self, command: bytes) -> list[bytes]:
        """The untagged responses to a command that succeeds."""
        self.send(command)
        found = []
        while not (line := self._answers.readline().rstrip()).startswith(b"tag "):
            assert line, "the server hung up"
            found.append(line)
        assert line.startswith(b"tag OK"), line
        return found

    def silent(self) -> bool:
        """Whether no answer has come so far."""
        return not select.select([self._socket], [], [], 0)[0]

    def answer(self) -> bytes:
        """The next tagged response without its tag, or a continuation request."""
        while not (line := self._answers.readline()).startswith((b"tag ", b"+")):
            assert line, "the server hung up"
        return line.removeprefix(b"tag ").rstrip()

    def pop3(self, command: bytes) -> bytes:
        """The first line of the answer."""
        self._socket.sendall(command + b"\r\n")
        return self._answers.readline().rstrip()

    def octets(self) -> bytes:
        """The rest of an answer that ends with a dot."""
        lines = iter(self._answers.readline, b".\r\n")
        return b"".join(lines)


def opened(server: MailServer) -> Dialogue:
    client = Dialogue(server.imap)
    assert client.imap(b"LOGIN %b secret" % USER).startswith(b"OK")
    assert client.imap(b"SELECT INBOX").startswith(b"OK")
    return client


def expect_all_well(server: MailServer, imap: Dialogue, pop3: Dialogue, lmtp: LmtpClient) -> None:
    """The sessions that met the outage go on, and new ones begin."""
    assert [reply[:3] for reply in deliver(lmtp)] == [b"250", b"250"]
    for command in (b"NOOP", b"STORE 1 +FLAGS (\\Seen)", b"FETCH 1:3 (ENVELOPE BODY.PEEK[])", b"COPY 1 Sent"):
        assert imap.imap(command).startswith(b"OK"), command
    assert pop3.pop3(b"RETR 1").startswith(b"+OK")
    assert len(pop3.octets()) > 400_000
    opened(server).__exit__()
    assert set(server.checks().values()) == {"ok"}


@pytest.mark.parametrize("crash", [True, False], ids=["crashed", "stopped"])
def test_without_its_database(server, database, crash):
    with opened(server) as imap, Dialogue(server.pop3) as pop3, LmtpClient(HOST, server.lmtp) as lmtp:
        pop3.pop3(b"USER bob@example.org")
        assert pop3.pop3(b"PASS secret").startswith(b"+OK")
        assert [reply[:3] for reply in deliver(lmtp)] == [b"250", b"250"]  # nobody has looked at this one yet
        assert imap.imap(b"NOOP").startswith(b"OK")
        database.stop(crash=crash)
        try:
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER] * 2
            commands = [b"STORE 1 +FLAGS (\\Flagged)", b"FETCH * ENVELOPE", b"FETCH * BODY.PEEK[]", b"COPY 1 Sent"]
            commands += [b"STATUS Sent (MESSAGES)", b'LIST "" *', b"CREATE new", b"EXPUNGE", b"APPEND INBOX {5}"]
            for command in commands:
                assert imap.imap(command) == b"NO [UNAVAILABLE] " + LATER, command
            assert imap.imap(b"NOOP").startswith(b"OK")
            assert pop3.pop3(b"RETR 1") == b"-ERR [SYS/TEMP] " + LATER
            with Dialogue(server.imap) as stranger:
                for password in (b"secret", b"wrong"):
                    assert stranger.imap(b"LOGIN %b %b" % (USER, password)) == b"NO [UNAVAILABLE] " + LATER
            with Dialogue(server.pop3) as stranger:
                stranger.pop3(b"USER " + USER)
                assert stranger.pop3(b"PASS wrong") == b"-ERR [SYS/TEMP] " + LATER
        finally:
            database.start()
        assert imap.imap(b"SELECT INBOX").startswith(b"OK")
        expect_all_well(server, imap, pop3, lmtp)


def test_quit_without_the_database_removes_nothing(server, database):
    with Dialogue(server.pop3) as pop3:
        pop3.pop3(b"USER bob@example.org")
        before = pop3.pop3(b"PASS secret")
        assert pop3.pop3(b"DELE 1").startswith(b"+OK")
        database.stop()
        try:
            assert pop3.pop3(b"QUIT") == b"-ERR [SYS/TEMP] " + LATER
        finally:
            database.start()
    with Dialogue(server.pop3) as pop3:
        pop3.pop3(b"USER bob@example.org")
        # The lease could not be given back: it runs out.
        assert pop3.pop3(b"PASS secret") in (before, b"-ERR [IN-USE] In use by another session.")


def test_without_its_object_store(server, s3_server):
    with opened(server) as imap, Dialogue(server.pop3) as pop3, LmtpClient(HOST, server.lmtp) as lmtp:
        pop3.pop3(b"USER " + USER)
        assert pop3.pop3(b"PASS secret").startswith(b"+OK")
        s3_server.stop()
        try:
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER] * 2
            assert imap.imap(b"FETCH 1:3 BODY.PEEK[]") == b"NO [UNAVAILABLE] " + LATER
            assert imap.imap(b"SEARCH BODY zzz") == b"NO [UNAVAILABLE] " + LATER
            # Lists, flags and copies need no object.
            for command in (b"FETCH 1:3 ENVELOPE", b"STORE 1 +FLAGS (\\Flagged)", b"COPY 1 Sent", b"EXPUNGE"):
                assert imap.imap(command).startswith(b"OK"), command
            assert pop3.pop3(b"RETR 1") == b"-ERR [SYS/TEMP] " + LATER
            assert server.checks()["objects"] == "failed"
        finally:
            s3_server.start()
        expect_all_well(server, imap, pop3, lmtp)
