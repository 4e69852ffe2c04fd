"""Every order in which the statements of transactions on one object can meet, on a real MariaDB (P1 to P4, P6, P7).

The object has two references: a live message (or its tombstone), and the tombstone of a copy of it, which can be
restored and is old enough to be purged. After each order the laws hold: what was answered is there, once; usage is
the sum of live rows; UIDs and MODSEQs are below the mailbox's; no row that is live or can be undeleted refers to an
object that is not LIVE; an object that nothing refers to is condemned; and since all locks are taken in one order,
nothing ever ended in a deadlock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from lightmail.errors import MailError
from lightmail.model import Account, FlagMode, MailboxId, ObjectId, ObjectState
from lightmail.objects.keys import new_key
from lightmail.operations.append import NewMessage
from lightmail.operations.arrivals import Duplicate, Stored, Unit, arrive_txn
from lightmail.operations.collect import condemn_txn, last_look_txn, orphan, quarantine_txn
from lightmail.operations.copy import copy, transfer_txn
from lightmail.operations.expunge import expunge, expunge_txn
from lightmail.operations.flags import flags_txn
from lightmail.operations.outcome import Changed
from lightmail.operations.purge import purge_txn
from lightmail.operations.restoring import restore_txn
from lightmail.store import collection
from tests.support.interleaving import Actor, Choose, Server, Work, run_schedule, schedules
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store, blob, fresh_config, open_store

pytestmark = pytest.mark.mariadb

# More orders than any of these has.
MOST = 100_000
DIGEST = bytes(range(32))
FOR_EVER_US = 1 << 62


@dataclass
class World:
    """One account, the object with its two messages, and the transactions that may meet over it."""

    store: Store
    server: Server
    account: Account
    source: MailboxId
    target: MailboxId
    uid: int = 0
    copied: int = 0
    object: ObjectId = ObjectId(0)  # noqa: RUF009
    doomed: ObjectId = ObjectId(0)  # noqa: RUF009
    orphans: Sequence[str] = ()

    def reset(self, *, ending: bool) -> None:
        r"""A \Deleted message with a fresh object in the source, and the tombstone of its copy in the target.

        With `ending` the message in the source is a tombstone as well.
        """
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
        self.uid = self.store.uids(self.source)[0]
        run(copy(self.store.tx, self.account, self.source, [self.uid], self.target))
        self.copied = run(expunge(self.store.tx, self.account, self.target, None)).uids[0]
        if ending:
            run(expunge(self.store.tx, self.account, self.source, None))
        self.object = ObjectId(self.store.count("SELECT id FROM objects"))
        self.orphans = [new_key("zstd", NOW_US) for _ in range(2)]
        quarantined = [orphan(new_key("zstd", NOW_US), 100)]
        run(self.store.database.run("test", quarantine_txn, quarantined, NOW_US, "test"))
        self.doomed = ObjectId(self.store.count("SELECT MAX(id) FROM objects"))

    # --- the transactions ---

    def append(self) -> Work:
        unit = Unit(self.account.id, self.source, [NewMessage(blob(), (), NOW_US)])
        return lambda cursor: arrive_txn(cursor, [[unit]])

    def deliver(self) -> Work:
        """A delivery that another may repeat."""
        unit = Unit(self.account.id, self.source, [NewMessage(blob(), (), NOW_US)], DIGEST)
        return lambda cursor: arrive_txn(cursor, [[unit]])

    def copy(self) -> Work:
        return lambda cursor: transfer_txn(cursor, self.account.id, self.source, [self.uid], self.target, False)

    def move(self) -> Work:
        return lambda cursor: transfer_txn(cursor, self.account.id, self.source, [self.uid], self.target, True)

    def expunge(self) -> Work:
        return lambda cursor: expunge_txn(cursor, self.account.id, self.source, [self.uid], True)

    def flag(self) -> Work:
        return lambda cursor: flags_txn(
            cursor, self.account.id, self.source, [self.uid], FlagMode.ADD, (rb"\Seen", b"Mine")
        )

    def purge(self) -> Work:
        """The collector takes the tombstone in the target, whose time has come."""
        return lambda cursor: purge_txn(cursor, {self.target: [self.copied]}, FOR_EVER_US, NOW_US)

    def purge_source(self) -> Work:
        return lambda cursor: purge_txn(cursor, {self.source: [self.uid]}, FOR_EVER_US, NOW_US)

    def restore(self) -> Work:
        return lambda cursor: restore_txn(cursor, self.account.id, [(self.target, self.copied)], self.source)

    def condemn(self) -> Work:
        """The collector looks at the object, for whatever reason."""
        return lambda cursor: Changed(condemn_txn(cursor, [self.object], ObjectState.LIVE, NOW_US, "test"))

    def quarantine(self) -> Work:
        """The collector has found objects without rows."""
        orphans = [orphan(key, 100) for key in self.orphans]
        return lambda cursor: Changed(quarantine_txn(cursor, orphans, NOW_US, "orphan"))

    def last_look(self) -> Work:
        wanted = [self.object]
        return lambda cursor: Changed(last_look_txn(cursor, wanted))

    def forget(self) -> Work:
        """The collector has deleted a condemned object from the store."""
        wanted = [self.doomed]
        return lambda cursor: Changed(collection.forget_txn(cursor, wanted))

    # --- the laws ---

    def check(self, actors: list[Actor]) -> None:
        """The laws, and that every answer is true."""
        there = {mailbox: set(self.store.uids(mailbox)) for mailbox in (self.source, self.target)}
        for actor in actors:
            assert "deadlock" not in actor.conflicts
            self._check_answer(actor, there)
        delivered = [actor.value[0][0] for actor in actors if actor.name == "deliver"]
        assert sum(isinstance(answer, Duplicate) for answer in delivered) == max(0, len(delivered) - 1)
        alive = sum(map(len, there.values()))
        assert self.store.usage(self.account) == (1000 * alive, alive)
        assert not self._count("messages m JOIN mailboxes b ON b.id = m.mailbox", "m.uid >= b.uidnext")
        assert not self._count("messages m JOIN mailboxes b ON b.id = m.mailbox", "m.modseq > b.highest_modseq")
        rows = "messages m LEFT JOIN objects o ON o.id = m.object"
        assert not self._count(rows, "m.object IS NOT NULL AND COALESCE(o.state, 0) <> 1")
        idle = "o.state = 1 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.object = o.id)"
        assert not self._count("objects o", idle)

    def _count(self, source: str, condition: str) -> int:
        return self.store.count(f"SELECT COUNT(*) FROM {source} WHERE {condition}")  # noqa: S608

    def _check_answer(self, actor: Actor, there: dict[MailboxId, set[int]]) -> None:
        value = actor.value
        if isinstance(value, MailError):
            raise AssertionError(f"{actor.name} was refused: {value!r}")
        if actor.name in ("append", "deliver") and isinstance(value[0][0], Stored):
            assert set(value[0][0].uids) <= there[self.source]
        elif actor.name in ("copy", "move"):
            assert set(value.uids) <= there[self.target]
        elif actor.name == "restore":
            assert set(value.uids) <= there[self.source]
        if actor.name in ("move", "expunge"):
            assert self.uid not in there[self.source]


LIVING = ("append", "deliver", "copy", "move", "expunge", "flag", "purge", "restore", "condemn")
ENDING = ("purge", "purge_source", "restore", "condemn", "last_look", "quarantine", "forget")
# They lock different mailboxes, and so have hundreds of orders.
LONG = {("append", "purge"), ("deliver", "purge"), ("expunge", "purge"), ("flag", "purge"), ("purge", "purge_source")}
THREES = (("purge", "condemn", "condemn"),)
LONG_THREES = (
    ("restore", "condemn", "condemn"),
    ("purge", "purge_source", "restore"),
    ("purge", "purge_source", "condemn"),
)
LIVING_THREES = (
    ("copy", "expunge", "condemn"),
    ("move", "purge", "condemn"),
    ("copy", "purge", "restore"),
    ("deliver", "deliver", "expunge"),
)


def pairs(kinds: Sequence[str]) -> list[Any]:
    """All pairs, of each kind with itself too; those with many orders run under `make test-all`."""
    return [
        pytest.param(pair, id="-".join(pair), marks=[pytest.mark.heavy] if pair in LONG else [])
        for pair in combinations_with_replacement(kinds, 2)
    ]


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


def try_every_order(world: World, kinds: tuple[str, ...], *, ending: bool) -> None:
    def scenario(choose: Choose) -> None:
        world.reset(ending=ending)
        actors = [Actor(kind, getattr(world, kind)()) for kind in kinds]
        run_schedule(world.server, actors, choose)
        world.check(actors)

    orders = schedules(scenario, MOST)
    assert orders > 1
    print(orders, "orders")


@pytest.mark.parametrize("kinds", pairs(LIVING))
def test_every_order_of_two_on_a_live_message(world: World, kinds: tuple[str, ...]) -> None:
    try_every_order(world, kinds, ending=False)


@pytest.mark.parametrize("kinds", pairs(ENDING))
def test_every_order_of_two_on_tombstones(world: World, kinds: tuple[str, ...]) -> None:
    try_every_order(world, kinds, ending=True)


@pytest.mark.parametrize("kinds", THREES, ids="-".join)
def test_every_order_of_three_on_tombstones(world: World, kinds: tuple[str, ...]) -> None:
    try_every_order(world, kinds, ending=True)


@pytest.mark.heavy
@pytest.mark.parametrize("kinds", LONG_THREES, ids="-".join)
def test_every_order_of_more_threes_on_tombstones(world: World, kinds: tuple[str, ...]) -> None:
    try_every_order(world, kinds, ending=True)


@pytest.mark.heavy
@pytest.mark.parametrize("kinds", LIVING_THREES, ids="-".join)
def test_every_order_of_three_on_a_live_message(world: World, kinds: tuple[str, ...]) -> None:
    try_every_order(world, kinds, ending=False)
