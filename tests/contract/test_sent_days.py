"""The days on which messages were sent: read once, kept aligned with the index, missing where no Date field is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from lightmail.config import StorageConfig
from lightmail.index.columns import Columns
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.sent import sent_days
from lightmail.mime.dates import UNDATED
from lightmail.model import Account, MailboxId, StoredBlob
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations.append import NewMessage, append
from lightmail.operations.expunge import expunge
from tests.support.reactor import run
from tests.support.snapshotkit import open_site
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

DAY_US = 86_400_000_000
# None is no Date field; the others are a moment before and one after the epoch, on different days by their own clocks.
MOMENTS = (None, 3 * DAY_US + 5, -1, 0, 10_000 * DAY_US + DAY_US - 1)
DAYS = [UNDATED, 3, -1, 0, 10_000]


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def sent(moment_us: int | None) -> StoredBlob:
    made = blob()
    return replace(made, rendering=replace(made.rendering, sent_us=moment_us))


def deliver(store: Store, account: Account, mailbox: MailboxId, moments: Sequence[int | None] = MOMENTS) -> None:
    run(append(store.tx, account, mailbox, [NewMessage(sent(moment), (), NOW_US) for moment in moments]))


def read(store: Store, index: MailboxIndex, mailbox: MailboxId) -> Columns:
    """The index as it is now, and its days."""
    index.replace(store.snapshot(mailbox))
    run(sent_days(store.database, index.columns, len(index)))
    return index.columns


def test_days_are_those_of_the_date_fields_and_read_but_once(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    deliver(store, account, mailbox)
    index = MailboxIndex(account.id, mailbox)
    assert list(read(store, index, mailbox).sent_days) == DAYS
    asked = store.trips("sent days")
    assert list(read(store, index, mailbox).sent_days) == DAYS
    assert store.trips("sent days") == asked

    deliver(store, account, mailbox, [DAY_US])
    run(expunge(store.tx, account, mailbox, None))
    assert list(read(store, index, mailbox).sent_days) == [*DAYS, 1]
    assert store.trips("sent days") == asked + 1


def test_days_stay_with_their_messages_when_others_go(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    deliver(store, account, mailbox)
    index = MailboxIndex(account.id, mailbox)
    read(store, index, mailbox)
    # Some of them are known and some are not when messages go, and both kinds go.
    deliver(store, account, mailbox)
    index.replace(store.snapshot(mailbox))
    store.execute("UPDATE messages SET deleted_at = 1 WHERE mailbox = %s AND uid IN (2, 3, 6, 9)", mailbox)
    assert list(read(store, index, mailbox).sent_days) == [DAYS[uid % 5 - 1] for uid in (1, 4, 5, 7, 8, 10)]


def test_two_who_ask_at_once_get_the_same(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    deliver(store, account, mailbox)
    index = MailboxIndex(account.id, mailbox)
    index.replace(store.snapshot(mailbox))
    first, second = together(*(sent_days(store.database, index.columns, 5) for _ in range(2)))
    assert first is second
    assert list(index.columns.sent_days) == DAYS


def test_a_message_whose_rendering_is_lost_has_no_day(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    deliver(store, account, mailbox)
    lost = store.snapshot(mailbox).rows[1][6]
    store.execute("DELETE FROM renderings WHERE object = %s", lost)
    assert list(read(store, MailboxIndex(account.id, mailbox), mailbox).sent_days) == [UNDATED, UNDATED, *DAYS[2:]]


def test_days_come_with_a_snapshot(store: Store) -> None:
    account = store.account()
    deliver(store, account, store.mailbox(account).id)
    with open_site(store, open_objects(StorageConfig(driver="memory"), None)) as site:
        assert site.process().write(account)
        asked = store.trips("sent days")
        index = site.process().load(account)
        assert list(run(sent_days(store.database, index.columns, len(index)))) == DAYS
        assert store.trips("sent days") == asked
