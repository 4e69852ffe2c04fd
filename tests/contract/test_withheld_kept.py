"""How long mail is kept that was withheld for a virus, and that a lost database gives it back as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.config import StorageConfig
from lightmail.model import Account, Fate, StoredBlob, Virus
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations import accounts, admin_messages
from lightmail.operations.deliver import Delivered, Recipient, deliver
from lightmail.store.browsing import Listed, Wanted
from tests.support.actors import OPERATOR
from tests.support.garbagekit import Yard, open_yard
from tests.support.journalkit import Mailroom, open_mailroom
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, fresh_config, open_store

VIRUS = Virus("Eicar-Signature", "withhold")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


@pytest.fixture
def yard(store: Store) -> Iterator[Yard]:
    with open_yard(store, open_objects(StorageConfig(driver="memory"), None)) as opened:
        yield opened


def withhold(store: Store, account: Account, blob: StoredBlob, name: str = "INBOX") -> None:
    to = [Recipient(account, store.mailbox(account, name).id, account.address)]
    (answer,) = run(deliver(store.tx, blob, "m@example.net", None, to, NOW_US, VIRUS))
    assert isinstance(answer, Delivered)
    assert answer.withheld


def listed(store: Store, account: Account) -> list[Listed]:
    return run(admin_messages.of_account(store.tx, OPERATOR, account.id, Wanted(withheld=True), None, 100)).messages


def test_it_is_collected_when_deleted_mail_of_its_day_is(yard: Yard) -> None:
    account = yard.store.account()
    blobs = [yard.put() for _ in range(3)]
    for blob in blobs:
        withhold(yard.store, account, blob)
    first, *_ = listed(yard.store, account)
    run(admin_messages.restore(yard.store.tx, OPERATOR, first.id))
    yard.later(days=29.9)
    assert not yard.collect().counts["message"]
    yard.check_law()
    assert len(listed(yard.store, account)) == 2
    yard.later(days=0.2)
    yard.collect()
    assert listed(yard.store, account) == []
    yard.later(days=1.1)
    yard.collect()
    assert yard.keys() == {blobs[-1].key}, "the one that was restored is a message like any other"
    yard.check_law()


def test_it_goes_with_its_account_for_good(yard: Yard) -> None:
    account = yard.store.account()
    withhold(yard.store, account, yard.put())
    run(accounts.delete_account(yard.store.tx, OPERATOR, account.id))
    for _ in range(3):
        yard.later(days=31)
        yard.collect()
    assert yard.keys() == set()
    assert yard.store.count("SELECT COUNT(*) FROM messages") == 0


@pytest.fixture(params=BACKENDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mailroom]:
    with open_mailroom(request.param, tmp_path) as opened:
        yield opened


def test_a_lost_database_gives_it_back_as_what_it_is(room: Mailroom) -> None:
    account = room.store.account()
    inbox = room.store.mailbox(account).id
    room.put(account, "INBOX", 1)
    withhold(room.store, account, room.blob(account, inbox))
    room.put(account, "INBOX", 1)
    run(room.journal().round())
    before = room.picture()
    recovered, report = room.recover()
    assert room.picture(recovered) == before
    assert report.arrivals == report.unplaced == 0
    same = recovered.rows("SELECT uid, fate FROM messages WHERE deleted_at > 0")
    assert [tuple(row) for row in same] == [(2, Fate.WITHHELD.value)]
    assert recovered.count("SELECT COUNT(*) FROM messages WHERE deleted_at = 0") == 2


@pytest.mark.parametrize("journalled", [True, False])
def test_so_does_a_bucket_whose_journal_does_not_know_of_it(room: Mailroom, journalled: bool) -> None:
    account = room.store.account()
    inbox = room.store.mailbox(account).id
    if journalled:
        run(room.journal().round())
    withhold(room.store, account, room.blob(account, inbox, withheld=True))
    room.put(account, "INBOX", 1)
    recovered, report = room.recover()
    assert report.arrivals == 2
    ((fate, is_kept),) = recovered.rows("SELECT fate, object IS NOT NULL FROM messages WHERE deleted_at > 0")
    assert (fate, is_kept) == (Fate.WITHHELD.value, 1)
    age_us = recovered.count("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) - MAX(deleted_at) FROM messages")
    assert abs(age_us) < 60_000_000, "its time begins anew, for whoever had restored it"
    assert recovered.count("SELECT COUNT(*) FROM messages WHERE deleted_at = 0") == 1
    assert recovered.count("SELECT MAX(messages) FROM account_usage") == 1
