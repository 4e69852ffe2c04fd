"""A client that obeys every untagged response ends with the server's state, whatever several sessions do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.imapworld import ImapWorld
from tests.support.obedient import ObedientClient


def client_of(world: ImapWorld, mailbox: bytes) -> ObedientClient:
    return ObedientClient(world.port, "alice@example.org", "secret", mailbox)


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
    maker = client_of(world, b"INBOX")
    clients = [maker]
    try:
        maker.must(b"CREATE " + mailbox)
        clients += [client_of(world, mailbox) for _ in range(3)]
        for action, index, *details in script:
            assert isinstance(index, int)
            act(clients[index + 1], str(action), mailbox, details)
        maker.must(b"SELECT " + mailbox)
        maker.must(b"FETCH 1:* (UID FLAGS)")
        for client in clients[1:]:
            client.must(b"NOOP")
            assert client.agrees_with(maker.messages), (client.messages, maker.messages)
        for client in clients:
            client.must(b"LOGOUT")
    finally:
        for client in clients:
            client.close()


def act(client: ObedientClient, action: str, mailbox: bytes, details: list[object]) -> None:
    """One action of a script, in so far as the client knows of a message to do it to."""
    exists = len(client.messages)
    if action == "append":
        client.must(b"APPEND " + mailbox + b" {16+}\r\nSubject: hello\r\n")
        return
    if action in ("noop", "expunge"):
        client.must(action.upper().encode())
        return
    target = details[0]
    assert isinstance(target, int)
    if action == "uid store":
        client.must(b"UID STORE %d %bFLAGS (%b)" % (target, details[1], details[2]))
    elif target <= exists:
        if action == "store":
            client.must(b"STORE %d %bFLAGS (%b)" % (target, details[1], details[2]), numbers_hold=True)
        elif action == "fetch":
            client.must(b"FETCH %d (UID FLAGS)" % target, numbers_hold=True)
        else:
            client.must(b"COPY %d %b" % (target, mailbox))
