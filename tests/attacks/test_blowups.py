"""Commands made to take long: they are refused or cut into turns, and others are answered meanwhile."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lightmail.imap.patterns import matches
from lightmail.operations.mailboxes import create
from tests.support.imapworld import ImapWorld
from tests.support.reactor import run
from tests.support.transcript import Connection

MIB = 1 << 20


class Client:
    """An IMAP client that waits for tagged answers."""

    def __init__(self, world: ImapWorld, name: str) -> None:
        self._connection = Connection(world.port)
        self._connection.line()
        assert self.ask(b"LOGIN %b@example.org secret" % name.encode())[-1].startswith(b"t OK")

    def ask(self, command: bytes) -> list[bytes]:
        """The lines of the answer."""
        self._connection.send(b"t " + command + b"\r\n")
        lines = [self._connection.line()]
        while not lines[-1].startswith(b"t "):
            lines.append(self._connection.line())
        return lines

    def append(self, message: bytes, mailbox: bytes = b"INBOX") -> None:
        """Put a message into a mailbox."""
        assert self.ask(b"APPEND %b {%d+}\r\n%b" % (mailbox, len(message), message))[-1].startswith(b"t OK")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    world = ImapWorld(tmp_path_factory.mktemp("imap")).open()
    for name in ("mallory", "alice"):
        world.add_account(f"{name}@example.org", "secret")
    yield world
    world.close()


@pytest.fixture
def mallory(world: ImapWorld) -> Iterator[Client]:
    client = Client(world, "mallory")
    client._connection._socket.settimeout(60)
    yield client
    client.close()


@contextmanager
def others_are_served(world: ImapWorld, most_seconds: float = 1.0) -> Iterator[None]:
    """While this goes on somebody else's NOOPs are answered, each within a moment."""
    alice, took, over = Client(world, "alice"), [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            started = time.monotonic()
            alice.ask(b"NOOP")
            took.append(time.monotonic() - started)
            over.wait(0.002)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        alice.close()
    assert statistics.quantiles(took, n=20)[-1] < most_seconds if len(took) > 1 else took[0] < most_seconds, took
    assert max(took) < 2 * most_seconds, max(took)


# LIST


@pytest.fixture(scope="module")
def long_names(world: ImapWorld) -> None:
    account = world.account("mallory@example.org")
    for number in range(150):
        run(create(world.transactions, account, "/".join(["a" * 48] * 19) + f"/{number:04}"))


PATTERNS = {
    "stars": b"*" + b"a" * 450 + b"*b",
    "percents": b"%" * 1999,
    "stars and percents": b"%*" * 990 + b"b",
    "a star, then percents": b"*" + b"%a" * 900 + b"b",
    "stars between letters": b"*a" * 950 + b"b",
    "levels": b"%/" * 19 + b"*a" * 400 + b"b",
}


@pytest.mark.parametrize("verb", [b"LIST", b"LSUB"])
@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(world: ImapWorld, mallory: Client, long_names: None, name: str, verb: bytes) -> None:
    started = time.process_time()
    with others_are_served(world):
        answer = mallory.ask(b'%b "" "%b"' % (verb, PATTERNS[name]))
    assert answer[-1].startswith(b"t OK"), answer[-1]
    assert time.process_time() - started < 2


def test_a_pattern_that_is_too_long(mallory: Client) -> None:
    assert mallory.ask(b'LIST "%b" "%b"' % (b"a" * 1000, b"%" * 1001))[-1].startswith(b"t NO")


def test_the_time_of_a_pattern_is_that_of_the_name() -> None:
    def seconds(letters: int) -> float:
        name, pattern = "a" * letters, "*a%" * (letters // 2) + "b"
        started = time.process_time()
        for _ in range(20):
            assert not matches(pattern, name)
        return time.process_time() - started

    seconds(1000)
    assert seconds(8000) < 8 * 8 * seconds(1000)  # the bits are longer, too


# SEARCH


@pytest.fixture(scope="module")
def long_mail(world: ImapWorld) -> None:
    client = Client(world, "mallory")
    client.ask(b"CREATE long")
    word = b"Subject: " + b"=?utf-8?q?a=C3=A9?= " * 50_000 + b"\r\n"
    for number in range(4):
        client.append(word + b"X-Number: %d\r\n\r\n" % number + b"aaaaaaaa \r\n" * (2 * MIB // 11), b"long")
    client.close()


SEARCHES = {
    "text": b'TEXT "%b"' % (b"a " * 400),
    "body": b'BODY "%b"' % (b"a" * 800),
    "or nests": b"OR " * 31 + b"BODY zzz " * 32,
    "nots": b"NOT " * 60 + b"TEXT zzz",
    "parentheses": b"(" * 32 + b"TEXT zzz" + b")" * 32,
    "a header of encoded words": b"HEADER Subject zzz HEADER X-Number 1",
    "headers of which one is long": b"NOT HEADER X-Number 9 NOT HEADER Comments z OR HEADER Subject zzz TEXT zzz",
    "overlapping ranges": b" ".join(
        b"%d:*,*:%d," % (n, n) + b",".join(b"%d:%d" % (k, 5000 - k) for k in range(1, 1000)) for n in range(1, 5)
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches(world: ImapWorld, mallory: Client, long_mail: None, name: str) -> None:
    assert mallory.ask(b"EXAMINE long")[-1].startswith(b"t OK")
    with others_are_served(world):
        answer = mallory.ask(b"SEARCH " + SEARCHES[name])
    assert answer[-1].startswith((b"t OK", b"t NO [LIMIT]", b"t BAD")), answer[-1]


@pytest.mark.parametrize("keys", [b"OR " * 5000 + b"ALL", b"NOT " * 5000 + b"ALL", b"(" * 10_000, b"ALL " * 10_000])
def test_searches_beyond_their_bound(mallory: Client, long_mail: None, keys: bytes) -> None:
    assert mallory.ask(b"EXAMINE long")[-1].startswith(b"t OK")
    assert mallory.ask(b"SEARCH " + keys)[-1].startswith((b"t NO [LIMIT]", b"t BAD"))


# FETCH, STATUS, sets


def test_ten_thousand_sections(mallory: Client, long_mail: None) -> None:
    assert mallory.ask(b"EXAMINE long")[-1].startswith(b"t OK")
    few = b" ".join(b"BODY.PEEK[%d]" % number for number in range(1, 4000))
    assert mallory.ask(b"FETCH 1:* (" + few + b")")[-1].startswith(b"t NO [LIMIT]")
    many = b" ".join(b"BODY.PEEK[%d]" % number for number in range(1, 10_001))
    assert mallory.ask(b"FETCH 1:* (" + many + b")")[-1].startswith(b"t BAD")
    deep = b".".join([b"1"] * 20_000)
    assert mallory.ask(b"FETCH 1 BODY.PEEK[" + deep + b"]")[-1].startswith((b"t OK", b"t BAD", b"t NO"))
    fields = b" ".join(b"F%d" % number for number in range(8000))
    assert mallory.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS (" + fields + b")]")[-1].startswith((b"t OK", b"t NO"))


def test_as_many_sections_as_there_may_be(world: ImapWorld, mallory: Client, long_mail: None) -> None:
    assert mallory.ask(b"EXAMINE long")[-1].startswith(b"t OK")
    items = b" ".join(b"BODY.PEEK[]<%d.100000>" % (number * 7) for number in range(60))
    with others_are_served(world):
        answer = mallory.ask(b"FETCH 1:* (" + items + b")")
    assert answer[-1].startswith(b"t OK")


SETS: dict[str, Callable[[], bytes]] = {
    "four thousand ranges over one another": lambda: b",".join(b"%d:%d" % (n, 9000 - n) for n in range(1, 4001)),
    "everything, four thousand times": lambda: b",".join([b"1:*"] * 4000),
    "the largest number": lambda: b",".join([b"4294967295:4294967294"] * 2500),
    "backwards": lambda: b",".join(b"*:%d" % (4000 - n) for n in range(4000)),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("command", [b"UID FETCH %b FLAGS", b"UID SEARCH UID %b", b"UID STORE %b +FLAGS (\\Seen)"])
def test_sequence_sets(world: ImapWorld, mallory: Client, long_mail: None, name: str, command: bytes) -> None:
    assert mallory.ask(b"SELECT long")[-1].startswith(b"t OK")
    started = time.process_time()
    with others_are_served(world):
        answer = mallory.ask(command % SETS[name]())
    assert answer[-1].startswith(b"t OK"), answer[-1]
    assert len(answer) < 20
    assert time.process_time() - started < 2


def test_a_flood_of_status(world: ImapWorld, mallory: Client) -> None:
    flood = b"".join(b"s%d STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)\r\n" % n for n in range(500))
    with others_are_served(world):
        lines = mallory.ask(b"NOOP\r\n" + flood + b"t2 NOOP")
        while not lines[-1].startswith(b"t2 "):
            lines.append(mallory._connection.line())
    assert sum(b"OK STATUS" in line for line in lines) == 500
