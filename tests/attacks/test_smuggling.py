"""SMTP smuggling: whatever a body holds, one message stays one message, and nothing of it is run as commands."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import postfix
from tests.integration.postfix import Postfix
from tests.integration.servers import HOST, MailServer
from tests.support.mailroom import Mailroom
from tests.support.transcript import Connection

# Every way to write "end of data" that some server takes for it, but CRLF.CRLF.
ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\x00\n.\r\n",
    b"\n\x00.\n",
    b"\r\n.\x00",
    b"\r\n .\r\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\r\n.\x0b\r\n",
    b"\x85.\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n\xef\xbc\x8e\r\n",
    b"\r\n..\r\n",
    b"\r\n.\\r\\n",
]
SMUGGLED = (
    b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n"
    b"RSET\r\nQUIT\r\n"
)


def message(end: bytes) -> bytes:
    return b"Subject: outer\r\n\r\nbefore" + end + SMUGGLED


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    room = Mailroom(tmp_path_factory.mktemp("room")).open()
    room.add_account("ann@example.org", "secret")
    room.add_account("bob@example.org", "secret")
    yield room
    room.close()


def sender_of(room: Mailroom) -> Connection:
    peer = Connection(room.lmtp_port)
    peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n")
    while not peer.line().startswith(b"250 2.1.5"):
        pass
    return peer


def stored(room: Mailroom) -> bytes:
    """The newest message of Ann, without the fields in front of it; Bob has none."""
    assert room.mail("bob@example.org") == []
    newest = room.mail("ann@example.org")[-1]
    return newest[newest.index(b"Subject: outer") :]


@pytest.mark.parametrize("packets", ["one", "split", "octets"])
@pytest.mark.parametrize("end", ENDS)
def test_data_ends_at_its_end_only(room: Mailroom, end: bytes, packets: str) -> None:
    before = len(room.mail("ann@example.org"))
    peer = sender_of(room)
    peer.send(b"DATA\r\n")
    assert peer.line().startswith(b"354")
    sent = message(end) + b".\r\nNOOP\r\nQUIT\r\n"
    at = sent.index(end)
    cuts = {"one": [], "split": [at + 1, at + len(end) - 1], "octets": list(range(at - 1, at + len(end) + 3))}[packets]
    for start, stop in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        peer.send(sent[start:stop])
        if cuts:
            time.sleep(0.001)  # a packet of its own, most times
    assert peer.line().startswith(b"250 2.0.0 Delivered")
    assert peer.line() == b"250 2.0.0 OK"
    assert peer.line().startswith(b"221")
    assert peer.at_end()
    peer.close()
    assert len(room.mail("ann@example.org")) == before + 1
    assert stored(room) == message(end).replace(b"\r\n.", b"\r\n")


@pytest.mark.parametrize("end", [b"\r\n.\r\n", *ENDS])
def test_chunks_end_at_their_octets_only(room: Mailroom, end: bytes) -> None:
    before = len(room.mail("ann@example.org"))
    peer = sender_of(room)
    whole = message(end)
    half = whole.index(end) + len(end) // 2
    first, last = whole[:half], whole[half:]
    peer.send(b"BDAT %d\r\n%bBDAT %d LAST\r\n%bNOOP\r\nQUIT\r\n" % (len(first), first, len(last), last))
    replies = [peer.line() for _ in range(4)]
    assert [reply[:9] for reply in replies] == [b"250 2.0.0", b"250 2.0.0", b"250 2.0.0", b"221 2.0.0"]
    peer.close()
    assert len(room.mail("ann@example.org")) == before + 1
    assert stored(room) == whole


@pytest.mark.parametrize("sizes", [b"10 LAST extra", b"-1 LAST", b"0x10", b"1e3", b"", b"+5", b"5,5", b"9" * 30])
def test_a_chunk_of_no_known_size_ends_the_connection(room: Mailroom, sizes: bytes) -> None:
    peer = sender_of(room)
    peer.send(b"BDAT " + sizes + b"\r\n" + SMUGGLED)
    assert peer.line()[:3] in (b"501", b"552")
    assert peer.at_end()
    peer.close()
    assert room.mail("bob@example.org") == []


# Through a real Postfix, whose own answer to bare line ends depends on its version and configuration


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="lm-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[MailServer]:
    why = postfix.missing()
    if why is not None:
        pytest.skip(why)
    server = MailServer(place)
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    for name in ("ann", "bob"):
        server.account(f"{name}@example.org")
    server.start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def relay(server: MailServer, place: Path) -> Iterator[Postfix]:
    relay = Postfix(place / "postfix", server.socket)
    relay.start()
    yield relay
    relay.stop()


def submit(relay: Postfix, number: int, end: bytes) -> str:
    """Hand a message to Postfix as its attacker would; its answer to the whole of it."""
    with socket.create_connection((HOST, relay.port), timeout=30) as peer, peer.makefile("rb") as answers:

        def ask(line: bytes) -> bytes:
            peer.sendall(line)
            while (answer := answers.readline())[3:4] == b"-":
                pass
            return answer

        ask(b"")
        ask(b"EHLO attacker.example.net\r\n")
        ask(b"MAIL FROM:<sender@example.net>\r\n")
        ask(b"RCPT TO:<ann@example.org>\r\n")
        assert ask(b"DATA\r\n").startswith(b"354")
        inner = SMUGGLED.replace(b"smuggled", b"smuggled %d" % number)
        return ask(b"Subject: outer %d\r\n\r\nbefore" % number + end + inner + b"\r\n.\r\n").decode()


def inbox(server: MailServer, name: str) -> list[bytes]:
    client = Connection(server.imap)
    client.line()
    client.send(b"a LOGIN %b@example.org secret\r\nb EXAMINE INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n" % name.encode())
    found = []
    while not (line := client.line()).startswith(b"c "):
        size = re.search(rb"BODY\[\] \{(\d+)\}$", line)
        if size:
            found.append(client.octets(int(size[1])))
    client.close()
    return found


def test_what_postfix_took_for_one_message_is_one_message(server: MailServer, relay: Postfix) -> None:
    """Whether Postfix refuses, repairs or divides (it may take a bare LF for an end), LightMail stores what it took."""
    taken, refused = [], []
    for number, end in enumerate(ENDS):
        (taken if submit(relay, number, end).startswith("250") else refused).append(number)
    relay.send("sender@example.net", ["ann@example.org"], b"Subject: the last\r\n\r\n")
    deadline = time.monotonic() + 30
    while True:
        ann, bob = inbox(server, "ann"), inbox(server, "bob")
        made = re.findall(r"qmgr\[\d+\]: \w+: from=<(.*?)>.*\(queue active\)", relay.log())
        arrived = any(b"Subject: the last" in each for each in ann) and "@" not in relay.queued()
        if arrived and len(ann) + len(bob) == len(made):  # its log is written a little later
            break
        assert time.monotonic() < deadline, (len(ann), len(bob), made)
        time.sleep(0.1)
    for number in taken:
        assert sum(b"Subject: outer %d\r\n" % number in each for each in ann) == 1
    # A message for Bob is one that Postfix itself had made, by its own reading: never one that LightMail made.
    assert len(bob) == made.count("evil@example.com")
    print(f"Postfix took {len(taken)} of {len(ENDS)}, refused {refused}, divided {len(bob)}")
