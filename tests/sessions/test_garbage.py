"""A session that has a mailbox selected while the collector is at work there goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.config import GarbageConfig
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.notify.hints import Notifier
from lightmail.operations import retire
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.transactions import Transactions
from lightmail.store import mailboxes
from tests.support.garbagekit import DAY_US
from tests.support.imapworld import ImapWorld, reactor
from tests.support.reactor import run
from tests.support.transcript import Connection


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ImapWorld]:
    opened = ImapWorld(tmp_path, with_tls=False).open()
    opened.add_account("alice@example.org", "secret")
    yield opened
    opened.close()


def until_tagged(connection: Connection, command: bytes, result: bytes = b"OK") -> list[bytes]:
    """The untagged responses to a command, without how many messages are recent."""
    connection.send(b"t " + command + b"\r\n")
    found = [connection.line()]
    while not found[-1].startswith(b"t "):
        found.append(connection.line())
    assert found[-1].startswith(b"t " + result)
    return [line for line in found[:-1] if not line.endswith(b" RECENT")]


@pytest.fixture
def connection(world: ImapWorld) -> Iterator[Connection]:
    opened = Connection(world.port)
    yield opened
    opened.close()


def select(connection: Connection, messages: int) -> None:
    """Log in, add messages to INBOX, and select it."""
    connection.line()
    until_tagged(connection, b"LOGIN alice@example.org secret")
    for number in range(messages):
        until_tagged(connection, b"APPEND INBOX {10+}\r\nSubject: %d" % number)
    until_tagged(connection, b"SELECT INBOX")


def elsewhere(world: ImapWorld) -> tuple[Transactions, Account, MailboxId]:
    """Another process: its hints reach nobody here."""
    account = world.account("alice@example.org")
    inbox = run(world.database.read("inbox", mailboxes.by_name_txn, account.id, "INBOX"))
    assert inbox is not None
    return Transactions(world.database, Notifier(reactor), reactor=reactor), account, inbox.id


def collect(world: ImapWorld, tx: Transactions, days: int) -> None:
    """Do all there is to be done in so many days."""

    async def allowed() -> bool:
        return True

    async def work() -> None:
        made = steps(tx, world.store, world.services.blobs._pool)
        collector = Collector(GarbageConfig(batch_size=2), world.database, made, allowed)
        now_us = reactor.seconds() * 1_000_000 + days * DAY_US
        while (await collector.once(int(now_us), everything=True)).more:
            pass

    run(work())


def test_tombstones_that_went_before_they_were_told_are_told_all_the_same(
    world: ImapWorld, connection: Connection
) -> None:
    select(connection, 6)
    tx, account, inbox = elsewhere(world)
    run(store_flags(tx, account, inbox, [2, 3, 5], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(tx, account, inbox, None))
    run(store_flags(tx, account, inbox, [6], FlagMode.ADD, [b"\\Flagged"]))
    collect(world, tx, 31)
    # The numbers are what they were until the session can be told; what went cannot be read any more.
    assert until_tagged(connection, b"FETCH 6 (UID)")[0] == b"* 6 FETCH (UID 6)"
    assert until_tagged(connection, b"NOOP") == [
        b"* 5 EXPUNGE",
        b"* 3 EXPUNGE",
        b"* 2 EXPUNGE",
        b"* 3 FETCH (UID 6 FLAGS (\\Flagged \\Recent))",
    ]
    assert until_tagged(connection, b"UID SEARCH ALL") == [b"* SEARCH 1 4 6"]
    until_tagged(connection, b"APPEND INBOX {10+}\r\nSubject: 7")
    until_tagged(connection, b"NOOP")
    assert until_tagged(connection, b"UID SEARCH ALL") == [b"* SEARCH 1 4 6 7"]


def test_a_body_that_a_session_still_counts_is_read_until_its_object_is_deleted(
    world: ImapWorld, connection: Connection
) -> None:
    select(connection, 2)
    tx, account, inbox = elsewhere(world)
    run(store_flags(tx, account, inbox, [1], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(tx, account, inbox, None))
    collect(world, tx, 31)
    until_tagged(connection, b"FETCH 1 (FLAGS)")
    collect(world, tx, 33)
    assert until_tagged(connection, b"NOOP") == [b"* 1 EXPUNGE"]
    assert until_tagged(connection, b"FETCH 1 BODY.PEEK[]")[:2] == [
        b"* 1 FETCH (BODY[] {10}",
        b"Subject: 1)",
    ]


def test_a_keyword_that_is_retired_is_no_flag_of_the_mailbox_any_more(world: ImapWorld, connection: Connection) -> None:
    select(connection, 1)
    tx, account, inbox = elsewhere(world)
    words = [b"word-%d" % number for number in range(40)]
    run(store_flags(tx, account, inbox, [1], FlagMode.ADD, words))
    run(store_flags(tx, account, inbox, [1], FlagMode.REPLACE, words[:1]))
    until_tagged(connection, b"NOOP")
    now_us = int(reactor.seconds() * 1_000_000)
    run(retire.look(tx, account.id, inbox, now_us))
    assert run(retire.look(tx, account.id, inbox, now_us + 31 * DAY_US)) == 39
    told = until_tagged(connection, b"NOOP")
    assert told[0].startswith(b"* FLAGS (")
    assert told[0].endswith(b"$MailFlagBit2 word-0)")
    assert told[1].endswith(b"word-0 \\*)] Flags that stay")
    assert len(told) == 2
    assert until_tagged(connection, b"STORE 1 +FLAGS (word-1)")[-1].endswith(b"FLAGS (word-0 word-1 \\Recent))")
