"""Sessions of two real servers on one MariaDB: listed by either, ended from anywhere, gone with a server that dies."""

from __future__ import annotations

import imaplib
import json
import poplib
import smtplib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import HOST, MailServer, mysql_section
from tests.support import mariadb

pytestmark = [
    pytest.mark.mariadb,
    pytest.mark.heavy,
    pytest.mark.skipif(not mariadb.available(), reason="no MariaDB: install Debian's mariadb-server"),
]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[MailServer]]:
    rows = mariadb.server()
    database = rows.fresh_database()
    shared = {
        "database": mysql_section(rows.config(database)),
        "storage": {"driver": "directory", "path": tmp_path / "objects"},
    }
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(MailServer(tmp_path / name, shared))
    servers[0].populate("ada@example.org", "bob@example.org")
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()
    rows.drop(database)


def listed(server: MailServer, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.cli("session", "list", "--json", *arguments).stdout)
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_two_servers_know_each_others_sessions(pair: list[MailServer]) -> None:
    one, two = pair
    phone, desk = imaplib.IMAP4(HOST, one.imap), imaplib.IMAP4(HOST, two.imap)
    for client in (phone, desk):
        client.login("ada@example.org", "secret")
    phone.xatom("ID", '("name" "Nine Mail" "version" "9.1")')
    pop3 = poplib.POP3(HOST, two.pop3)
    pop3.user("bob@example.org")
    pop3.pass_("secret")
    lmtp = smtplib.LMTP(HOST, one.lmtp)
    lmtp.ehlo("mx.example.org")
    wait_for(lambda: len(listed(one)) == 4)
    assert listed(one) == listed(two)
    known = {(each["account"], each["protocol"], each["client"], each["pid"]) for each in listed(two)}
    assert one.process is not None
    assert two.process is not None
    assert known == {
        ("ada@example.org", "imap", "Nine Mail 9.1", one.process.pid),
        ("ada@example.org", "imap", "", two.process.pid),
        ("bob@example.org", "pop3", "", two.process.pid),
        (None, "lmtp", "mx.example.org", one.process.pid),
    }
    assert "Nine Mail 9.1" in one.cli("session", "list", "--account", "ada@example.org").stdout
    (row,) = listed(one, "--protocol", "pop3", "--from", HOST)
    assert "no such session" in one.cli("session", "end", str(row["id"] + 1000), check=False).stderr
    one.cli("session", "end", str(row["id"]))
    assert pop3.file.readline().startswith(b"-ERR [SYS/TEMP] The session was ended by an administrator")
    pop3.close()
    one.cli("session", "end", "--account", "ada@example.org")
    for client in (phone, desk):
        assert client.readline() == b"* BYE The session was ended by an administrator\r\n"
        client.shutdown()
    wait_for(lambda: [each["protocol"] for each in listed(two)] == ["lmtp"])
    lmtp.quit()
    assert one.stop() == two.stop() == 0
    assert listed(one) == []


def test_sessions_of_a_server_that_was_killed_are_gone_after_a_minute(pair: list[MailServer]) -> None:
    one, two = pair
    client = imaplib.IMAP4(HOST, one.imap)
    client.login("ada@example.org", "secret")
    wait_for(lambda: len(listed(two)) == 1)
    one.kill()
    client.shutdown()
    wait_for(lambda: listed(two) == [], 90)
