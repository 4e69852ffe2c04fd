"""The journal and `recover`: what a bucket gives back is what the rows said at the last round, and more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmail.model import Account, FlagMode
from lightmail.operations import accounts, mailboxes
from lightmail.operations.copy import copy, move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from tests.support.journalkit import Mailroom, open_mailroom
from tests.support.reactor import run
from tests.support.storekit import BACKENDS


@pytest.fixture(params=BACKENDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mailroom]:
    with open_mailroom(request.param, tmp_path) as opened:
        yield opened


def keys_of(picture: Any) -> dict[str, set[str]]:
    """Of each account the objects of its live messages."""
    return {
        address: {row[4] for _, _, live, _ in boxes.values() for row in live.values()}
        for address, (_, _, _, boxes) in picture.items()
    }


class Life:
    """Somebody who does something to some account, always the same for one seed."""

    def __init__(self, room: Mailroom, seed: int) -> None:
        self.room = room
        self.random = random.Random(seed)
        self.accounts = [room.store.account() for _ in range(3)]

    def live(self, steps: int) -> None:
        for _ in range(steps):
            step = self.random.choice(
                [self.deliver, self.deliver, self.flag, self.expunge, self.copy, self.move, self.name, self.administer]
            )
            step(self.random.choice(self.accounts))

    def some(self, account: Account) -> tuple[Any, list[int]]:
        """A mailbox and some UIDs of it."""
        box = self.room.store.mailbox(account, self.random.choice(self.room.store.names(account)))
        uids = self.room.store.uids(box.id)
        return box, sorted(self.random.sample(uids, min(len(uids), self.random.randrange(1, 4))))

    def deliver(self, account: Account) -> None:
        flags = self.random.sample([b"\\Seen", b"\\Flagged", b"$Junk", b"Blue", b"red"], self.random.randrange(3))
        name = self.random.choice(self.room.store.names(account))
        self.room.put(account, name, self.random.randrange(1, 4), flags)

    def flag(self, account: Account) -> None:
        box, uids = self.some(account)
        names = self.random.choice([[b"\\Deleted"], [b"blue", b"Green"], [b"\\Answered"]])
        run(store_flags(self.room.store.tx, account, box.id, uids, self.random.choice(list(FlagMode)), names))

    def expunge(self, account: Account) -> None:
        box, uids = self.some(account)
        run(expunge(self.room.store.tx, account, box.id, uids))

    def copy(self, account: Account) -> None:
        box, uids = self.some(account)
        run(copy(self.room.store.tx, account, box.id, uids, self.some(account)[0].id))

    def move(self, account: Account) -> None:
        box, uids = self.some(account)
        run(move(self.room.store.tx, account, box.id, uids, self.some(account)[0].id))

    def name(self, account: Account) -> None:
        tx, names = self.room.store.tx, self.room.store.names(account)
        own = [name for name in names if name.startswith("box")]
        fresh = f"box{self.random.randrange(10**9)}"
        if not own or self.random.random() < 0.5:
            run(mailboxes.create(tx, account, fresh))
            run(mailboxes.subscribe(tx, account, fresh))
        elif self.random.random() < 0.5:
            run(mailboxes.rename(tx, account, self.random.choice([*own, "INBOX"]), fresh))
        else:
            run(mailboxes.delete(tx, account, self.random.choice(own)))
            run(mailboxes.unsubscribe(tx, account, own[0]))

    def administer(self, account: Account) -> None:
        tx = self.room.store.tx
        run(accounts.set_password(tx, account.address, f"hash{self.random.random()}"))
        run(accounts.set_quota(tx, account.address, self.random.randrange(10**9, 10**10), 10**6))
        run(accounts.add_alias(tx, f"alias{self.random.random()}@example.org", account.address))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bucket_gives_back_what_the_rows_said(room: Mailroom, seed: int) -> None:
    life = Life(room, seed)
    journal = room.journal(changes=random.Random(seed).choice([5, 1000]))
    for _ in range(4):
        life.live(12)
        run(journal.round())
    before = room.picture()
    aliases = room.store.count("SELECT COUNT(*) FROM aliases")
    recovered, report = room.recover()
    assert recovered.count("SELECT COUNT(*) FROM aliases") == aliases
    assert room.picture(recovered) == before
    assert report.arrivals == report.unplaced == report.missing_objects == report.damaged_objects == 0
    assert report.rebuilt is not None
    assert report.rebuilt.missing == 0
