"""One trace leads from LMTP's LHLO to the client in IDLE that is told, though each is at another server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, mysql_section
from tests.support import mariadb
from tests.support.lmtpclient import LmtpClient
from tests.support.transcript import Connection

pytestmark = [
    pytest.mark.mariadb,
    pytest.mark.heavy,
    pytest.mark.skipif(not mariadb.available(), reason="no MariaDB: install Debian's mariadb-server"),
]

DELIVERED = re.compile(r"\[([0-9a-f]{12}\.\d+)\] delivered from <carl@x\.example> to <ada@example\.org>: UID (\d+) in")
TOLD = re.compile(
    r"\[[0-9a-f]{12} ([^]]+)\] told ada@example\.org of (\d+) new messages in mailbox \d+, up to UID (\d+)"
)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[MailServer]]:
    """Two servers of one site: what they share are the rows and the objects."""
    rows = mariadb.server()
    database = rows.fresh_database()
    shared = {
        "database": mysql_section(rows.config(database)),
        "storage": {"driver": "directory", "path": tmp_path / "objects"},
    }
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(MailServer(tmp_path / name, {**shared, "logging": {"path": tmp_path / name / "mail.log"}}))
    servers[0].populate("ada@example.org")
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()
    rows.drop(database)


def said(server: MailServer) -> str:
    return Path(str(server.sections["logging"]["path"])).read_text()


def test_one_trace_leads_from_one_server_to_the_other(pair: list[MailServer]) -> None:
    one, two = pair
    with closing(Connection(two.imap)) as idling:
        idling.send(b"a LOGIN ada@example.org secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
        while not idling.line().startswith(b"+ "):
            pass
        with LmtpClient(HOST, one.lmtp) as lmtp:
            for number in range(5):
                message = b"Message-ID: <m%d@x.example>\r\nSubject: x\r\n\r\nx\r\n" % number
                assert lmtp.deliver("carl@x.example", ["ada@example.org"], message)[0].startswith(b"250")
        while not idling.line().startswith(b"* 5 EXISTS"):
            pass
        idling.send(b"DONE\r\nd LOGOUT\r\n")
        while not idling.line().startswith(b"* BYE"):
            pass
    delivered = {int(uid): trace for trace, uid in DELIVERED.findall(said(one))}
    assert list(delivered) == [1, 2, 3, 4, 5]
    told: dict[int, str] = {}
    for joined, count, last in TOLD.findall(said(two)):
        traces = joined.split()
        assert len(traces) == int(count)
        told.update(zip(range(int(last) - len(traces) + 1, int(last) + 1), traces, strict=True))
    assert told == delivered
    for uid, trace in delivered.items():
        found = two.cli("trace", trace).stdout.splitlines()
        assert len(found) == 1
        assert "told ada@example.org" in found[0]
        assert f"UID {uid}" in found[0] or "of 1 new" not in found[0]
