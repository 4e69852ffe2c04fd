"""What an administrator does to a mailbox shows in the sessions that have it open, as what any other client does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.model import Account, Mailbox, MessageId
from lightmail.operations import admin_mailboxes, admin_messages
from lightmail.store import mailboxes, messages
from tests.support.actors import OPERATOR
from tests.support.imapworld import ImapWorld
from tests.support.reactor import run
from tests.support.transcript import Connection


class Watched:
    """A session that idles in INBOX, in which there are two messages."""

    def __init__(self, world: ImapWorld) -> None:
        self.world = world
        world.add_account("alice@example.org", "secret")
        self.account: Account = world.account("alice@example.org")
        self.connection = Connection(world.port)
        self.connection.line()
        self.command(b"LOGIN alice@example.org secret")
        for flags in (b"", b" (\\Seen $work)"):
            self.command(b"APPEND INBOX" + flags + b" {2+}\r\nab")
        self.command(b"SELECT INBOX")
        self.idle()

    def command(self, command: bytes) -> list[bytes]:
        """The untagged responses to a command that succeeds."""
        self.connection.send(b"t " + command + b"\r\n")
        found = [self.connection.line()]
        while not found[-1].startswith(b"t "):
            found.append(self.connection.line())
        assert found[-1].startswith(b"t OK"), found
        return found[:-1]

    def idle(self) -> None:
        self.connection.send(b"i IDLE\r\n")
        assert self.connection.line().startswith(b"+ ")

    def heard(self) -> bytes:
        """The next that IDLE tells, but for what is recent."""
        line: bytes = self.connection.line()
        return self.heard() if line.endswith(b" RECENT") else line

    def done(self) -> None:
        """End IDLE."""
        self.connection.send(b"DONE\r\n")
        while not self.connection.line().startswith(b"i OK"):
            pass

    def mailbox(self, name: str = "INBOX") -> Mailbox:
        found = run(self.world.database.read("test", mailboxes.by_name_txn, self.account.id, name))
        assert found is not None
        return found

    def ids(self, name: str = "INBOX") -> list[MessageId]:
        rows = run(self.world.database.read("test", messages.all_txn, self.mailbox(name).id)).rows
        return [MessageId(row[0]) for row in rows]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    world = ImapWorld(tmp_path, with_tls=False).open()
    try:
        watched = Watched(world)
        yield watched
        watched.connection.close()
    finally:
        world.close()


def test_a_deletion_and_its_undoing(watched: Watched) -> None:
    tx = watched.world.transactions
    first, second = watched.ids()
    run(admin_messages.delete(tx, OPERATOR, first))
    assert watched.heard() == b"* 1 EXPUNGE"
    run(admin_messages.restore(tx, OPERATOR, first))
    assert watched.heard() == b"* 2 EXISTS"
    watched.done()
    fetched = watched.command(b"UID FETCH 1:* (FLAGS)")
    assert [line.split(b" FLAGS")[0] for line in fetched] == [b"* 1 FETCH (UID 2", b"* 2 FETCH (UID 3"]
    assert second in watched.ids()


def test_a_copy_and_a_move(watched: Watched) -> None:
    tx = watched.world.transactions
    _, second = watched.ids()
    inbox, archive = watched.mailbox().id, watched.mailbox("Archive").id
    moved = run(admin_messages.move(tx, OPERATOR, second, archive))
    assert watched.heard() == b"* 2 EXPUNGE"
    run(admin_messages.copy(tx, OPERATOR, moved.id, inbox))
    assert watched.heard() == b"* 2 EXISTS"
    watched.done()
    (fetched,) = watched.command(b"FETCH 2 (FLAGS)")
    assert b"\\Seen" in fetched
    assert b"$work" in fetched


def test_mailboxes_come_and_go(watched: Watched) -> None:
    tx = watched.world.transactions
    watched.done()
    made = run(admin_mailboxes.add(tx, OPERATOR, watched.account.id, "Work/2026"))
    listed = watched.command(b'LIST "" Work*')
    assert [line.rpartition(b" ")[2] for line in listed] == [b"Work", b"Work/2026"]
    watched.command(b"SELECT Work/2026")
    run(admin_mailboxes.delete(tx, OPERATOR, made))
    assert [line.rpartition(b" ")[2] for line in watched.command(b'LIST "" Work%')] == [b"Work"]
