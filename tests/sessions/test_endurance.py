"""Clients that wait, flood, stall or vanish: each meets its bound, and nothing of them is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lightmail.config import ImapConfig, LimitsConfig
from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection

OpenWorld = Callable[..., ImapWorld]


@pytest.fixture
def open_world(tmp_path: Path) -> Iterator[OpenWorld]:
    worlds: list[ImapWorld] = []

    def make(session_timeout_seconds: int = 1800, max_connections: int = 1000, **limits: int) -> ImapWorld:
        config = replace(ImapConfig(), session_timeout_seconds=session_timeout_seconds, max_connections=max_connections)
        world = ImapWorld(tmp_path, config=config, limits=replace(LimitsConfig(), **limits)).open()
        worlds.append(world)
        world.add_account("alice@example.org", "secret")
        return world

    yield make
    for world in worlds:
        world.close()


def connected(world: ImapWorld) -> Connection:
    connection = Connection(world.port)
    assert connection.line().startswith(b"* OK ")
    return connection


def logged_in(world: ImapWorld) -> Connection:
    connection = connected(world)
    connection.send(b"l LOGIN alice@example.org secret\r\n")
    assert connection.line().startswith(b"l OK ")
    return connection


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what the server does in its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def skip_to(connection: Connection, tag: bytes) -> bytes:
    while True:
        line = connection.line()
        if line.startswith(tag):
            return line


def test_whoever_does_not_log_in_in_time_is_sent_away(open_world: OpenWorld) -> None:
    client = connected(open_world(login_seconds=1))
    client.send(b"a NOOP\r\n")  # activity does not buy time
    assert client.line().startswith(b"a OK")
    assert client.line() == b"* BYE Autologout, idle for too long"
    assert client.at_end()
    client.close()


def test_whoever_is_idle_too_long_is_sent_away_even_in_idle(open_world: OpenWorld) -> None:
    world = open_world(session_timeout_seconds=1)
    quiet, idling = logged_in(world), logged_in(world)
    idling.send(b"a SELECT INBOX\r\nb IDLE\r\n")
    assert skip_to(idling, b"+ ") == b"+ idling"
    for client in (quiet, idling):
        assert client.line() == b"* BYE Autologout, idle for too long"
        assert client.at_end()
        client.close()
    until(lambda: not world.factory.sessions)


def test_a_client_that_does_not_read_holds_little_memory_and_is_cut_off(open_world: OpenWorld) -> None:
    world = open_world(session_timeout_seconds=1)
    client = logged_in(world)
    message = b"Subject: big\r\n\r\n" + b"x" * 1_000_000
    client.send(b"a APPEND INBOX {%d+}\r\n%b\r\nb SELECT INBOX\r\n" % (len(message), message))
    assert skip_to(client, b"b ").startswith(b"b OK")
    (session,) = world.factory.sessions
    client.send(b"".join(b"c%d FETCH 1 BODY.PEEK[]\r\n" % n for n in range(40)))
    until(lambda: session._output.paused)
    transport = session.transport
    held = world.call(lambda: len(transport.dataBuffer) + transport._tempDataLen)
    assert held < 2_000_000
    until(lambda: not world.factory.sessions)
    client.close()


def test_a_client_that_reads_slowly_gets_everything(open_world: OpenWorld) -> None:
    world = open_world()
    client = logged_in(world)
    message = b"Subject: big\r\n\r\n" + b"x" * 1_000_000
    client.send(b"a APPEND INBOX {%d+}\r\n%b\r\nb SELECT INBOX\r\n" % (len(message), message))
    assert skip_to(client, b"b ").startswith(b"b OK")
    (session,) = world.factory.sessions
    client.send(b"c FETCH 1 BODY.PEEK[]\r\n" * 5)
    until(lambda: session._output.paused)
    for _ in range(5):
        assert client.line() == b"* 1 FETCH (BODY[] {%d}" % len(message)
        assert client.octets(len(message) + 3) == message + b")\r\n"
        assert client.line().startswith(b"c OK")
    client.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_what_was_asked_for_before_logout_arrives_whole(open_world: OpenWorld, tls: bool) -> None:
    world = open_world()
    client = connected(world)
    if tls:
        client.send(b"a STARTTLS\r\n")
        assert client.line().startswith(b"a OK")
        client.start_tls()
    client.send(b"l LOGIN alice@example.org secret\r\n")
    message = b"Subject: big\r\n\r\n" + b"x" * 3_000_000
    client.send(b"a APPEND INBOX {%d+}\r\n%b\r\nb SELECT INBOX\r\n" % (len(message), message))
    assert skip_to(client, b"b ").startswith(b"b OK")
    (session,) = world.factory.sessions
    client.send(b"c FETCH 1 BODY.PEEK[]\r\n" * 2 + b"d LOGOUT\r\n")
    until(lambda: session._output.paused)
    for _ in range(2):
        assert client.line() == b"* 1 FETCH (BODY[] {%d}" % len(message)
        assert client.octets(len(message) + 3) == message + b")\r\n"
        assert client.line().startswith(b"c OK")
    assert client.line() == b"* BYE Logging out"
    assert client.line() == b"d OK LOGOUT completed"
    assert client.at_end()
    client.close()


def test_a_flood_of_commands_is_answered_in_order(open_world: OpenWorld) -> None:
    world = open_world()
    client = logged_in(world)
    count = 20_000
    client.send(b"".join(b"n%d NOOP\r\n" % n for n in range(count)) + b"i IDLE\r\n")
    for n in range(count):
        assert client.line() == b"n%d OK NOOP completed" % n
    assert client.line() == b"+ idling"
    client.send(b"DONE\r\n")
    assert client.line() == b"i OK IDLE completed"
    client.close()


def test_an_overlong_line_is_refused_and_not_kept(open_world: OpenWorld) -> None:
    world = open_world()
    client = logged_in(world)
    client.send(b"a SEARCH " + b"x" * 300_000)
    client.send(b"x" * 300_000 + b"\r\nb NOOP\r\n")
    assert client.line() == b"a BAD Line too long"
    assert client.line() == b"b OK NOOP completed"
    client.send(b"c SEARCH OR " + b"ALL " * 15_000 + b"\r\n")
    assert client.line().startswith((b"c BAD", b"c NO [LIMIT]"))
    client.close()


def test_a_message_of_many_megabytes_passes_through_a_file(open_world: OpenWorld) -> None:
    world = open_world()
    client = logged_in(world)
    message = b"Subject: huge\r\n\r\n" + b"0123456789abcdef" * (1 << 18)
    client.send(b"a APPEND INBOX {%d}\r\n" % len(message))
    assert client.line() == b"+ OK"
    client.send(message + b"\r\nb SELECT INBOX\r\nc FETCH 1 RFC822.SIZE\r\n")
    assert client.line().startswith(b"a OK [APPENDUID ")
    assert skip_to(client, b"* 1 FETCH") == b"* 1 FETCH (RFC822.SIZE %d)" % len(message)
    client.close()


def test_a_connection_lost_in_the_middle_of_append_leaves_nothing(open_world: OpenWorld) -> None:
    world = open_world()
    client = logged_in(world)
    client.send(b"a APPEND INBOX {3000000}\r\n")
    assert client.line() == b"+ OK"
    client.send(b"Subject: half\r\n\r\n" + b"x" * 2_000_000)
    client.close()
    until(lambda: not world.factory.sessions)
    until(lambda: world.call(lambda: world.spools._taken) == 0)
    assert world.store.keys("") == []
    other = logged_in(world)
    other.send(b"a STATUS INBOX (MESSAGES UIDNEXT)\r\n")
    assert other.line() == b"* STATUS INBOX (MESSAGES 0 UIDNEXT 1)"
    other.close()


def test_connections_have_bounds_by_address_by_user_and_in_all(open_world: OpenWorld) -> None:
    world = open_world(max_connections=6, connections_per_address_before_login=3, connections_per_user_and_address=2)
    doors = [connected(world) for _ in range(3)]
    refused = Connection(world.port)
    assert refused.line().startswith(b"* BYE [LIMIT] ")
    assert refused.at_end()
    refused.close()
    for client in doors[:2]:
        client.send(b"a LOGIN alice@example.org secret\r\n")
        assert client.line().startswith(b"a OK")
    doors[2].send(b"a LOGIN alice@example.org secret\r\n")
    assert doors[2].line() == b"a NO [LIMIT] Too many connections."
    doors[0].close()
    until(lambda: len(world.factory.sessions) == 2)
    doors[2].send(b"b LOGIN alice@example.org secret\r\n")
    assert doors[2].line().startswith(b"b OK")
    for client in doors[1:]:
        client.close()


def test_stopping_says_goodbye_to_all(open_world: OpenWorld) -> None:
    world = open_world()
    quiet, idling = logged_in(world), logged_in(world)
    idling.send(b"a IDLE\r\n")
    assert idling.line() == b"+ idling"
    world.drain(5)
    for client in (quiet, idling):
        assert client.line() == b"* BYE The server is shutting down"
        assert client.at_end()
        client.close()


def test_without_a_certificate_starttls_is_neither_offered_nor_done(tmp_path: Path) -> None:
    world = ImapWorld(tmp_path, with_tls=False, config=replace(ImapConfig(), tls_only=True)).open()
    try:
        client = Connection(world.port)
        greeting = client.line()
        assert b"STARTTLS" not in greeting
        assert b"LOGINDISABLED" in greeting
        assert b"AUTH=" not in greeting
        client.send(b"a STARTTLS\r\nb LOGIN alice@example.org secret\r\nc AUTHENTICATE PLAIN\r\n")
        assert client.line() == b"a BAD TLS is not available"
        assert client.line() == b"b NO [PRIVACYREQUIRED] Use TLS before you log in."
        assert client.line().startswith(b"c NO [PRIVACYREQUIRED]")
        client.close()
    finally:
        world.close()
