"""A client that obeys every untagged response ends with the server's state, whatever several sessions do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection

_EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE")
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_UID = re.compile(rb"UID (\d+)")


class Client:
    """What one client believes of its mailbox: for each sequence number the UID, if known, and the flags, if known."""

    def __init__(self, world: ImapWorld, mailbox: bytes) -> None:
        self.connection = Connection(world.port)
        self.connection.line()
        self.messages: list[tuple[int | None, frozenset[bytes] | None]] = []
        self.command(b"LOGIN alice@example.org secret")
        self.command(b"SELECT " + mailbox)

    def command(self, text: bytes, numbers_hold: bool = False) -> bytes:
        """Run a command and obey what is said; its tagged response."""
        self.connection.send(b"t " + text + b"\r\n")
        while True:
            line = self.connection.line()
            if line.startswith(b"t "):
                assert line.startswith(b"t OK") or b"[EXPUNGEISSUED]" in line, line
                return line
            assert not (numbers_hold and _EXPUNGE.fullmatch(line)), line
            self.obey(line)

    def obey(self, line: bytes) -> None:
        """Believe an untagged response."""
        if match := _EXPUNGE.fullmatch(line):
            del self.messages[int(match[1]) - 1]
        elif match := _EXISTS.fullmatch(line):
            count = int(match[1])
            assert count >= len(self.messages), "EXISTS may not shrink a mailbox"
            self.messages += [(None, None)] * (count - len(self.messages))
        elif match := _FETCH.fullmatch(line):
            position = int(match[1]) - 1
            uid, flags = self.messages[position]
            if told := _UID.search(match[2]):
                assert uid in (None, int(told[1])), "a sequence number means one message"
                uid = int(told[1])
            if told := _FLAGS.search(match[2]):
                flags = frozenset(told[1].split()) - {b"\\Recent"}
            self.messages[position] = (uid, flags)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    directory: Path = tmp_path_factory.mktemp("imap")
    world = ImapWorld(directory).open()
    world.add_account("alice@example.org", "secret")
    yield world
    world.close()


who = st.integers(0, 2)
number = st.integers(1, 6)
flag = st.sampled_from([b"\\Seen", b"\\Deleted", b"$Junk", b"Mine"])
sign = st.sampled_from([b"+", b"-", b""])
actions = st.one_of(
    st.tuples(st.just("append"), who),
    st.tuples(st.just("store"), who, number, sign, flag),
    st.tuples(st.just("uid store"), who, number, sign, flag),
    st.tuples(st.just("expunge"), who),
    st.tuples(st.just("fetch"), who, number),
    st.tuples(st.just("copy"), who, number),
    st.tuples(st.just("noop"), who),
)

_mailboxes = iter(range(1_000_000))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, max_size=25))
def test_obedient_clients_end_with_the_servers_state(world: ImapWorld, script: list[tuple[object, ...]]) -> None:
    mailbox = b"m%d" % next(_mailboxes)
    maker = Client(world, b"INBOX")
    clients = [maker]
    try:
        maker.command(b"CREATE " + mailbox)
        clients += [Client(world, mailbox) for _ in range(3)]
        for action, index, *details in script:
            assert isinstance(index, int)
            act(clients[index + 1], str(action), mailbox, details)
        maker.command(b"SELECT " + mailbox)
        maker.command(b"FETCH 1:* (UID FLAGS)")
        for client in clients[1:]:
            client.command(b"NOOP")
            assert len(client.messages) == len(maker.messages)
            for (uid, flags), truth in zip(client.messages, maker.messages, strict=True):
                assert uid in (None, truth[0])
                assert flags in (None, truth[1])
        for client in clients:
            client.command(b"LOGOUT")
    finally:
        for client in clients:
            client.connection.close()


def act(client: Client, action: str, mailbox: bytes, details: list[object]) -> None:
    """One action of a script, in so far as the client knows of a message to do it to."""
    exists = len(client.messages)
    if action == "append":
        client.command(b"APPEND " + mailbox + b" {16+}\r\nSubject: hello\r\n")
        return
    if action in ("noop", "expunge"):
        client.command(action.upper().encode())
        return
    target = details[0]
    assert isinstance(target, int)
    if action == "uid store":
        client.command(b"UID STORE %d %bFLAGS (%b)" % (target, details[1], details[2]))
    elif target <= exists:
        if action == "store":
            client.command(b"STORE %d %bFLAGS (%b)" % (target, details[1], details[2]), numbers_hold=True)
        elif action == "fetch":
            client.command(b"FETCH %d (UID FLAGS)" % target, numbers_hold=True)
        else:
            client.command(b"COPY %d %b" % (target, mailbox))
