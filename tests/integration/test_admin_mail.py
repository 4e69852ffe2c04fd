"""The mail of an account from the console: `lightmail mailbox` and `lightmail message` beside a running server."""

from __future__ import annotations

import imaplib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer, environment

ADA = "ada@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("admin-mail"))
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.account(ADA)
    server.start()
    for number in range(4):
        server.deliver(ADA, message(number))
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def listed(server: MailServer, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.cli("message", "list", ADA, "--json", *options).stdout)
    return found


def test_from_the_list_to_the_octets_and_back(server: MailServer) -> None:
    newest, *rest = listed(server)
    assert [each["uid"] for each in [newest, *rest]] == [4, 3, 2, 1]
    one = str(newest["id"])
    assert f"address:     {ADA}" in server.cli("message", "show", one).stdout
    raw = [sys.executable, "-m", "lightmail.cli", "message", "raw", one, "--config", str(server.config)]
    octets = subprocess.run(raw, capture_output=True, check=True, cwd=server.directory, env=environment()).stdout
    assert octets.endswith(message(3)[-40:])
    assert len(octets) == newest["size"]

    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(ADA, "secret")
    client.select("INBOX")
    assert server.cli("message", "delete", one).stdout == f"deleted {one}\n"
    (gone,) = listed(server, "--deleted")
    assert gone["id"] == newest["id"]
    client.noop()
    assert client.untagged_responses.pop("EXPUNGE") == [b"4"]

    assert server.cli("message", "restore", one).stdout.startswith(f"restored {one} as ")
    client.noop()
    assert client.untagged_responses["EXISTS"][-1] == b"4"
    client.logout()


@pytest.mark.heavy
def test_what_a_message_says_and_what_is_attached(server: MailServer) -> None:
    mixed = (
        b"From: bob@example.net\r\nSubject: parts\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\xc3\xbc\xc3\x9fe</p><script>x()</script>\r\n"
        b'--b\r\nContent-Type: application/pdf; name="in.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        b"JVBERi0x\r\n--b--\r\n"
    )
    server.deliver(ADA, mixed)
    (found,) = listed(server, "--subject", "parts")
    one = str(found["id"])
    assert server.cli("message", "text", one).stdout.strip() == "Gr\u00fc\u00dfe"
    parts = [line.split()[:2] for line in server.cli("message", "parts", one).stdout.splitlines()[1:]]
    assert parts == [["1", "text/html"], ["2", "application/pdf"]]
    assert server.cli("message", "part", one, "2").stdout == "%PDF-1"
    refused = server.cli("message", "part", one, "3", check=False)
    assert refused.stderr == f"lightmail: message {one}: The message has no such part.\n"
    server.cli("message", "delete", one)


@pytest.mark.heavy
def test_mailboxes_and_what_goes_between_them(server: MailServer) -> None:
    server.cli("mailbox", "add", ADA, "Work/2026", "--special-use", "Archive")
    first = str(listed(server, "--limit", "1")[0]["id"])
    assert server.cli("message", "copy", first, "--into", "Work/2026").stdout.startswith(f"copied {first} as ")
    (copied,) = listed(server, "--mailbox", "Work/2026")
    assert server.cli("message", "move", str(copied["id"]), "--into", "Sent").stdout.startswith("moved ")
    boxes = json.loads(server.cli("mailbox", "list", ADA, "--json").stdout)
    assert {each["name"]: each["messages"] for each in boxes if each["messages"]} == {"INBOX": 4, "Sent": 1}
    server.cli("mailbox", "delete", ADA, "Work/2026", "--yes")
    heading, *rows = server.cli("mailbox", "list", ADA).stdout.splitlines()
    assert heading.split() == ["ID", "MESSAGES", "UNSEEN", "OCTETS", "USE", "MAILBOX"]
    assert "Work/2026" not in [row.split()[-1] for row in rows]


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_what_a_message_says_does_nothing_to_the_terminal(server: MailServer, kind: str) -> None:
    controls = b"\x1b[2J \xe2\x80\xae\rlines" if kind == "plain" else b"&#27;[2J &#x202e;&#13;lines"
    head = b"From: m@example.net\r\nSubject: %b\r\nContent-Type: text/%b; charset=utf-8\r\n\r\n" % (
        (kind.encode(),) * 2
    )
    server.deliver(ADA, head + b"one\ttwo " + controls + b"\r\nend\r\n")
    (found,) = listed(server, "--subject", kind)
    said = server.cli("message", "text", str(found["id"])).stdout
    assert said.startswith("one")
    assert "[2J" in said
    assert not [each for each in said if each != "\n" and not each.isprintable()], said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("message", "raw", "999999"), "lightmail: message 999999: No such message.\n"),
        (("message", "list", ADA, "--mailbox", "Nowhere"), f"lightmail: {ADA}: No such mailbox.\n"),
        (("mailbox", "delete", ADA, "Nowhere", "--yes"), f"lightmail: {ADA}: Nowhere: No such mailbox.\n"),
    ],
)
def test_a_refusal_is_one_line(server: MailServer, arguments: tuple[str, ...], said: str) -> None:
    done = server.cli(*arguments, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
