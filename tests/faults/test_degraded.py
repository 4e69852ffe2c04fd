r"""What still works while a part is away, on real servers, and that it all comes back without a restart.

docs/degraded.md has the table; tests/faults/test_outages.py what every command answers.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.faults.test_outages import LATER, USER, Dialogue
from tests.integration.servers import HOST, MailServer
from tests.support import mariadb
from tests.support.faultproxy import UP, Effect, Fault, FaultProxy
from tests.support.lmtpclient import LmtpClient
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import EMBEDDED, MARIADB_S3, Stack, open_stack

_numbers = count(1)
LARGE = b"0123456789" * 300_000


@pytest.fixture(scope="module")
def stack(s3_server: SeaweedFS) -> Iterator[Stack]:
    """A server as it is configured by default, its caches on, behind proxies; ada has three messages, bob one."""
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    with open_stack(MARIADB_S3, s3_server, proxied=True) as stack:
        server = stack.server
        server.start()
        with LmtpClient(HOST, server.lmtp) as client:
            for user in ("ada", "ada", "ada", "bob"):
                assert deliver(client, user)[0].startswith(b"250")
        yield stack
        ended(server)


@pytest.fixture(scope="module")
def server(stack: Stack) -> MailServer:
    return stack.server


@pytest.fixture(scope="module")
def objects(stack: Stack) -> FaultProxy:
    return stack.proxies["objects"]


@pytest.fixture(scope="module")
def database(stack: Stack) -> FaultProxy:
    return stack.proxies["database"]


def ended(server: MailServer) -> None:
    """Stop the server: in order, and without a bug in its log."""
    if server.process is not None:
        assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def deliver(client: LmtpClient, user: str = "ada", body: bytes = b"hello") -> list[bytes]:
    message = b"Message-ID: <%d@degraded>\r\nSubject: hi\r\n\r\n%b\r\n" % (next(_numbers), body)
    return client.deliver("sender@example.net", [f"{user}@example.org"], message)


def opened(server: MailServer, user: str = "ada") -> Dialogue:
    client = Dialogue(server.imap)
    assert client.imap(b"LOGIN %b@example.org secret" % user.encode()).startswith(b"OK")
    assert client.imap(b"SELECT INBOX").startswith(b"OK")
    return client


def append(client: Dialogue, body: bytes) -> bytes:
    """The tagged answer to an APPEND of a message."""
    answer = client.imap(b"APPEND INBOX {%d}" % len(body))
    return client.imap_literal(body) if answer.startswith(b"+") else answer


@contextmanager
def without(part: FaultProxy) -> Iterator[None]:
    part.refuse()
    try:
        yield
    finally:
        part.heal()


def eventually(wanted: object, ask: object, seconds: float = 60) -> None:
    """Ask again and again, for what recovers by itself."""
    deadline = time.monotonic() + seconds
    while (found := ask()) != wanted:  # type: ignore[operator]
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


METADATA = [
    b'LIST "" *',
    b"STATUS INBOX (MESSAGES UNSEEN)",
    b"SELECT INBOX",
    b"FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])",
    b"SEARCH FROM nobody SUBJECT hi",
    b"STORE 1 +FLAGS (\\Flagged)",
    b"COPY 1 Sent",
    b"CREATE box%d",
]


def test_lists_flags_and_cached_bodies_need_no_object_store(server, objects):
    with opened(server) as before, LmtpClient(HOST, server.lmtp) as lmtp:
        assert before.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK")
        with without(objects):
            assert before.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK"), "it is in the cache"
            with opened(server) as during:
                for command in METADATA:
                    command = command.replace(b"%d", b"%d" % next(_numbers))
                    assert during.imap(command).startswith(b"OK"), command
                assert during.imap(b"FETCH 2 BODY.PEEK[]") == b"NO [UNAVAILABLE] " + LATER
                assert append(during, b"Subject: x\r\n\r\nx\r\n") == b"NO [UNAVAILABLE] " + LATER
                assert during.imap(b"NOOP").startswith(b"OK")
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER]
            assert server.get("/health")[0] == 200
            eventually(503, lambda: server.get("/ready")[0])
        assert before.imap(b"FETCH 2 BODY.PEEK[]").startswith(b"OK")
        assert deliver(lmtp)[0].startswith(b"250")
    eventually(200, lambda: server.get("/ready")[0])


def test_an_object_store_that_hangs_slows_nobody_who_does_not_need_it(server, objects):
    with opened(server) as first, opened(server) as second:
        objects.meet(Fault(UP, Effect.STALL))
        try:
            first.send(b"FETCH 3 BODY.PEEK[]")
            began = time.monotonic()
            with opened(server) as third:
                for command in METADATA[:-1]:
                    assert second.imap(command).startswith(b"OK"), command
                    assert third.imap(command).startswith(b"OK"), command
            assert time.monotonic() - began < 5
            assert first.silent(), "it waits for the store all the while"
        finally:
            objects.heal()
        assert first.answer().startswith(b"OK"), "it went on when the store did"


def test_without_the_database_there_are_answers_and_no_lost_passwords(server, database):
    with opened(server) as selected, Dialogue(server.pop3) as maildrop:
        maildrop.pop3(b"USER bob@example.org")
        assert maildrop.pop3(b"PASS secret").startswith(b"+OK")
        assert selected.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK")
        assert selected.imap(b"STORE 1 -FLAGS (\\Seen)").startswith(b"OK")
        with without(database):
            assert selected.imap(b"FETCH 1 BODY[]").startswith(b"OK"), "the octets are here; only \\Seen cannot be kept"
            for command in (b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", b"SEARCH FLAGGED", b"NOOP"):
                assert selected.imap(command).startswith(b"OK"), command
            for command in (b"STORE 1 +FLAGS (\\Seen)", b"STATUS Sent (MESSAGES)"):
                assert selected.imap(command) == b"NO [UNAVAILABLE] " + LATER
            assert maildrop.pop3(b"STAT").startswith(b"+OK 1 ")
            assert maildrop.pop3(b"UIDL 1").startswith(b"+OK")
            with Dialogue(server.imap) as stranger:
                assert stranger.imap(b"CAPABILITY").startswith(b"OK")
                for user in (USER, b"nobody@example.org"):
                    assert stranger.imap(b"LOGIN %b secret" % user) == b"NO [UNAVAILABLE] " + LATER
            with LmtpClient(HOST, server.lmtp) as lmtp:
                assert deliver(lmtp, "nobody") == [b"451 4.3.0 " + LATER], "never 550 for want of an answer"
            assert server.get("/health")[0] == 200
            eventually(503, lambda: server.get("/ready")[0])
        assert selected.imap(b"FETCH 1 FLAGS").startswith(b"OK")
        assert selected.imap(b"SEARCH UNSEEN 1").startswith(b"OK")
        assert selected.imap(b"FETCH 1 BODY[]").startswith(b"OK")
        assert selected.imap(b"STORE 1 +FLAGS (\\Answered)").startswith(b"OK")
    eventually(200, lambda: server.get("/ready")[0])


def test_a_maildrop_is_free_again_soon_after_the_database_is_back(server, database):
    def log_in() -> bytes:
        with Dialogue(server.pop3) as pop3:
            pop3.pop3(b"USER bob@example.org")
            answer = pop3.pop3(b"PASS secret")
            pop3.pop3(b"QUIT")
            return answer[:3]

    with Dialogue(server.pop3) as pop3:
        pop3.pop3(b"USER bob@example.org")
        assert pop3.pop3(b"PASS secret").startswith(b"+OK")
        with without(database):
            pop3.pop3(b"QUIT")
    eventually(b"+OK", log_in, seconds=20)


def test_a_restart_during_an_outage_of_the_objects_serves_what_it_can(server, objects):
    with without(objects):
        assert server.stop() == 0
        server.launch()
        eventually(True, lambda: b"OK" in greeting(server))
        with opened(server) as imap:
            for command in METADATA[:-1]:
                assert imap.imap(command).startswith(b"OK"), command
            assert imap.imap(b"FETCH 1:3 BODY.PEEK[]").startswith((b"OK", b"NO [UNAVAILABLE]"))
        with LmtpClient(HOST, server.lmtp) as lmtp:
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER]
        assert server.get("/ready")[0] == 503
        assert "The server starts without the object store" in server.log()
    eventually(200, lambda: server.get("/ready")[0])
    eventually(True, lambda: "the object store is back" in server.log())
    with opened(server) as imap, LmtpClient(HOST, server.lmtp) as lmtp:
        assert imap.imap(b"FETCH 1:* BODY.PEEK[]").startswith(b"OK")
        assert deliver(lmtp)[0].startswith(b"250")


def greeting(server: MailServer) -> bytes:
    with suppress(OSError), socket.create_connection((HOST, server.imap), timeout=5) as client:
        return client.recv(1000)
    return b""


# --- full disks ---


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of four megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    path = Path(tempfile.mkdtemp(prefix="lm-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode != 0:
        path.rmdir()
        pytest.skip("a small file system cannot be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)
    path.rmdir()


def fill(path: Path) -> None:
    """Write to `path` until its disk is full."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@contextmanager
def running(kind: str, s3: SeaweedFS | None = None, **sections: dict[str, object]) -> Iterator[MailServer]:
    """A server with something else configured, that ends well."""
    with open_stack(kind, s3, sections=sections) as stack:
        stack.server.start()
        yield stack.server
        ended(stack.server)


def test_a_full_disk_under_the_spool_defers_large_messages_only(small):
    with running(EMBEDDED, storage={"spool_directory": small}) as server:
        with opened(server) as imap, LmtpClient(HOST, server.lmtp) as lmtp:
            fill(small / "filler")
            assert deliver(lmtp, body=LARGE)[0].startswith(b"452 4.3.1")
            assert deliver(lmtp)[0].startswith(b"250"), "a small one stays in memory"
            assert append(imap, b"Subject: x\r\n\r\n" + LARGE).startswith(b"NO [UNAVAILABLE]")
            assert append(imap, b"Subject: x\r\n\r\nx").startswith(b"OK")
        assert server.stop() == 0
        server.start()
        assert "The server starts without the spool" in server.log()
        with opened(server) as imap, LmtpClient(HOST, server.lmtp) as lmtp:
            assert deliver(lmtp, body=LARGE)[0].startswith(b"452 4.3.1")
            (small / "filler").unlink()
            assert deliver(lmtp, body=LARGE)[0].startswith(b"250")
            assert append(imap, b"Subject: x\r\n\r\n" + LARGE).startswith(b"OK")
        assert not list(small.iterdir()), "nothing is left behind"


def test_a_full_disk_under_the_cache_is_passed_by(small, s3_server):
    cache = {"cache_directory": small / "cache"}
    with running(MARIADB_S3, s3_server, storage=cache, limits={"body_octets": "1M"}) as server:
        fill(small / "filler")
        with LmtpClient(HOST, server.lmtp) as lmtp:
            assert deliver(lmtp, body=LARGE)[0].startswith(b"250")
        with opened(server) as imap:
            for _ in range(2):
                assert imap.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK")
        assert "cache: bypassed for a minute" in server.log()


@pytest.mark.heavy
def test_a_full_disk_under_the_objects_defers_mail_and_lets_it_be_read(small):
    with running(EMBEDDED, storage={"path": small / "objects"}) as server:
        with LmtpClient(HOST, server.lmtp) as lmtp:
            assert deliver(lmtp)[0].startswith(b"250")
            fill(small / "filler")
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER]
        assert server.stop() == 0
        server.launch()
        eventually(True, lambda: b"OK" in greeting(server))
        with opened(server) as imap, LmtpClient(HOST, server.lmtp) as lmtp:
            assert imap.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK")
            assert deliver(lmtp) == [b"451 4.3.0 " + LATER]
            assert append(imap, b"Subject: x\r\n\r\nx") == b"NO [UNAVAILABLE] " + LATER
            (small / "filler").unlink()
            assert deliver(lmtp)[0].startswith(b"250")


@pytest.mark.heavy
def test_a_full_disk_under_the_rows_defers_mail_and_lets_it_be_read(small):
    rows = {"path": small / "rows" / "rows.sqlite"}
    with (
        running(EMBEDDED, database=rows) as server,
        opened(server) as imap,
        LmtpClient(HOST, server.lmtp) as lmtp,
    ):
        assert deliver(lmtp)[0].startswith(b"250")
        assert imap.imap(b"NOOP").startswith(b"OK")
        fill(small / "filler")
        # What is in the log of the database already takes a few more; then there is no room.
        eventually(b"451", lambda: deliver(lmtp)[0][:3])
        assert imap.imap(b"FETCH 1 (FLAGS BODY.PEEK[])").startswith(b"OK")
        (small / "filler").unlink()
        assert deliver(lmtp)[0].startswith(b"250")
        assert imap.imap(b"STORE 1 +FLAGS (\\Seen)").startswith(b"OK")
