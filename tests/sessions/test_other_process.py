"""What another process committed shows when the client asks, ahead of any hint or poll, and is told under its trace."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import ANY

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from lightmail import traces
from lightmail.logs import format_text
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.notify.hints import Notifier
from lightmail.notify.poll import Poll
from lightmail.operations.append import NewMessage, append
from lightmail.operations.flags import store_flags
from lightmail.operations.transactions import Transactions
from lightmail.store import mailboxes
from tests.support.imapworld import ImapWorld, reactor
from tests.support.reactor import run
from tests.support.storekit import NOW_US, blob
from tests.support.transcript import Connection


def until_tagged(connection: Connection, command: bytes) -> list[bytes]:
    """The untagged responses to a command that succeeds."""
    connection.send(b"t " + command + b"\r\n")
    found = [connection.line()]
    while not found[-1].startswith(b"t "):
        found.append(connection.line())
    assert found[-1].startswith(b"t OK")
    return found[:-1]


@pytest.mark.parametrize("command", [b"NOOP", b"CHECK"])
def test_noop_and_check_ask_the_store(tmp_path: Path, command: bytes) -> None:
    world = ImapWorld(tmp_path, with_tls=False).open()
    try:
        world.add_account("alice@example.org", "secret")
        account = world.account("alice@example.org")
        connection = Connection(world.port)
        connection.line()
        until_tagged(connection, b"LOGIN alice@example.org secret")
        until_tagged(connection, b"APPEND INBOX {2+}\r\nab")
        until_tagged(connection, b"SELECT INBOX")
        inbox = run(world.database.read("inbox", mailboxes.by_name_txn, account.id, "INBOX"))
        assert inbox is not None

        elsewhere = Transactions(world.database, Notifier(reactor), reactor=reactor)
        run(store_flags(elsewhere, account, inbox.id, [1], FlagMode.ADD, [b"\\Flagged"]))

        assert until_tagged(connection, command) == [b"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))"]
        connection.close()
    finally:
        world.close()


def test_idle_tells_under_the_trace_of_what_another_process_brought(tmp_path: Path) -> None:
    world = ImapWorld(tmp_path, with_tls=False).open()
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "lightmail.imap.idle":
            lines.append(format_text(event))

    globalLogPublisher.addObserver(observe)
    try:
        world.add_account("alice@example.org", "secret")
        account = world.account("alice@example.org")
        connection = Connection(world.port)
        connection.line()
        until_tagged(connection, b"LOGIN alice@example.org secret")
        until_tagged(connection, b"SELECT INBOX")
        connection.send(b"i IDLE\r\n")
        assert connection.line().startswith(b"+ ")
        inbox = run(world.database.read("inbox", mailboxes.by_name_txn, account.id, "INBOX"))
        assert inbox is not None

        elsewhere = Transactions(world.database, Notifier(reactor), reactor=reactor)
        poll = Poll(world.notifier, world.services.indexes.modseqs, reactor=reactor)
        for trace, exists in (("4be1c09a77d2.1", 1), ("4be1c09a77d2.2", 2)):
            run(brought(trace, elsewhere, account, inbox.id))
            run(poll.poll_once())
            assert connection.line() == b"* %d EXISTS" % exists
            assert connection.line() == b"* %d RECENT" % exists
        assert [re.findall(r"\[(\w+) ([^]]+)\] told \S+ of (\d) new", line) for line in lines] == [
            [(ANY, "4be1c09a77d2.1", "1")],
            [(ANY, "4be1c09a77d2.2", "1")],
        ]
        connection.close()
    finally:
        globalLogPublisher.removeObserver(observe)
        world.close()


async def brought(trace: str, tx: Transactions, account: Account, mailbox: MailboxId) -> None:
    traces.CURRENT.set(trace)
    await append(tx, account, mailbox, [NewMessage(blob(), (), NOW_US)])
