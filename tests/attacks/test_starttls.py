"""What a man in the middle writes before TLS counts nothing after it (RFC 9051 section 11.1, RFC 2595 section 4).

The plain cases are in `tests/sessions/starttls.txt` and `tests/sessions/test_pop3.py`; here is what hides better.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imapworld import ImapWorld, certificate
from tests.support.mailroom import Mailroom
from tests.support.transcript import Connection

PLAIN = b"AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA=="  # alice, with her password
LOGIN = b"LOGIN alice@example.org secret"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    world = ImapWorld(tmp_path_factory.mktemp("imap")).open()
    world.add_account("alice@example.org", "secret")
    yield world
    world.close()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    room = Mailroom(tmp_path_factory.mktemp("pop3"), tls=certificate()).open()
    room.add_account("alice@example.org", "secret")
    yield room
    room.close()


# What is written in the clear, STARTTLS among it; everything up to the answer to STARTTLS may be answered.
IMAP = {
    "commands": b"a STARTTLS\r\nb " + LOGIN + b"\r\nc SELECT INBOX\r\n",
    "half a command": b"a STARTTLS\r\nb LOGIN alice@example.org ",
    "a literal": b"a STARTTLS\r\nb LOGIN {17+}\r\nalice@example.org {6+}\r\nsec",
    "an announced literal": b"a STARTTLS\r\nb LOGIN {17}\r\n",
    "a bare line feed": b"a STARTTLS\nb " + LOGIN + b"\n",
    "authentication": b"a STARTTLS\r\nb AUTHENTICATE PLAIN " + PLAIN + b"\r\n",
    "half an authentication": b"a STARTTLS\r\nb AUTHENTICATE PLAIN\r\n" + PLAIN[:10],
    "before it, too": b"x NOOP\r\ny CAPABILITY\r\na STARTTLS\r\n" + b"b NOOP\r\n" * 100,
    "an overlong line": b"a STARTTLS\r\nb " + b"x" * 20_000,
    "idling": b"a STARTTLS\r\nb IDLE\r\nDONE\r\n",
    "a second one": b"a STARTTLS\r\nb STARTTLS\r\n",
    "the answer to nothing": b"a STARTTLS\r\n" + PLAIN + b"\r\n",
    "octets of no command": b"a STARTTLS\r\n\0\xff\r\n\r\n",
}


@pytest.mark.parametrize("name", IMAP)
def test_imap(world: ImapWorld, name: str) -> None:
    client = Connection(world.port)
    client.line()
    client.send(IMAP[name])
    while not (line := client.line()).startswith(b"a "):
        pass
    assert line == b"a OK Begin TLS negotiation now"
    client.start_tls()
    assert client.pending() == b"", "what was injected is not answered"
    client.send(b"n NOOP\r\ns SELECT INBOX\r\nl " + LOGIN + b"\r\n")
    assert client.line() == b"n OK NOOP completed", "no half of a command was left to join"
    assert client.line().startswith(b"s BAD"), "nobody is logged in"
    assert client.line().startswith(b"l OK")
    client.close()


def test_an_authentication_begun_before_tls_does_not_end_behind_it(world: ImapWorld) -> None:
    client = Connection(world.port)
    client.line()
    client.send(b"a AUTHENTICATE LOGIN\r\n")
    client.line()
    client.send(b"YWxpY2VAZXhhbXBsZS5vcmc=\r\n")  # the name
    client.line()
    client.send(b"b STARTTLS\r\n")  # no password, and no command either
    assert client.line().startswith(b"a BAD")
    client.send(b"c STARTTLS\r\n")
    assert client.line().startswith(b"c OK")
    client.start_tls()
    client.send(b"c2VjcmV0\r\nd SELECT INBOX\r\n")  # the password
    assert b" BAD " in client.line()
    assert client.line().startswith(b"d BAD")
    client.close()


POP3 = {
    "commands": b"STLS\r\nUSER alice@example.org\r\nPASS secret\r\nSTAT\r\n",
    "a name before it": b"USER alice@example.org\r\nSTLS\r\nPASS secret\r\n",
    "half a command": b"STLS\r\nUSER alice@exam",
    "half an authentication": b"STLS\r\nAUTH PLAIN\r\n" + PLAIN[:12],
    "authentication": b"STLS\r\nAUTH PLAIN " + PLAIN + b"\r\n",
    "a line without end": b"STLS\r\n" + b"x" * 60_000,
}


@pytest.mark.parametrize("name", POP3)
def test_pop3(room: Mailroom, name: str) -> None:
    client = Connection(room.pop3_port)
    client.line()
    client.send(POP3[name])
    while (line := client.line()) != b"+OK Begin TLS":
        assert line.startswith(b"+OK")
    client.start_tls()
    assert client.pending() == b""
    client.send(b"PASS secret\r\nSTAT\r\nUSER alice@example.org\r\nPASS secret\r\nQUIT\r\n")
    assert client.line() == b"-ERR USER first.", "a name from before TLS is forgotten"
    assert client.line().startswith(b"-ERR")
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"+OK 0 messages")
    client.close()


def converse_over_tls(client: Connection) -> None:
    client.start_tls()
    client.send(b"n NOOP\r\n")
    client.line()


def test_what_comes_after_the_switch_breaks_the_handshake(world: ImapWorld, room: Mailroom) -> None:
    floods = {
        world.port: (b"a STARTTLS\r\n" + (b"b " + LOGIN + b"\r\nc DELETE INBOX\r\n") * 60_000, b"a OK"),
        room.pop3_port: (b"STLS\r\n" + b"USER alice@example.org\r\nPASS secret\r\n" * 60_000, b"+OK Begin"),
    }
    for port, (flood, answer) in floods.items():
        client = Connection(port)
        try:
            client.line()
            client.send(flood)
            assert client.line().startswith(answer)
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                converse_over_tls(client)
        except ConnectionError:
            pass  # it was cut off before all was sent
        finally:
            client.close()


def test_lmtp_offers_no_tls_and_takes_none(room: Mailroom, tmp_path: Path) -> None:
    peer = Connection(room.lmtp_port)
    peer.send(b"LHLO c\r\nSTARTTLS\r\n")
    lines = []
    while not lines or lines[-1][:3] in (b"220", b"250"):
        lines.append(peer.line())
    assert b"250-STARTTLS" not in lines
    assert lines[-1].startswith(b"500 5.5.1")
    peer.close()
