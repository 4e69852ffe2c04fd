"""SIGTERM: nobody new is let in, who is in the middle of something finishes it, the others are told."""

from __future__ import annotations

import imaplib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path)
    server.populate("ada@example.org")
    server.start()
    yield server
    server.kill()
    assert "Traceback" not in server.log(), server.log()[-5000:]


class Line:
    """A connection, line by line."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=40)
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline()

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def ask(self, text: bytes) -> bytes:
        """The answer's last line to an LMTP command."""
        self.send(text + b"\r\n")
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return line

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def refused(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except OSError:
        return True
    return False


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_drains(server):
    imap, pop3 = Line(server.imap), Line(server.pop3)
    idle, busy = Line(server.lmtp), Line(server.lmtp)
    assert busy.ask(b"LHLO x").startswith(b"250 ")
    assert busy.ask(b"MAIL FROM:<a@example.net>").startswith(b"250")
    assert busy.ask(b"RCPT TO:<ada@example.org>").startswith(b"250")
    assert busy.ask(b"DATA").startswith(b"354")
    octets = message(0)
    busy.send(octets[:100])
    server.terminate()
    wait_for(lambda: refused(server.imap) and refused(server.lmtp) and refused(server.pop3s))
    assert imap.file.readline().startswith(b"* BYE")
    assert idle.file.readline().startswith(b"421")
    pop3.file.read()  # it is closed
    assert server.checks() == {"server": "stopping"}
    busy.send(octets[100:] + b".\r\n")
    assert busy.file.readline().startswith(b"250")
    assert busy.file.readline().startswith(b"421")
    for line in (imap, pop3, idle, busy):
        line.close()
    assert server.wait() == 0
    assert "stopped" in server.log()
    server.start()
    assert server.cli("account", "list").stdout.splitlines()[1].split()[2] == "1"
    assert server.stop() == 0


def test_who_never_ends_is_cut_off(server):
    server.sections["limits"] = {"drain_seconds": 1}
    server.write_config()
    assert server.stop() == 0
    server.start()
    stuck = Line(server.lmtp)
    assert stuck.ask(b"LHLO x").startswith(b"250 ")
    stuck.ask(b"MAIL FROM:<a@example.net>")
    stuck.ask(b"RCPT TO:<ada@example.org>")
    assert stuck.ask(b"DATA").startswith(b"354")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 15
    stuck.close()


class Curl:
    """A download that takes some seconds."""

    def __init__(self, directory: Path, url: str, *arguments: str) -> None:
        self.file = directory / f"{len(list(directory.iterdir()))}.eml"
        slowly = ("--silent", "--show-error", "--limit-rate", "2M", "--max-time", "60", "--output", str(self.file))
        self.process = subprocess.Popen(
            ["curl", *slowly, "--insecure", *arguments, url], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def begun(self) -> bool:
        return self.file.exists() and self.file.stat().st_size > 0

    def octets(self) -> bytes:
        self.process.communicate(timeout=60)
        return self.file.read_bytes()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_what_real_clients_are_in_the_middle_of_they_get_whole(server, tmp_path):
    octets = message(0) + b"x" * 76 * 60_000
    large = octets.replace(b"x" * 76, b"x" * 74 + b"\r\n")
    server.deliver("ada@example.org", large)
    token = server.cli("token", "add", "drain", "--scope", "messages:read", "--scope", "messages:content").stdout
    secret = token.strip().splitlines()[-1].split()[-1]
    found = server.cli("message", "list", "ada@example.org", "--json").stdout
    number = json.loads(found)[0]["id"]
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    user = ("--user", "ada@example.org:secret")
    clients = [
        Curl(downloads, f"imaps://{HOST}:{server.imaps}/INBOX;MAILINDEX=1", *user),
        Curl(downloads, f"pop3s://{HOST}:{server.pop3s}/1", *user),
        Curl(
            downloads,
            f"http://{HOST}:{server.http}/admin/messages/{number}/raw",
            "--header",
            f"Authorization: Bearer {secret}",
        ),
    ]
    idle = imaplib.IMAP4(HOST, server.imap)
    idle.login("ada@example.org", "secret")
    idle.select()
    idle.send(b"1 IDLE\r\n")
    assert idle.readline().startswith(b"+")
    for client in clients:
        wait_for(client.begun)
    server.terminate()
    while not (line := idle.readline()).startswith(b"* BYE"):
        assert line.startswith(b"* 1 FETCH "), line  # the other clients' \\Seen
    idle.shutdown()
    for client in clients:
        assert large[-10_000:] in client.octets()
    assert server.wait() == 0
