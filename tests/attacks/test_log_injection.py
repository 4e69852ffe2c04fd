"""Whatever names a client gives, each event stays one line that a terminal can show, as text and as JSON."""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from lightmail import logs
from tests.integration.servers import HOST, MailServer
from tests.support.stack import EMBEDDED, open_stack
from tests.support.transcript import Connection

FORGED = "2026-01-01T00:00:00.000Z info  auth.login login ok for 'root' from 127.0.0.1 over imap"
NAMES = [
    "a\r\n" + FORGED,
    "a\n" + FORGED,
    "a\r" + FORGED,
    "a\x1b[2J\x1b]0;title\x07",
    "a\x9b2J",
    "a\x85" + FORGED,
    "a\u2028" + FORGED,
    "a\u202e" + FORGED[::-1],
    'a","level":"error","x":"',
    'a"}\n{"level":"error"}',
    "{session} {log_failure} {0} {} {name!r:>1000000}",
    "%s %(x)s %n",
    "a\x08\x08\x08\x7f",
    "x" * 5000,
]
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:debug|info |warn |error|critical) \S+ (?:\[[^\]]+\] )?\S")
UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(params=["text", pytest.param("json", marks=pytest.mark.heavy)])
def server(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    with open_stack(EMBEDDED, users=["ada@example.org"], sections=SECTIONS[request.param]) as stack:
        stack.server.start()
        yield stack.server


SECTIONS = {
    form: {
        "logging": {"level": "debug", "json": str(form == "json").lower()},
        "limits": {"trusted_networks": "127.0.0.0/8", "bad_commands_before_login": 1000, "bad_commands": 1000},
    }
    for form in ("text", "json")
}


def literal(octets: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(octets), octets)


def attack(server: MailServer) -> None:
    """Give every name wherever one can be given."""
    for name in NAMES:
        octets = name.encode()
        client = Connection(server.imap)
        client.line()
        client.send(b"%b LOGIN %b x\r\n" % (b"t", literal(octets)))
        client.line()
        client.send(octets.replace(b"\n", b"") + b"\r\nz NOOP\r\n")
        client.send(b"l LOGIN ada@example.org secret\r\n")
        for command in (b"SELECT", b"CREATE", b"DELETE", b"SUBSCRIBE"):
            client.send(b"c %b %b\r\n" % (command, literal(octets)))
        client.send(b"c ID (%b %b)\r\nz LOGOUT\r\n" % (b'"name"', literal(octets)))
        while not client.line().startswith((b"z OK LOGOUT", b"* BYE")):
            pass
        client.close()
        client = Connection(server.pop3)
        client.line()
        one = octets.replace(b"\r\n", b"\n")
        client.send(b"USER %b\r\nPASS x\r\n%b\r\nQUIT\r\n" % (one, one))
        while not client.line().startswith(b"+OK LightMail"):
            if client.pending() == b"":
                break
        client.close()
        client = Connection(server.lmtp)
        for line in (b"LHLO %b", b"MAIL FROM:<%b@x>", b"RCPT TO:<%b@example.org>", b"NOOP %b", b"%b"):
            client.send(line % one + b"\r\n")
        client.send(b"QUIT\r\n")
        while not client.line().startswith(b"221"):
            pass
        client.close()
    message = "\r\n".join(f"Message-ID: <{name}>\r\nX-{n}: y" for n, name in enumerate(NAMES[3:]))
    with smtplib.LMTP(HOST, server.lmtp) as lmtp:
        lmtp.sendmail("a@b.example", ["ada@example.org"], message.encode() + b"\r\n\r\nx\r\n")
    server.get("/" + "%0d%0aforged%1b%5b2J")


def test_each_event_is_a_line(server: MailServer) -> None:
    attack(server)
    assert server.stop() == 0
    lines = server.log_path.read_text(errors="strict").split("\n")
    assert lines.pop() == ""
    assert sum("login failed for" in line for line in lines) >= 2 * len(NAMES) - 4
    assert max(map(len, lines)) < 10_000
    for line in lines:
        assert not UNPRINTABLE.search(line), line
        if line.startswith("{"):
            assert {"time", "level", "source", "message"} <= json.loads(line).keys()
        else:
            assert LINE.match(line), line
        assert not line.startswith(FORGED)
    assert not any("Traceback" in line for line in lines), [line for line in lines if "Error" in line][:3]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_exception_says_forges_nothing(tmp_path: Path, name: str, as_json: bool) -> None:
    destination = logs.Destination(str(tmp_path / "log"))
    log = Logger(namespace="lightmail.x", observer=LogPublisher(logs.observer(destination, "debug", as_json)))
    try:
        raise ValueError(name)
    except ValueError:
        log.failure("{what} failed", failure=Failure(), what=name)
    destination.close()
    first, *rest = (tmp_path / "log").read_text().split("\n")
    assert rest.pop() == ""
    for line in (first, *rest):
        assert not UNPRINTABLE.search(line), line
    if as_json:
        assert not rest
        assert json.loads(first)["message"].startswith(name)
    else:
        assert all(line.startswith("    ") for line in rest)
