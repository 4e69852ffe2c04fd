r"""Of the sessions that watch a mailbox one is the first to be told of a message, and only that one asks the store."""

from __future__ import annotations

from pathlib import Path

from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection


def idling(world: ImapWorld) -> Connection:
    """A session that waits in IDLE on INBOX."""
    connection = Connection(world.port)
    connection.line()
    for command in (b"LOGIN alice@example.org secret", b"SELECT INBOX"):
        connection.send(b"t " + command + b"\r\n")
        while not connection.line().startswith(b"t OK"):
            pass
    connection.send(b"i IDLE\r\n")
    assert connection.line().startswith(b"+")
    return connection


def heard(connection: Connection) -> tuple[bytes, bytes]:
    return connection.line(), connection.line()


def test_many_who_wait_for_mail_make_one_claim(tmp_path: Path) -> None:
    world = ImapWorld(tmp_path, with_tls=False).open()
    try:
        world.add_account("alice@example.org", "secret")
        postman = idling(world)
        postman.send(b"DONE\r\n")
        postman.line()
        trips: list[int] = []
        watching: list[Connection] = []
        for exists, watchers in ((1, 1), (2, 5)):
            watching += [idling(world) for _ in range(watchers - len(watching))]
            before = world.database.round_trips["recent"]
            postman.send(b"a APPEND Archive {2+}\r\nab\r\nc EXAMINE Archive\r\nc COPY 1 INBOX\r\n")
            told = [heard(connection) for connection in watching]
            assert {first for first, _ in told} == {b"* %d EXISTS" % exists}
            assert sorted(second for _, second in told).count(b"* 0 RECENT") == watchers - 1
            trips.append(world.database.round_trips["recent"] - before)
        assert trips[0] == trips[1] > 0
        for connection in (postman, *watching):
            connection.close()
    finally:
        world.close()
