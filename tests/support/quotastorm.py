"""Everything that brings or removes messages, at once and at random, against accounts with small quotas.

`storm` runs in this process; ``python -m tests.support.quotastorm SETTINGS`` is another process that does the same.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from twisted.internet.defer import Deferred, gatherResults

from lightmail.config import DatabaseConfig
from lightmail.errors import MailboxExists, NoSuchMailbox, OverQuota, Unavailable
from lightmail.model import INBOX, Account, AccountId, FlagMode
from lightmail.operations import undelete
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.deliver import Recipient, deliver
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import delete, rename
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes, messages
from lightmail.store.undelete import Filters
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import NOW_US, blob, open_store

NAMES = (INBOX, "Sent", "Trash")


async def storm(tx: Transactions, owners: Sequence[Account], seed: int, steps: int, at_once: int = 4) -> int:
    """Do `steps` things, `at_once` at a time; how many were refused for want of room."""
    dice = random.Random(seed)
    refused = 0

    async def writer(number: int) -> None:
        nonlocal refused
        for step in range(steps // at_once):
            # Whatever else changes the mailboxes may come between what is read and what is done.
            with suppress(NoSuchMailbox, MailboxExists, Unavailable):
                try:
                    refused += await _step(tx, owners, dice, f"{seed}-{number}-{step}")
                except OverQuota:
                    refused += 1

    await gatherResults([Deferred.fromCoroutine(writer(number)) for number in range(at_once)])
    return refused


async def _step(tx: Transactions, owners: Sequence[Account], dice: random.Random, unique: str) -> int:
    owner = dice.choice(owners)
    name = dice.choice(NAMES)
    mailbox = await tx.database.read("storm", mailboxes.by_name_txn, owner.id, name)
    if mailbox is None:
        raise NoSuchMailbox
    kind = dice.random()
    size = dice.choice((300, 1000, 2500))
    if kind < 0.3:
        places = []
        for each in owners:
            inbox = await tx.database.read("storm", mailboxes.by_name_txn, each.id, INBOX)
            assert inbox is not None
            places.append(Recipient(each, inbox.id, each.address))
        outcomes = await deliver(tx, blob(size), "s@example.net", None, places, NOW_US)
        return sum(isinstance(outcome, OverQuota) for outcome in outcomes)
    if kind < 0.45:
        filters = Filters(mailbox=name)
        planned = await undelete.plan(tx, owner, filters, into=dice.choice(NAMES))
        await undelete.restore(tx, OPERATOR, owner, filters, planned)
        return 0
    if kind < 0.6:
        new = [NewMessage(blob(size), (), NOW_US) for _ in range(dice.choice((1, 2)))]
        await append(tx, owner, mailbox.id, new)
        return 0
    there = [row[1] for row in (await tx.database.read("storm", messages.all_txn, mailbox.id)).rows]
    some = sorted(dice.sample(there, min(len(there), 3)))
    if kind < 0.8:
        other = await tx.database.read("storm", mailboxes.by_name_txn, owner.id, dice.choice(NAMES))
        if other is not None:
            await (copy if kind < 0.7 else move)(tx, owner, mailbox.id, some, other.id)
    elif kind < 0.92:
        await store_flags(tx, owner, mailbox.id, some, FlagMode.ADD, [b"\\Deleted"])
        await expunge(tx, owner, mailbox.id, some)
    else:
        await rename(tx, owner, INBOX, f"Old {unique}")
        if dice.random() < 0.5:
            await delete(tx, owner, f"Old {unique}")
    return 0


def elsewhere(config: DatabaseConfig, owners: Sequence[Account], seed: int, steps: int) -> subprocess.Popen[bytes]:
    """A process of its own that storms the same database."""
    settings = {"config": asdict(config), "owners": [int(owner.id) for owner in owners], "seed": seed, "steps": steps}
    return subprocess.Popen([sys.executable, "-m", "tests.support.quotastorm", json.dumps(settings)])


def main(settings: str) -> None:
    """The other process."""
    given = json.loads(settings)
    with open_store(DatabaseConfig(**given["config"])) as store:
        found = [run(store.database.read("storm", accounts.by_id_txn, AccountId(each))) for each in given["owners"]]
        owners = [owner for owner in found if owner is not None]
        run(storm(store.tx, owners, given["seed"], given["steps"]))


if __name__ == "__main__":
    main(sys.argv[1])
