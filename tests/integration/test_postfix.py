"""A real Postfix in front of a real server on MariaDB and S3: who gets what, and what an outage does."""

from __future__ import annotations

import imaplib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import postfix
from tests.integration.corpus import assert_same, message
from tests.integration.postfix import Postfix
from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS

PASSWORD = "secret"


@pytest.fixture
def server(place: Path, s3_server: SeaweedFS) -> Iterator[MailServer]:
    why = postfix.missing()
    if why is not None:
        pytest.skip(why)
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    database = mariadb.server().fresh_database()
    server = MailServer(
        place,
        {
            "database": mysql_section(mariadb.server().config(database)),
            "storage": {"driver": "s3"},
            "s3": s3_section(s3_server),
        },
    )
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    for name in ("ada", "ben", "sender"):
        server.account(f"{name}@example.org")
    server.account("full@example.org", PASSWORD, "--quota", "100")
    server.start()
    yield server
    assert server.stop() == 0
    mariadb.server().drop(database)


@pytest.fixture
def relay(server: MailServer, place: Path) -> Iterator[Postfix]:
    relay = Postfix(place / "postfix", server.socket)
    relay.start()
    yield relay
    relay.stop()


def inbox(server: MailServer, address: str) -> list[bytes]:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(address, PASSWORD)
    client.select("INBOX", readonly=True)
    numbers = client.search(None, "ALL")[1][0].split()
    found = [client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in numbers]
    client.logout()
    return found


def test_each_recipient_has_an_answer(server, relay):
    recipients = ["ada@example.org", "ben@example.org", "nobody@example.org", "full@example.org"]
    relay.send("sender@example.org", recipients, message(3))
    relay.wait_for(r"to=<ada@example.org>.*dsn=2\.\d\.\d, status=sent")
    relay.wait_for(r"to=<ben@example.org>.*dsn=2\.\d\.\d, status=sent")
    relay.wait_for(r"to=<nobody@example.org>.*dsn=5\.1\.1, status=bounced")
    relay.wait_for(r"to=<full@example.org>.*dsn=4\.2\.2, status=deferred")
    for name in ("ada", "ben"):
        (found,) = inbox(server, f"{name}@example.org")
        assert_same(found, 3)
        assert found.startswith(b"Return-Path: <sender@example.org>\r\nReceived: ")
    # The bounce comes back to the sender, through the same socket; who is over quota is waited for.
    relay.wait_for(r"to=<sender@example.org>.*status=sent")
    (bounce,) = inbox(server, "sender@example.org")
    assert b"nobody@example.org" in bounce
    assert bounce.startswith(b"Return-Path: <>\r\n")
    assert "full@example.org" in relay.queued()
    assert inbox(server, "full@example.org") == []


def test_mail_that_waited_for_quota_arrives(server, relay):
    relay.send("sender@example.org", ["full@example.org"], message(0))
    relay.wait_for(r"to=<full@example.org>.*dsn=4\.2\.2, status=deferred")
    server.cli("account", "set", "full@example.org", "--quota", "10M")
    relay.flush()
    relay.wait_for(r"to=<full@example.org>.*status=sent")
    (found,) = inbox(server, "full@example.org")
    assert_same(found, 0)


def test_an_outage_of_the_object_store_defers_and_delivers_once(server, relay, s3_server):
    s3_server.stop()
    try:
        relay.send("sender@example.org", ["ada@example.org", "ben@example.org"], message(4))
        relay.wait_for(r"to=<ada@example.org>.*dsn=4\.3\.0, status=deferred", seconds=120)
        relay.wait_for(r"to=<ben@example.org>.*dsn=4\.3\.0, status=deferred", seconds=120)
        assert server.checks()["objects"] == "failed"
    finally:
        s3_server.start()
    relay.flush()
    for name in ("ada", "ben"):
        relay.wait_for(rf"to=<{name}@example.org>.*status=sent", seconds=120)
        (found,) = inbox(server, f"{name}@example.org")
        assert_same(found, 4)
    assert set(server.checks().values()) == {"ok"}


@pytest.mark.heavy
def test_a_database_that_hangs_defers_and_delivers_once(server, relay):
    """Its process is stopped: connections stay open and nothing answers, which is worse than refusing."""
    pid = mariadb.server().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        relay.send("sender@example.org", ["ada@example.org"], message(2))
        relay.wait_for(r"to=<ada@example.org>.*dsn=4\.\d\.\d, status=deferred", seconds=150)
        assert server.checks()["database"] == "failed"
    finally:
        os.kill(pid, signal.SIGCONT)
    relay.flush()
    relay.wait_for(r"to=<ada@example.org>.*status=sent", seconds=120)
    (found,) = inbox(server, "ada@example.org")
    assert_same(found, 2)


def test_a_server_that_is_down_defers_and_delivers_once(server, relay):
    assert server.stop() == 0
    relay.send("sender@example.org", ["ada@example.org"], message(1))
    relay.wait_for(r"to=<ada@example.org>.*dsn=4\.\d\.\d, status=deferred")
    server.start()
    relay.flush()
    relay.wait_for(r"to=<ada@example.org>.*status=sent")
    (found,) = inbox(server, "ada@example.org")
    assert_same(found, 1)
