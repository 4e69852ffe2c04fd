"""What commands of a session ask of MariaDB: a handful of round trips, whatever number of messages they are about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.model import MailboxId
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy
from lightmail.store import mailboxes
from tests.support import storekit
from tests.support.imapworld import ImapWorld
from tests.support.mailclients import ImapClient
from tests.support.reactor import run

pytestmark = pytest.mark.mariadb

ADDRESS = "alice@example.org"
FEW, MANY = 1_000, 10_000
HANDFUL = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    directory: Path = tmp_path_factory.mktemp("trips")
    with storekit.fresh_config("mariadb", directory) as rows:
        world = ImapWorld(directory, rows=rows, with_tls=False).open()
        try:
            world.add_account(ADDRESS, "secret")
            fill(world)
            yield world
        finally:
            world.close()


def fill(world: ImapWorld) -> None:
    """FEW messages in INBOX, and MANY in Archive, copies of them."""
    account = world.account(ADDRESS)
    inbox, archive = (mailbox(world, name) for name in ("INBOX", "Archive"))
    run(append(world.transactions, account, inbox, [NewMessage(storekit.blob(), (), 0) for _ in range(FEW)]))
    for _ in range(MANY // FEW):
        run(copy(world.transactions, account, inbox, range(1, FEW + 1), archive))


def mailbox(world: ImapWorld, name: str) -> MailboxId:
    found = run(world.database.read("test", mailboxes.by_name_txn, world.account(ADDRESS).id, name))
    assert found is not None
    return found.id


def trips(world: ImapWorld, client: ImapClient, text: bytes) -> int:
    """The round trips that a command takes, all that the server does for it included."""
    before = sum(world.database.round_trips.values())
    client.expect(text)
    client.expect(b"NOOP")  # what it does after its answer counts, too
    noop = sum(world.database.round_trips.values())
    client.expect(b"NOOP")
    return 2 * noop - before - sum(world.database.round_trips.values())


@pytest.mark.parametrize(("source", "count"), [(b"INBOX", FEW), (b"Archive", MANY)])
def test_many_messages_take_as_many_as_one(world: ImapWorld, source: bytes, count: int) -> None:
    # Every other one is no range: the largest text that such a set makes.
    some = b",".join(b"%d" % number for number in range(1, count, 2))
    commands = [
        b"STORE 1:* +FLAGS.SILENT (\\Flagged)",
        b"STORE %b -FLAGS.SILENT (\\Flagged)" % some,
        b"COPY 1:* Junk",
        b"COPY %b Junk" % some,
    ]
    with ImapClient("127.0.0.1", world.port) as client:
        client.expect(b"LOGIN alice@example.org secret")
        client.expect(b"SELECT " + source)
        took = {text[:20]: trips(world, client, text) for text in commands}
        client.expect(b"SELECT Junk")
        took[b"MOVE"] = trips(world, client, b"MOVE %b Trash" % some)
        client.expect(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        took[b"EXPUNGE"] = trips(world, client, b"EXPUNGE")
    assert max(took.values()) <= HANDFUL, took


def test_a_store_of_one_message_takes_three_at_most(world: ImapWorld) -> None:
    with ImapClient("127.0.0.1", world.port) as client:
        client.expect(b"LOGIN alice@example.org secret")
        client.expect(b"SELECT INBOX")
        for number in range(1, 20):
            for sign in (b"+", b"-", b"+"):
                text = b"STORE %d %bFLAGS (\\Seen \\Answered)" % (number, sign)
                assert trips(world, client, text) <= 3, text
