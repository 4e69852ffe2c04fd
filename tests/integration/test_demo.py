"""What `make run` runs: a demo account with mail in it, and the same mail the next time."""

from __future__ import annotations

import imaplib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, environment
from tests.support.browser import Browser

SUBJECTS = 5


class Demo:
    """A run of `lightmail demo`, its standard output read as far as somebody waited for it."""

    def __init__(self, directory: Path, server: MailServer) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lightmail.cli", "demo"],
            cwd=directory,
            env=environment(**server.ports()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.output = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + 90
        while not (found := re.search(pattern, self.output, re.MULTILINE)):
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            assert chunk, self.output
            self.output += chunk.decode()
        return found

    def interrupt(self) -> int:
        """Ctrl-C: the terminal sends it to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
        return self.process.returncode

    def kill(self) -> None:
        """End what a failed test left, the server included."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


pytestmark = pytest.mark.usefixtures("interruptible")


@pytest.fixture
def start() -> Iterator[Callable[[Path, MailServer], Demo]]:
    demos: list[Demo] = []

    def started(directory: Path, server: MailServer) -> Demo:
        demos.append(Demo(directory, server))
        return demos[-1]

    yield started
    for demo in demos:
        demo.kill()


def inbox(server: MailServer, name: str, password: str) -> list[bytes]:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(name, password)
    client.select("INBOX")
    numbers = client.search(None, "ALL")[1][0].split()
    found = [client.fetch(number.decode(), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1] for number in numbers]
    client.store("1", "+FLAGS", r"(\Flagged)")
    flagged = client.search(None, "FLAGGED")[1][0].split()
    assert flagged == [b"1"]
    client.logout()
    return found


def overview(server: MailServer, url: str, name: str, password: str) -> str:
    """What the admin web shows first to those who sign in as the demo says."""
    assert url == f"http://{HOST}:{server.http}/"
    browser = Browser(server.http)
    page = browser.send(browser.get("/").form("/web/sign-in"), name=name, password=password)
    assert page.status == 200
    assert "/web/configuration" in page.links, "he administers the server"
    return page.text


def test_demo_twice(tmp_path, start):
    server = MailServer(tmp_path)
    passwords = []
    for _ in range(2):
        demo = start(tmp_path, server)
        name, password = demo.wait_for(r"^demo account: (\S+) password: (\S+)$").groups()
        assert name == "demo@example.org"
        web = demo.wait_for(r"^Admin web: (\S+) name: (\S+) password: (\S+)$").groups()
        assert "Overview" in overview(server, *web)
        passwords.append((password, web[2]))
        assert password != web[2]
        demo.wait_for(r"IMAP +127\.0\.0\.1 +port \d+ with TLS")
        subjects = inbox(server, name, password)
        assert len(subjects) == SUBJECTS
        assert subjects[0] == b"Subject: Welcome to LightMail\r\n\r\n"
        assert demo.interrupt() == 0
    assert (tmp_path / "var").stat().st_mode & 0o007 == 0
    assert passwords[0] == passwords[1]


def test_a_server_that_is_not_ours_is_not_taken_for_the_demo(tmp_path, start):
    """The ports answer, but it is another server that does: no account is shown, and no sample is delivered there."""
    server = MailServer(tmp_path)
    first = start(tmp_path, server)
    name, password = first.wait_for(r"^demo account: (\S+) password: (\S+)$").groups()
    (tmp_path / "other").mkdir()
    second = start(tmp_path / "other", server)
    output, errors = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert b"demo account" not in output
    assert b"is in use" in errors
    assert len(inbox(server, name, password)) == SUBJECTS
    assert first.interrupt() == 0
