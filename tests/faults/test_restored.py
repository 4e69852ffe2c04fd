"""A database that is put back to an old copy under a server that runs, as a failover with a lost tail does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightmail.store.mailboxes import JUMP
from tests.faults.test_outages import Dialogue
from tests.integration.servers import MailServer
from tests.support import mariadb
from tests.support.backups import back_up, restore
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import EMBEDDED, MARIADB_S3, open_stack

GARBAGE = {"idle_seconds": 1, "pause_seconds": 0}


def eventually(holds: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)


def deliver(server: MailServer, times: int) -> None:
    for number in range(times):
        server.deliver("ada@example.org", b"Subject: %d\r\n\r\nhello\r\n" % number)


def opened(server: MailServer) -> Dialogue:
    client = Dialogue(server.imap)
    assert client.imap(b"LOGIN ada@example.org secret").startswith(b"OK")
    assert client.imap(b"SELECT INBOX").startswith(b"OK")
    return client


def frozen(server: MailServer) -> bool:
    return b"lightmail_collection_frozen 1.0" in server.get("/metrics")[1]


def passes(server: MailServer) -> int:
    """How many passes the collector has made."""
    return int(server.cli("gc", "status").stdout.split(" passes")[0].split()[-1])


@pytest.mark.mariadb
def test_sessions_of_a_running_server_learn_what_a_failover_has_lost(s3_server: SeaweedFS, tmp_path: Path) -> None:
    if not mariadb.available() or shutil.which("mysqldump") is None:
        pytest.skip("no MariaDB: install Debian's mariadb-server and mariadb-client")
    with open_stack(MARIADB_S3, s3_server, sections={"garbage": GARBAGE}) as stack:
        server = stack.server
        assert stack.rows is not None
        config = stack.rows.config(stack.database)
        server.start()
        deliver(server, 2)
        back_up(config, tmp_path / "copy")
        deliver(server, 2)
        with opened(server) as imap:
            assert imap.imap(b"STORE 1 +FLAGS (\\Flagged)").startswith(b"OK")
            assert imap.imap(b"NOOP").startswith(b"OK")
            restore(config, tmp_path / "copy")
            heard: list[bytes] = []
            eventually(lambda: b"* 3 EXPUNGE" in hear(imap, heard))
            assert b"* 4 EXPUNGE" in heard
            assert any(line.startswith(b"* 1 FETCH") and b"Flagged" not in line for line in heard)
            deliver(server, 1)
            eventually(lambda: b"* 3 EXISTS" in hear(imap, heard))
            lines = imap.lines(b"FETCH 3 UID")
            assert int(lines[0].split(b"UID ")[1].rstrip(b")")) > JUMP
        eventually(lambda: frozen(server))
        assert server.ready(), "mail goes on"
        objects = stack.object_keys()
        assert len(objects) == 5
        refused = server.cli("gc", "run", check=False)
        assert refused.returncode == 1
        assert "collection is frozen" in refused.stderr
        assert server.cli("gc", "unfreeze", stdin="n\n", check=False).returncode == 1
        said = server.cli("gc", "unfreeze", "--yes").stdout
        assert "the only one that uses this bucket" in said
        assert said.endswith("Collection works again.\n")
        assert server.cli("gc", "unfreeze").stdout == "Collection is not frozen.\n"
        eventually(lambda: not frozen(server))
        assert stack.object_keys() == objects
        assert server.stop() == 0
        assert "Traceback" not in server.log(), server.log()[-5000:]


@pytest.mark.heavy
def test_a_backup_is_recognised_before_anybody_can_connect(tmp_path: Path) -> None:
    with open_stack(EMBEDDED, sections={"garbage": GARBAGE}) as stack:
        server = stack.server
        rows = server.directory / "data" / "lightmail.sqlite"
        server.start()
        deliver(server, 1)
        assert server.stop() == 0
        shutil.copy(rows, tmp_path / "copy")
        server.start()
        before = passes(server)
        deliver(server, 2)
        eventually(lambda: passes(server) > before)
        assert server.stop() == 0
        for leftover in rows.parent.glob(rows.name + "-*"):
            leftover.unlink()
        shutil.copy(tmp_path / "copy", rows)
        objects = stack.object_keys()
        server.start()
        with opened(server) as imap:
            assert imap.imap(b"FETCH 1 BODY.PEEK[]").startswith(b"OK")
            (status, *_) = imap.lines(b"STATUS INBOX (UIDNEXT MESSAGES)")
            assert b"UIDNEXT %d" % (JUMP + 2) in status
            assert b"MESSAGES 1" in status
        assert "FROZEN" in server.cli("gc", "status").stdout
        assert stack.object_keys() == objects
        assert server.stop() == 0
        log = server.log()
        assert log.rindex("garbage collection is frozen") > log.rindex("starting up")
        assert "Traceback" not in log, log[-5000:]


def hear(client: Dialogue, heard: list[bytes]) -> list[bytes]:
    """All that a client was told so far, asked for once more."""
    heard += client.lines(b"NOOP")
    return heard
