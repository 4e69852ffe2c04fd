"""Jobs and calendars as an operator has them: asked for on the command line, done by a server that runs."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer
from tests.support.icaltext import BERLIN, text

COUNT = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[MailServer]:
    sections = {"api": {"job_directory": files, "token": "sesame"}, "garbage": {}}
    server = MailServer(tmp_path_factory.mktemp("jobs"), sections)
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    for user in ("ada@example.org", "bob@example.org"):
        server.account(user)
    server.start()
    for number in range(COUNT):
        server.deliver("ada@example.org", message(number))
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def test_a_running_server_does_what_the_command_line_asks_for(server: MailServer, files: Path) -> None:
    out = server.cli("job", "start", "export-maildir", "ada@example.org", "ada", "--wait")
    assert out.stderr == f"job {out.stdout.strip()}: done\n"
    assert len(list((files / "ada").rglob("cur/*"))) == COUNT
    back = server.cli("job", "start", "import-maildir", "bob@example.org", "ada", "--into", "Old", "--wait")
    shown = json.loads(server.cli("job", "show", back.stdout.strip(), "--json").stdout)
    assert (shown["state"], shown["result"]["brought"], shown["progress"]["percent"]) == ("done", COUNT, 100)
    server.cli("job", "start", "verify", "--wait")
    listed = server.cli("job", "list").stdout.splitlines()
    assert [line.split()[1:3] for line in listed[1:]] == [
        ["verify", "done"], ["import-maildir", "done"], ["export-maildir", "done"],
    ]  # fmt: skip
    lines = server.cli("job", "show", out.stdout.strip()).stdout.splitlines()
    assert lines[0] == f"job {out.stdout.strip()}: export-maildir, done"


@pytest.mark.heavy
def test_what_was_deleted_comes_back_by_a_job(server: MailServer) -> None:
    listed = json.loads(server.cli("message", "list", "ada@example.org", "--json").stdout)
    server.cli("message", "delete", *(str(each["id"]) for each in listed))
    out = server.cli("job", "start", "undelete", "ada@example.org", "--subject", listed[0]["subject"], "--wait")
    shown = json.loads(server.cli("job", "show", out.stdout.strip(), "--json").stdout)
    alike = sum(listed[0]["subject"].casefold() in each["subject"].casefold() for each in listed)
    assert (shown["result"]["restored"], shown["arguments"]["subject"]) == (alike, listed[0]["subject"])
    server.cli("job", "start", "undelete", "ada@example.org", "--all", "--into", "Back", "--wait")
    assert len(json.loads(server.cli("message", "list", "ada@example.org", "--json").stdout)) == len(listed)
    refused = server.cli("job", "start", "undelete", "ada@example.org", check=False)
    assert (refused.returncode, "say what to restore" in refused.stderr) == (2, True)


def test_the_server_s_state_is_told_and_what_waits_for_an_operator(server: MailServer) -> None:
    told = json.loads(server.cli("status", "--json").stdout)
    assert (told["well"], told["checks"]["objects"], told["totals"]["accounts"]) == (True, "ok", 2)
    assert [each["pid"] for each in told["servers"]] == [server.process.pid if server.process is not None else 0]
    text = server.cli("status", "--over", "week").stdout
    assert "object store:  ok\n" in text
    assert "In the last week:\n" in text
    assert "             2 accounts, 2 of them active\n" in text
    freeze(server, 1, b"The bucket is another one.")
    try:
        frozen = server.cli("status", check=False)
    finally:
        freeze(server, 0, b"")
    assert (frozen.returncode, "collection:    The bucket is another one.\n" in frozen.stdout) == (1, True)


def test_what_cannot_be_is_one_line(server: MailServer) -> None:
    for arguments, says in (
        (("job", "start", "export-maildir", "ada@example.org", "../out"), "below [api] job_directory"),
        (("job", "start", "verify", "--account", "nobody@example.org"), "No such user"),
        (("job", "cancel", "999"), "no such job"),
        (("calendar", "event", "show", "999"), "no such event"),
    ):
        done = server.cli(*arguments, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("lightmail: ")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.heavy
def test_jobs_wait_for_a_server_and_can_be_cancelled_until_then(server: MailServer) -> None:
    assert server.stop() == 0
    try:
        made = server.cli("job", "start", "garbage").stdout.strip()
        assert "no server has taken it up yet" in server.cli("job", "show", made).stdout
        assert server.cli("job", "cancel", made).stdout == f"job {made}: cancelled\n"
        left = server.cli("job", "start", "garbage").stdout.strip()
    finally:
        server.start()
    assert server.cli("job", "show", left, "--wait").returncode == 0
    done = server.cli("job", "cancel", left, check=False)
    assert "has ended" in done.stderr


@pytest.mark.heavy
def test_a_calendar(server: MailServer, tmp_path: Path) -> None:
    work = server.cli("calendar", "add", "ada@example.org", "Work").stdout.strip()
    file = tmp_path / "event.ics"
    weekly = text(
        "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=2", start=f"DTSTART;{BERLIN}:20260320T090000", summary="Talk"
    )
    file.write_bytes(weekly)
    event = server.cli("calendar", "event", "add", work, str(file)).stdout.strip()
    window = ("--since", "2026-03-01", "--until", "2026-05-01")
    listed = server.cli("calendar", "events", work, *window).stdout.splitlines()
    assert listed[1].split()[1:] == "2026-03-20 08:00:00 UTC 2026-03-20 09:00:00 UTC yes Talk".split()
    assert len(listed) == 3
    assert server.cli("calendar", "event", "raw", event).stdout.encode().replace(b"\n", b"\r\n") == weekly
    file.write_bytes(text(summary="Once"))
    server.cli("calendar", "event", "replace", event, str(file))
    shown = json.loads(server.cli("calendar", "event", "show", event, "--json").stdout)
    assert (shown["summary"], shown["recurring"], shown["account"]) == ("Once", False, "ada@example.org")
    server.cli("calendar", "event", "delete", event)
    assert len(server.cli("calendar", "events", work, *window).stdout.splitlines()) == 1
    server.cli("calendar", "event", "restore", event)
    file.write_text("no event")
    refused = server.cli("calendar", "event", "add", work, str(file), check=False)
    assert refused.stderr == f"lightmail: calendar {work}: The text is not iCalendar (RFC 5545).\n"
    assert [each["id"] for each in json.loads(server.cli("calendar", "list", "ada@example.org", "--json").stdout)] == [
        int(work)
    ]
    server.cli("calendar", "delete", work)
    assert json.loads(server.cli("calendar", "list", "ada@example.org", "--json").stdout) == []
    assert server.cli("verify", "--deep").returncode == 0


@pytest.mark.heavy
def test_the_job_of_a_killed_server_is_called_interrupted(server: MailServer, files: Path) -> None:
    (files / "password").write_text("xyzzy\n")
    with socket.create_server((HOST, 0)) as elsewhere:
        port = str(elsewhere.getsockname()[1])
        asked = ("ada@example.org", HOST, "--port", port, "--tls", "off", "--password-file", "password")
        made = server.cli("job", "start", "import-imap", *asked).stdout.strip()
        until(lambda: state(server, made) == "running")
        server.kill()
    server.start()
    until(lambda: state(server, made) == "interrupted")


def freeze(server: MailServer, at: int, reason: bytes) -> None:
    with closing(sqlite3.connect(server.directory / "data" / "lightmail.sqlite", timeout=30)) as rows, rows:
        rows.execute("UPDATE collection SET frozen_at = ?, frozen_reason = ?", (at, reason))


def state(server: MailServer, job: str) -> str:
    return str(json.loads(server.cli("job", "show", job, "--json").stdout)["state"])


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds; AssertionError when it never does."""
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)
