"""What another process committed shows when the client asks, before any hint or poll has told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightmail.model import FlagMode
from lightmail.notify.hints import Notifier
from lightmail.operations.flags import store_flags
from lightmail.operations.transactions import Transactions
from lightmail.store import mailboxes
from tests.support.imapworld import ImapWorld, reactor
from tests.support.reactor import run
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
