"""STORE, EXPUNGE and MOVE whose outcome cannot be told at once: what is committed is answered OK, and told later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from lightmail.errors import Unavailable
from lightmail.model import FlagMode
from lightmail.notify.hints import Notifier
from lightmail.operations.flags import store_flags
from lightmail.operations.transactions import Transactions
from lightmail.store import mailboxes
from lightmail.store.database import Database
from tests.support.imapworld import ImapWorld
from tests.support.reactor import run
from tests.support.transcript import Connection


class TroubledReads:
    """What the indexes read through: a database whose reads can be told to fail."""

    def __init__(self) -> None:
        self.down = False

    def over(self, database: Database) -> TroubledReads:
        self._database = database
        return self

    async def read(self, name: str, fn: Callable[..., Any], *args: Any) -> Any:
        if self.down:
            raise Unavailable
        return await self._database.read(name, fn, *args)


@pytest.fixture
def reads() -> TroubledReads:
    return TroubledReads()


@pytest.fixture
def world(tmp_path: Path, reads: TroubledReads) -> Iterator[ImapWorld]:
    world = ImapWorld(tmp_path, with_tls=False, index_reads=reads.over).open()
    try:
        world.add_account("alice@example.org", "secret")
        yield world
    finally:
        world.close()


@pytest.fixture
def connection(world: ImapWorld) -> Iterator[Connection]:
    connection = Connection(world.port)
    yield connection
    connection.close()


def lines(connection: Connection, command: bytes) -> list[bytes]:
    """The response to a command, the tagged line last and without its text."""
    connection.send(b"t " + command + b"\r\n")
    found = [connection.line()]
    while not found[-1].startswith(b"t "):
        found.append(connection.line())
    return [*found[:-1], b" ".join(found[-1].split()[:2])]


def opened(connection: Connection) -> None:
    """Log in, and select a mailbox with one message, which is to be deleted."""
    connection.line()
    lines(connection, b"LOGIN alice@example.org secret")
    lines(connection, b"APPEND INBOX (\\Deleted) {3+}\r\nx\r\n")
    lines(connection, b"SELECT INBOX")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"STORE 1 +FLAGS (\\Seen)", [b"* 1 FETCH (FLAGS (\\Seen \\Deleted \\Recent))"]),
        (b"EXPUNGE", [b"* 1 EXPUNGE", b"* 0 RECENT"]),
        (b"UID MOVE 1 Trash", [b"* OK [COPYUID", b"* 1 EXPUNGE", b"* 0 RECENT"]),
    ],
)
def test_what_a_session_does_itself_is_told_without_reading_it(
    connection: Connection, reads: TroubledReads, command: bytes, told: list[bytes]
) -> None:
    opened(connection)
    reads.down = True
    *answer, tagged = lines(connection, command)
    assert tagged == b"t OK"
    assert len(answer) == len(told)
    assert all(line.startswith(start) for line, start in zip(answer, told, strict=True))
    reads.down = False
    assert lines(connection, b"NOOP") == [b"t OK"]


@pytest.mark.parametrize(
    ("command", "told", "later"),
    [
        (b"STORE 1 +FLAGS (\\Seen)", 0, [b"* 1 FETCH (UID 1 FLAGS (\\Seen \\Answered \\Deleted \\Recent))"]),
        (b"EXPUNGE", 0, [b"* 1 EXPUNGE", b"* 0 RECENT"]),
        (b"UID MOVE 1 Trash", 1, [b"* 1 EXPUNGE", b"* 0 RECENT"]),
    ],
)
def test_what_is_committed_is_answered_ok(
    world: ImapWorld, connection: Connection, reads: TroubledReads, command: bytes, told: int, later: list[bytes]
) -> None:
    """What another process has changed before it must be read first, and cannot be just now."""
    opened(connection)
    reads.down = True
    account = world.account("alice@example.org")
    inbox = run(world.database.read("test", mailboxes.by_name_txn, account.id, "INBOX"))
    assert inbox is not None
    elsewhere = Transactions(world.database, Notifier(reactor), reactor=reactor)
    run(store_flags(elsewhere, account, inbox.id, [1], FlagMode.ADD, [b"\\Answered"]))
    answer = lines(connection, command)
    assert (len(answer), answer[-1]) == (told + 1, b"t OK")  # all that is told is COPYUID
    assert lines(connection, b"NOOP") == [b"t OK"]
    reads.down = False
    assert lines(connection, b"NOOP") == [*later, b"t OK"]
