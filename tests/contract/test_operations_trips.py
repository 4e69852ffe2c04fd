"""What an operation costs in round trips to MariaDB, COMMIT included: each is 157 us of our CPU and 160 of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from lightmail.model import FlagMode
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.deliver import Recipient, deliver
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.select import claim_recent
from lightmail.store import accounts, mailboxes, messages
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()

pytestmark = pytest.mark.mariadb


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config("mariadb", tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def test_round_trips(store: Store) -> None:
    account, other = store.account(), store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 20)
    archive = store.mailbox(account, "Archive").id
    tx, read = store.tx, store.database.read
    places = [Recipient(each, store.mailbox(each).id, each.address) for each in (account, other)]
    new = [NewMessage(blob(), (b"\\Seen",), NOW_US)]
    its_row, seen = store.mailbox(account), store.snapshot(inbox)
    steps: list[tuple[str, int, Callable[[], Coroutine[Any, Any, object]]]] = [
        ("deliver", 3, lambda: deliver(tx, blob(), "s", b"1" * 32, places[:1], NOW_US)),
        ("deliver", 3, lambda: deliver(tx, blob(), "s", b"2" * 32, places, NOW_US)),
        ("append", 3, lambda: append(tx, account, inbox, new)),
        ("append", 5, lambda: append(tx, account, inbox, [NewMessage(blob(), (b"$Junk", b"\\Seen"), 0), *more()])),
        ("flags", 2, lambda: store_flags(tx, account, inbox, range(1, 11), FlagMode.ADD, [b"\\Seen"])),
        ("flags", 2, lambda: store_flags(tx, account, inbox, [1], FlagMode.ADD, [b"\\Seen"])),
        ("flags", 4, lambda: store_flags(tx, account, inbox, [1, 3], FlagMode.ADD, [b"new-word"])),
        ("flags", 3, lambda: store_flags(tx, account, inbox, [2, 4], FlagMode.ADD, [b"new-word"])),
        ("flags", 2, lambda: store_flags(tx, account, inbox, [5, 6], FlagMode.ADD, [b"\\Deleted"])),
        ("copy", 3, lambda: copy(tx, account, inbox, [5, 6, 7], archive)),
        ("move", 3, lambda: move(tx, account, inbox, [7, 8], archive)),
        ("expunge", 3, lambda: expunge(tx, account, inbox, None)),
        ("expunge", 2, lambda: expunge(tx, account, inbox, None)),
        ("recent", 3, lambda: claim_recent(tx, account, its_row)),
        ("snapshot", 1, lambda: read("snapshot", messages.all_txn, inbox)),
        ("changes", 1, lambda: read("changes", messages.changes_txn, archive, 3, 0)),
        ("changes", 2, lambda: read("changes", messages.changes_txn, inbox, seen.highest_modseq, seen.keyword_version)),
        ("status", 1, lambda: read("status", mailboxes.status_txn, account.id, "INBOX")),
        ("poll", 1, lambda: read("poll", mailboxes.modseqs_txn, [inbox, archive])),
        ("route", 1, lambda: read("route", accounts.route_txn, account.address)),
    ]
    found = []
    for name, _, step in steps:
        before = store.trips(name)
        run(step())
        found.append((name, store.trips(name) - before))
    assert found == [(name, trips) for name, trips, _ in steps]


def more() -> list[NewMessage]:
    return [NewMessage(blob(), (b"own-word",), NOW_US)]


def test_deliveries_that_wait_together_share_a_transaction(store: Store) -> None:
    all_accounts = [store.account() for _ in range(10)]
    places = [Recipient(account, store.mailbox(account).id, account.address) for account in all_accounts]
    before = store.trips("deliver")
    together(*(deliver(store.tx, blob(), "s", None, [place], NOW_US) for place in places))
    assert store.trips("deliver") - before == 9, "two transactions for those that came first, one for all others"
    assert all(store.uids(place.mailbox) == [1] for place in places)
