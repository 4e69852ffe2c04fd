"""`lightmail verify` as operators run it, beside a server at work."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.servers import MailServer, environment

USER = "ada@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("verify"))
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.account(USER)
    server.start()
    try:
        for number in range(20):
            server.deliver(USER, b"Subject: message %d\r\n\r\nHello.\r\n" % number)
        yield server
    finally:
        server.kill()


def objects(server: MailServer) -> list[Path]:
    return sorted((server.directory / "data" / "objects" / "emails").rglob("*.zst"))


def test_a_store_in_order_is_status_0(server: MailServer) -> None:
    done = server.cli("verify", "--deep")
    assert done.stdout.endswith("all holds\n")
    assert done.stderr == ""
    assert "contents 20" in done.stdout


def test_a_finding_is_a_line_and_status_1_and_json_on_request(server: MailServer) -> None:
    gone = objects(server)[0]
    octets = gone.read_bytes()
    gone.unlink()
    try:
        done = server.cli("verify", check=False)
        assert done.returncode == 1
        line = next(line for line in done.stdout.splitlines() if line.startswith("object-absent "))
        assert f"account={USER} mailbox=INBOX uid=" in line
        assert gone.name in line
        done = server.cli("verify", "--json", "--deep", "--repair", "--account", USER, check=False)
        assert done.returncode == 1
        finding, summary = (json.loads(line) for line in done.stdout.splitlines())
        assert (finding["finding"], finding["severity"], finding["repaired"]) == ("object-absent", "loss", False)
        assert (finding["account"], finding["mailbox"]) == (USER, "INBOX")
        assert (summary["clean"], summary["found"]) == (False, 1)
    finally:
        gone.write_bytes(octets)
    assert server.cli("verify").returncode == 0


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_status_2_and_the_next_one_goes_on(server: MailServer) -> None:
    gone = {path: path.read_bytes() for path in objects(server)}
    for path in gone:
        path.unlink()
    verify = [sys.executable, "-m", "lightmail.cli", "verify", "--deep", "--readers", "1", "--config", server.config]
    try:
        with subprocess.Popen(
            [*map(str, verify), "--rate", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as run:
            assert run.stdout is not None
            first = run.stdout.readline()
            # It waits for its rate now; where it is, was noted before.
            row = "SELECT COUNT(*) FROM job_progress WHERE CAST(name AS TEXT) LIKE 'verify/%'"
            deadline = time.monotonic() + 30
            while not count(server, row):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=30)
        assert first.startswith(b"object-absent ")
        assert run.returncode == 2
        assert errors == b"lightmail: verify was interrupted; the next run goes on from there\n"
        done = server.cli("verify", "--deep", "--readers", "1", check=False)
        assert done.returncode == 1
        assert "went on where an earlier run was interrupted" in done.stdout
        assert "object-absent: 20 found, 0 repaired" in done.stdout
        told = {line.split("key=")[1] for line in done.stdout.splitlines() if line.startswith("object-absent ")}
        assert len(told) == 12
    finally:
        for path, octets in gone.items():
            path.write_bytes(octets)
    assert server.cli("verify", "--deep").returncode == 0


def count(server: MailServer, sql: str) -> int:
    with closing(sqlite3.connect(server.directory / "data" / "lightmail.sqlite")) as connection:
        return int(connection.execute(sql).fetchone()[0])


def test_what_cannot_be_looked_at_is_status_2(server: MailServer) -> None:
    done = server.cli("verify", "--account", "nobody@example.org", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lightmail: verify could not finish: nobody@example.org: No such user here.\n"


def test_a_store_that_cannot_be_reached_is_status_2(tmp_path: Path) -> None:
    away = MailServer(tmp_path, {"database": {"driver": "mysql", "host": "127.0.0.1", "port": "1"}})
    done = away.cli("verify", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("lightmail: verify could not finish: ")
