"""What several sessions do to one mailbox, made up by hypothesis, and the law that holds for all of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from hypothesis import strategies as st

from tests.support.obedient import ObedientClient
from tests.support.transcript import Server

ADDRESS, PASSWORD = "alice@example.org", "secret"
CLIENTS = 3

_who = st.integers(0, CLIENTS - 1)
_number = st.integers(1, 6)
_flag = st.sampled_from([b"\\Seen", b"\\Deleted", b"$Junk", b"Mine"])
_sign = st.sampled_from([b"+", b"-", b""])
_actions = st.one_of(
    st.tuples(st.just("append"), _who),
    st.tuples(st.just("store"), _who, _number, _sign, _flag),
    st.tuples(st.just("uid store"), _who, _number, _sign, _flag),
    st.tuples(st.just("expunge"), _who),
    st.tuples(st.just("fetch"), _who, _number),
    st.tuples(st.just("copy"), _who, _number),
    st.tuples(st.just("noop"), _who),
)
# Each is what one client does next: the action, who, and to what.
SCRIPTS = st.lists(_actions, max_size=25)
# With sessions that end and begin again, so that what nobody holds is dropped.
RESTLESS_SCRIPTS = st.lists(
    st.one_of(_actions, st.tuples(st.just("anew"), _who), st.just(("all anew", 0))), max_size=25
)

_mailboxes = count(1)


def converge(server: Server, script: list[tuple[object, ...]]) -> None:
    """Clients that obey every untagged response end with the server's state, whatever they all do.

    The account ADDRESS is there.
    """
    mailbox = b"m%d" % next(_mailboxes)
    maker = _client(server, b"INBOX")
    clients: list[ObedientClient] = []
    try:
        maker.must(b"CREATE " + mailbox)
        clients += [_client(server, mailbox) for _ in range(CLIENTS)]
        for action, index, *details in script:
            assert isinstance(index, int)
            if action in ("anew", "all anew"):
                _begin_anew(server, mailbox, clients, [index] if action == "anew" else range(CLIENTS))
            else:
                _act(clients[index], str(action), mailbox, details)
        maker.must(b"SELECT " + mailbox)
        maker.must(b"FETCH 1:* (UID FLAGS)")
        for client in clients:
            client.must(b"NOOP")
            assert client.agrees_with(maker.messages), (client.messages, maker.messages)
        for client in (maker, *clients):
            client.must(b"LOGOUT")
    finally:
        for client in (maker, *clients):
            client.close()


def _client(server: Server, mailbox: bytes) -> ObedientClient:
    return ObedientClient(server.port, ADDRESS, PASSWORD, mailbox)


def _begin_anew(server: Server, mailbox: bytes, clients: list[ObedientClient], which: Iterable[int]) -> None:
    """End these sessions, all of them before the first begins again."""
    for index in which:
        clients[index].must(b"LOGOUT")
        clients[index].close()
    for index in which:
        clients[index] = _client(server, mailbox)


def _act(client: ObedientClient, action: str, mailbox: bytes, details: list[object]) -> None:
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
