"""Every order in which the statements of two transactions on one message can meet, on a real MariaDB (P1 to P4, P7).

The laws hold after each order: what was answered is there, once; usage is the sum of live rows; UIDs are below
uidnext and unique; no row that is live or can be undeleted refers to an object that is not LIVE; and since all locks
are taken in one order, no two of them ever ended in a deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

from lightmail.model import Account, MailboxId
from lightmail.operations.append import NewMessage
from lightmail.operations.arrivals import Duplicate, Stored, Unit, arrive_txn
from lightmail.operations.copy import transfer_txn
from lightmail.operations.expunge import expunge_txn
from tests.support.interleaving import Actor, Server, Work, run_schedule, schedules
from tests.support.storekit import NOW_US, Store, blob, fresh_config, open_store

pytestmark = pytest.mark.mariadb

# More orders than any pair of transactions has.
MOST = 20_000
DIGEST = bytes(range(32))


@dataclass
class World:
    """One account with a message, \\Deleted and ready to be copied, and the transactions that may meet over it."""

    store: Store
    server: Server
    account: Account
    source: MailboxId
    target: MailboxId

    def reset(self) -> None:
        """One message with a fresh object in the source, nothing else."""
        for statement in (
            "DELETE FROM messages",
            "DELETE FROM deliveries",
            "DELETE FROM objects",
            "DELETE FROM renderings",
            "DELETE FROM condemned",
            "UPDATE account_usage SET octets = 0, messages = 0",
        ):
            self.store.execute(statement)
        self.store.fill(self.account, "INBOX", [(rb"\Deleted",)])

    def uid(self) -> int:
        """The UID of the one message."""
        return self.store.uids(self.source)[0]

    # --- the transactions ---

    def append(self) -> Work:
        unit = Unit(self.account.id, self.source, [NewMessage(blob(), (), NOW_US)])
        return lambda cursor: arrive_txn(cursor, [[unit]])

    def deliver(self) -> Work:
        """A delivery that another may repeat."""
        unit = Unit(self.account.id, self.source, [NewMessage(blob(), (), NOW_US)], DIGEST)
        return lambda cursor: arrive_txn(cursor, [[unit]])

    def copy(self) -> Work:
        uids = [self.uid()]
        return lambda cursor: transfer_txn(cursor, self.account.id, self.source, uids, self.target, False)

    def move(self) -> Work:
        uids = [self.uid()]
        return lambda cursor: transfer_txn(cursor, self.account.id, self.source, uids, self.target, True)

    def expunge(self) -> Work:
        uids = [self.uid()]
        return lambda cursor: expunge_txn(cursor, self.account.id, self.source, uids, True)

    # --- the laws ---

    def check(self, actors: list[Actor]) -> None:
        """The laws, and that every answer is true."""
        there = {mailbox: self.store.uids(mailbox) for mailbox in (self.source, self.target)}
        delivered = [actor.value[0][0] for actor in actors if actor.name == "deliver"]
        assert sum(isinstance(answer, Stored) for answer in delivered) <= 1
        assert all(isinstance(answer, Stored | Duplicate) for answer in delivered)
        for actor in actors:
            assert "deadlock" not in actor.conflicts
            if actor.name in ("append", "deliver") and isinstance(actor.value[0][0], Stored):
                assert set(actor.value[0][0].uids) <= set(there[self.source])
            elif actor.name in ("copy", "move"):
                assert set(actor.value.uids) <= set(there[self.target])
            if actor.name in ("move", "expunge"):
                gone = actor.value.source_uids if actor.name == "move" else actor.value.uids
                assert not set(gone) & set(there[self.source])
        octets, messages = self.store.usage(self.account)
        alive = sum(map(len, there.values()))
        assert (octets, messages) == (1000 * alive, alive)
        assert (
            self.store.count(
                "SELECT COUNT(*) FROM messages m JOIN mailboxes b ON b.id = m.mailbox"
                " WHERE m.uid >= b.uidnext OR m.modseq > b.highest_modseq"
            )
            == 0
        )
        assert (
            self.store.count(
                "SELECT COUNT(*) FROM messages m LEFT JOIN objects o ON o.id = m.object"
                " WHERE m.object IS NOT NULL AND COALESCE(o.state, 0) <> 1"
            )
            == 0
        )


KINDS = ("append", "deliver", "copy", "move", "expunge")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("interleavings")
    with fresh_config("mariadb", directory) as config, open_store(config) as store:
        account = store.account()
        server = Server(config, 3)
        try:
            yield World(store, server, account, store.mailbox(account).id, store.mailbox(account, "Archive").id)
        finally:
            server.close()


def scenario(world: World, kinds: tuple[str, ...]) -> Callable[[Callable[[list[int]], int]], None]:
    def run(choose: Callable[[list[int]], int]) -> None:
        world.reset()
        actors = [Actor(kind, getattr(world, kind)()) for kind in kinds]
        run_schedule(world.server, actors, choose)
        world.check(actors)

    return run


@pytest.mark.parametrize("kinds", list(combinations_with_replacement(KINDS, 2)), ids="-".join)
def test_every_order_of_two(world, kinds):
    orders = list(schedules(scenario(world, kinds), MOST))
    assert len(orders) > 1
    print(len(orders), "orders")
