"""The collector in a real server, and its verbs beside it."""

from __future__ import annotations

import imaplib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer

_PATIENCE_SECONDS = 30


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    settings = {"idle_seconds": 1, "pause_seconds": 0, "undelete_days": 0, "grace_hours": 1, "batch_size": 3}
    server = MailServer(tmp_path_factory.mktemp("garbage"), {"garbage": settings})
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.account("ada@example.org")
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def status(server: MailServer) -> Any:
    return json.loads(server.cli("gc", "status", "--json").stdout)


def objects(server: MailServer) -> list[str]:
    return sorted(path.name for path in server.directory.glob("**/emails/*/*"))


def test_what_was_expunged_goes(server: MailServer) -> None:
    for number in range(8):
        server.deliver("ada@example.org", message(number))
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login("ada@example.org", "secret")
    client.select()
    client.store("1:5", "+FLAGS", "\\Deleted")
    client.expunge()

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while status(server)["backlog"]["condemned"] < 5:
        assert time.monotonic() < deadline, status(server)
    assert "collected message 3, object condemned 3" in server.log()
    assert len(objects(server)) == 8, "they are kept for the grace"

    # Two hours go by.
    with closing(sqlite3.connect(server.directory / "data" / "lightmail.sqlite", timeout=30)) as rows, rows:
        rows.execute("UPDATE condemned SET since_us = since_us - 7200000000")
    json.loads(server.cli("gc", "run", "--json").stdout)
    while len(objects(server)) > 3:
        assert time.monotonic() < deadline, "neither the service nor the verb deleted the objects"
    found = status(server)
    assert found["backlog"] == {"messages": 0, "mailboxes": 0, "objects": 0, "condemned": 0, "quarantined": 0}
    assert found["epoch"]["frozen_at"] == 0
    assert "lightmail_garbage_last_pass_seconds" in server.get("/metrics")[1].decode()
    shown = server.cli("gc", "status").stdout
    assert "due now: messages 0, mailboxes 0, objects 0\n" in shown
    assert client.fetch("1:3", "BODY.PEEK[]")[0] == "OK"
    client.logout()
