"""Mailbox names like paths, names that look like INBOX, and NUL and 8-bit in every argument of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.config import LimitsConfig, StorageConfig
from lightmail.imap import mutf7
from lightmail.imap.table import COMMANDS
from lightmail.objects.backends import open_store
from tests.support.imapworld import ImapWorld
from tests.support.mailroom import Mailroom
from tests.support.transcript import Connection

KEY = re.compile(r"emails/[0-9a-f]{2}/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\.eml\.zst")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def world(place: Path) -> Iterator[ImapWorld]:
    store = open_store(StorageConfig(driver="directory", path=str(place / "objects")), None)
    store.check()
    (place / "rows").mkdir()
    limits = LimitsConfig(bad_commands=100_000, bad_commands_before_login=100_000)
    world = ImapWorld(place / "rows", store=store, limits=limits).open()
    world.add_account("alice@example.org", "secret")
    yield world
    world.close()


@pytest.fixture
def client(world: ImapWorld) -> Iterator[Connection]:
    client = Connection(world.port)
    client.line()
    assert ask(client, b"LOGIN alice@example.org secret")[-1].startswith(b"t OK")
    yield client
    client.close()


def ask(client: Connection, command: bytes) -> list[bytes]:
    client.send(b"t " + command + b"\r\n")
    lines = [client.line()]
    while not lines[-1].startswith((b"t ", b"* BYE")):
        lines.append(client.line())
    return lines


def literal(octets: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(octets), octets)


PATHS = [
    "...",
    "..a/b..",
    "~root",
    "~/x",
    "C:\\x",
    "..\\..\\x",
    "con",
    "..;x",
    "a.lock",
    ".hidden",
    "emails/00/x.eml.zst",
    "meta/epoch",
    "journal/1",
    "-rf",
    "|id",
    "$(id)",
    "`id`",
]
REFUSED = [
    "../../etc/passwd",
    "%2e%2e%2fx",
    "a*",
    "..",
    ".",
    "a/../b",
    "./a",
    "/",
    "//",
    "a//b",
    "/etc/passwd",
    "a//",
    "",
    "a\0b",
    "a\r\nb",
    "a\nb",
    "\x7f",
    "\x1b[2J",
    "\u2028",
    "\u202e",
]
REFUSED += ["/".join("a" * 21), "x" * 1001, "\u00e9" * 501]


def test_paths_are_names(world: ImapWorld, client: Connection, place: Path) -> None:
    outside = set(place.rglob("*"))
    for name in PATHS:
        wire = literal(mutf7.encode(name))
        assert ask(client, b"CREATE " + wire)[-1].startswith(b"t OK"), name
        assert ask(client, b"APPEND " + wire + b" {18+}\r\nSubject: hi\r\n\r\nhi\r\n")[-1].startswith(b"t OK"), name
        assert ask(client, b"EXAMINE " + wire)[-1].startswith(b"t OK"), name
        assert ask(client, b"UNSELECT")[-1].startswith(b"t OK"), name
        assert ask(client, b"SUBSCRIBE " + wire)[-1].startswith(b"t OK"), name
        assert ask(client, b"RENAME " + wire + b" " + literal(mutf7.encode("r-" + name)))[-1].startswith(b"t OK"), name
        assert ask(client, b"DELETE " + literal(mutf7.encode("r-" + name)))[-1].startswith(b"t OK"), name
    made = {path.relative_to(place / "objects") for path in set(place.rglob("*")) - outside if path.is_file()}
    assert len(made) == len(PATHS)
    assert all(KEY.fullmatch(str(path)) for path in made), made
    assert not Path(world.directory, "etc").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_name_is_refused(client: Connection, name: str) -> None:
    for verb in (b"CREATE", b"SUBSCRIBE", b"RENAME INBOX", b"APPEND", b"SELECT", b"STATUS", b"DELETE"):
        more = {b"APPEND": b" {1+}\r\nx", b"STATUS": b" (MESSAGES)"}.get(verb, b"")
        for wire in (literal(mutf7.encode(name)), literal(name.encode())):
            if verb == b"SUBSCRIBE" and name == "a//":
                continue
            assert ask(client, verb + b" " + wire + more)[-1].startswith((b"t NO", b"t BAD")), verb


SPELLINGS = {
    b"INBOX&-": "other",  # an ampersand more
    b"&AEkATgBCAE8AWA-": None,  # printable ASCII may not be encoded
    b"a&AC8-b": None,  # nor may a slash
    b"&AC8-": None,
    b"&AAAALw-": None,
    b"IN&AEI-OX": None,
    b"&AAA-": None,  # NUL
    b"&AA0ACg-": None,  # CR LF
    b"&3OzYPQ-": None,  # surrogates the wrong way round
    b"&2D0-": None,  # half of one
    b"&": None,
    b"&AOk": None,
    b"&AOk=-": None,
    b"&AOl-": None,  # stray bits
    b"&AOk-&AOk-": None,
    b"caf\xc3\xa9": None,
    b"\xff": None,
    b"&BBgNQg-BOX": "other",
    b"&BEYETgQx-": "other",
    b"&AckArg-": "other",
    b"&ATEAbgBi-": None,
    b"&ATE-NBOX": "other",  # a dotless i
    b"&ATA-NBOX": "other",  # and a dotted one: in no locale is that INBOX
    b"I&AU4-BOX": "other",
    b"&ISA-NBOX": "other",
    b"&,yn,Lv8i,y,,OA-": "other",  # full width
    b"INBOX&IAs-": None,  # a zero-width space does not print
    b"INBOX ": "other",
    b" INBOX": "other",
    b"inbox": "INBOX",
    b"iNbOx": "INBOX",
    b"inBOX/x": "INBOX/x",
}


@pytest.mark.parametrize("wire", SPELLINGS)
def test_only_inbox_is_inbox_and_each_name_has_one_spelling(client: Connection, wire: bytes) -> None:
    expected = SPELLINGS[wire]
    if expected == "INBOX":
        assert ask(client, b"SELECT " + literal(wire))[-1].startswith(b"t OK")
        return
    status = b"STATUS %b (UIDVALIDITY)"
    assert ask(client, status % literal(wire))[-1].startswith((b"t NO", b"t BAD"))
    created = ask(client, b"CREATE " + literal(wire))[-1]
    assert created.startswith(b"t OK" if expected else b"t NO"), created
    if expected:
        inbox, own = ask(client, status % b"INBOX")[0], ask(client, status % literal(wire))[0]
        assert own.split()[-1] != inbox.split()[-1], "a mailbox of its own"
        assert ask(client, b"DELETE " + literal(wire))[-1].startswith(b"t OK")


# NUL and 8-bit

OCTETS = [b"\0", b"a\0b", b"\x80", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\x1b[2J"]
_WAITING = {b"IDLE", b"LOGOUT", b"STARTTLS", b"AUTHENTICATE"}
ARGUMENTS = {
    b"APPEND": [b"INBOX", b"(\\Seen)", b'" 1-Jan-2024 00:00:00 +0000"', b"{1+}\r\nx"],
    b"FETCH": [b"1", b"BODY.PEEK[HEADER.FIELDS (X)]"],
    b"SEARCH": [b"HEADER", b"X", b"y"],
    b"STORE": [b"1", b"+FLAGS", b"(x)"],
    b"COPY": [b"1", b"INBOX"],
    b"MOVE": [b"1", b"INBOX"],
    b"STATUS": [b"INBOX", b"(MESSAGES)"],
    b"LIST": [b'""', b"*"],
    b"ID": [b'("name"', b'"x")'],
}


@pytest.mark.parametrize("verb", sorted(COMMANDS.keys() - _WAITING))
def test_every_argument_of_every_command(world: ImapWorld, client: Connection, verb: bytes) -> None:
    ask(client, b"SELECT INBOX")
    given = ARGUMENTS.get(verb.removeprefix(b"UID "), [b"INBOX", b"x"])
    for octets in OCTETS:
        for place in range(len(given)):
            for wire in (octets, b'"' + octets + b'"', literal(octets), given[place] + octets):
                line = b" ".join([verb, *given[:place], wire, *given[place + 1 :]])
                if b"\r\n" in line and line.endswith(b"}"):
                    continue
                lines = ask(client, line)
                assert lines[-1].startswith((b"t OK", b"t NO", b"t BAD")), (line, lines)
                assert b"SERVERBUG" not in lines[-1], (line, lines)
                assert b"\0" not in b"".join(lines)
    assert ask(client, b"NOOP")[-1].startswith(b"t OK")


@pytest.mark.parametrize("octets", [*OCTETS, b"\xe2\x80\xae", b"' OR 1=1", b"%s", b"\\", b"{3}"])
def test_names_and_passwords(world: ImapWorld, octets: bytes) -> None:
    client = Connection(world.port)
    client.line()
    for name, password in ((octets, b"x"), (b"alice@example.org", octets), (octets, octets)):
        lines = ask(client, b"LOGIN %b %b" % (literal(name), literal(password)))
        expected = b"t BAD" if b"\0" in name + password else b"t NO [AUTHENTICATIONFAILED]"
        assert lines[-1].startswith(expected), lines
        if lines[-1].startswith(b"t NO"):
            world.services.authenticator._slowdown._pairs._records.clear()
            world.services.authenticator._slowdown._addresses._records.clear()
    client.close()


@pytest.mark.parametrize("octets", [*OCTETS, b"\r", b"\n", b"a\r\x00\n"])
def test_the_other_protocols(tmp_path: Path, octets: bytes) -> None:
    limits = LimitsConfig(bad_commands=1000, bad_commands_before_login=1000)
    room = Mailroom(tmp_path, limits=limits).open()
    try:
        room.add_account("ann@example.org", "secret")
        peer = Connection(room.lmtp_port)
        lines = [b"LHLO %b", b"MAIL FROM:<%b>", b"MAIL FROM:<a@b> SIZE=%b", b"RCPT TO:<%b@example.org>", b"VRFY %b"]
        lines += [b"BODY=%b", b"%b", b"NOOP %b", b"RCPT TO:<ann@example.org> %b"]
        peer.line()
        for line in lines:
            peer.send(line % octets + b"\r\n")
            while (answer := peer.line())[3:4] == b"-":
                pass
            assert answer[:1] in (b"2", b"5"), (line, answer)
            assert b"Internal" not in answer
            peer.send(b"RSET\r\n")
            assert peer.line().startswith(b"250")
        peer.close()
        peer = Connection(room.pop3_port)
        peer.line()
        lines = [b"USER %b", b"PASS %b", b"AUTH PLAIN %b", b"%b", b"STLS %b", *([b"AUTH %b"] if octets.strip() else [])]
        for line in lines:
            peer.send(line % octets + b"\r\n")
            answer = peer.line()
            if answer == b"+ ":  # asks for what it took for no argument
                peer.send(b"*\r\n")
                answer = peer.line()
            assert answer.startswith((b"-ERR", b"+OK")), (line, answer)
            assert b"Internal" not in answer
        peer.close()
        assert room.objects() == []
    finally:
        room.close()
