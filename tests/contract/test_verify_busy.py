"""Verifying while the store is at work: whatever goes on meanwhile is no finding."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from lightmail.config import GarbageConfig, StorageConfig
from lightmail.errors import MailError
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.jobs.verify import Finding, Hands, Options, verify
from lightmail.model import INBOX, Account, FlagMode, MailboxId
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations.copy import copy, move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete, rename
from lightmail.store import collection
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, fresh_config, open_store
from tests.support.verifykit import MESSAGE, House, open_house, reactor

DAY_US = 86_400_000_000
_WRITERS = 4


@pytest.fixture(params=BACKENDS)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    objects = open_objects(StorageConfig(driver="directory", path=str(tmp_path / "objects")), None)
    objects.check()
    with (
        fresh_config(request.param, tmp_path) as config,
        open_store(config) as store,
        open_house(store, objects, tmp_path) as opened,
    ):
        yield opened


class Bustle:
    """Writers to the mailboxes of two accounts, and a collector whose time runs ahead, until told to stop."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.stopped = False
        self.accounts = [house.store.account() for _ in range(2)]
        self.mailboxes = {
            account.id: [house.store.mailbox(account, name).id for name in (INBOX, "Archive", "Trash")]
            for account in self.accounts
        }

    async def write(self) -> None:
        serial = 0
        while not self.stopped:
            serial += 1
            work = self.random.choice(
                (self.append, self.append, self.copy, self.move, self.expunge, self.flag, self.names)
            )
            account = self.random.choice(self.accounts)
            with suppress(MailError):
                await work(account, self.random.choice(self.mailboxes[account.id]), serial)
                self.done[work.__name__] += 1
            await deferLater(reactor, 0.001)

    async def append(self, account: Account, mailbox: MailboxId, serial: int) -> None:
        flags = self.random.choice(((), (b"\\Deleted",), (b"$Label%d" % self.random.randrange(4),)))
        await self.house.put_in(account, mailbox, MESSAGE % (serial, serial), flags)

    async def copy(self, account: Account, mailbox: MailboxId, _: int) -> None:
        await copy(self.house.store.tx, account, mailbox, self.uids(), self.other(account))

    async def move(self, account: Account, mailbox: MailboxId, _: int) -> None:
        await move(self.house.store.tx, account, mailbox, self.uids(), self.other(account))

    async def flag(self, account: Account, mailbox: MailboxId, _: int) -> None:
        await store_flags(self.house.store.tx, account, mailbox, self.uids(), FlagMode.ADD, [b"\\Deleted", b"$Seldom"])

    async def expunge(self, account: Account, mailbox: MailboxId, _: int) -> None:
        await expunge(self.house.store.tx, account, mailbox, None)

    async def names(self, account: Account, _: MailboxId, serial: int) -> None:
        name = f"Box{self.random.randrange(5)}"
        tx = self.house.store.tx
        with suppress(MailError):
            await create(tx, account, name)
        with suppress(MailError):
            await rename(tx, account, name, f"{name}x{serial}")
        await delete(tx, account, f"{name}x{serial}")

    def uids(self) -> list[int]:
        return sorted({self.random.randrange(1, 60) for _ in range(5)})

    def other(self, account: Account) -> MailboxId:
        return self.random.choice(self.mailboxes[account.id])

    async def collect(self) -> None:
        """Collect as of a time that runs two days ahead with each pass, so that everything happens soon.

        Orphans are looked for from another life's grace on: a delivery's object may be without a row just now.
        """

        async def may() -> bool:
            return True

        store = self.house.store
        made = [step for step in steps(store.tx, self.house.objects, self.house.pool) if "look" not in step.__name__]
        collector = Collector(GarbageConfig(batch_size=20, grace_hours=1), store.database, made, may)
        ahead_us = 40 * DAY_US
        while not self.stopped:
            now_us = await store.database.read("clock", collection.clock_txn)
            with suppress(MailError):
                pass_ = await collector.once(now_us + ahead_us, everything=True)
                self.done.update({f"collected {kind}": count for kind, count in pass_.counts.items()})
            ahead_us += 2 * DAY_US
            await deferLater(reactor, 0.01)

    async def verify(self, seconds: float) -> list[Finding]:
        """Verify over and over, for so long at least; what is found."""
        hands = Hands(self.house.store.tx, self.house.objects, self.house.pool)
        found: list[Finding] = []
        until = reactor.seconds() + seconds
        try:
            while reactor.seconds() < until or self.done["verified deep"] < 2:
                for deep in (False, True):
                    await verify(hands, Options(deep=deep, restart=True, grace_hours=1), found=found.append)
                    self.done["verified deep" if deep else "verified"] += 1
        finally:
            self.stopped = True
        return found

    async def everything(self, seconds: float) -> list[Finding]:
        working = [self.verify(seconds), self.collect(), *(self.write() for _ in range(_WRITERS))]
        ended: list[Any] = await gatherResults([Deferred.fromCoroutine(each) for each in working])
        found: list[Finding] = ended[0]
        return found


def bustle(house: House, seconds: float, seed: int) -> None:
    busy = Bustle(house, seed)
    found = run(busy.everything(seconds), seconds + 60)
    assert [finding.line() for finding in found] == []
    for what in ("append", "copy", "move", "expunge", "flag", "names", "collected message", "collected object deleted"):
        assert busy.done[what], f"{what} never happened beside it: {busy.done}"
    assert house.kinds(deep=True) == set()


def test_a_store_at_work_gives_no_finding(house: House) -> None:
    bustle(house, 1.5, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [2, 3])
def test_a_store_long_at_work_gives_no_finding(house: House, seed: int) -> None:
    bustle(house, 30, seed)
