"""The contract of what the page of deleted mail stands on, over every database: days, mailboxes, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightmail.errors import NoSuchAccount
from lightmail.model import Account, FlagMode, MailboxId, MessageId
from lightmail.operations import admin_messages, undelete
from lightmail.operations.actors import Actor
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete
from lightmail.store import browsing
from lightmail.store import undelete as deleted
from lightmail.store.browsing import Wanted
from lightmail.store.undelete import Filters
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

DAY_US = 86_400_000_000


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def expunged(store: Store, account: Account, name: str, days: list[int]) -> MailboxId:
    """A mailbox from which a message was deleted on each of these days since the epoch, at their last moment."""
    if name != "INBOX":
        run(create(store.tx, account, name))
    mailbox = store.fill(account, name, [() for _ in days])
    run(store_flags(store.tx, account, mailbox, store.uids(mailbox), FlagMode.ADD, [b"\\Deleted"]))
    uids = store.uids(mailbox)
    run(expunge(store.tx, account, mailbox, None))
    for uid, day in zip(uids, days, strict=True):
        moment = (day + 1) * DAY_US - 1
        store.execute("UPDATE messages SET deleted_at = %s WHERE mailbox = %s AND uid = %s", moment, mailbox, uid)
    return mailbox


def owner(account: Account) -> Actor:
    return Actor(account.address, "192.0.2.1", -1, account=account.id)


def test_days_are_counted_by_mailbox(store: Store) -> None:
    account = store.account()
    inbox = expunged(store, account, "INBOX", [20_000, 20_000, 20_001])
    work = expunged(store, account, "Work", [20_001])
    other = store.account()
    expunged(store, other, "INBOX", [20_000])
    found = run(store.database.read("test", deleted.days_txn, account.id))
    assert {(day.mailbox, day.name, day.day_us // DAY_US, day.messages) for day in found} == {
        (inbox, "INBOX", 20_000, 2),
        (inbox, "INBOX", 20_001, 1),
        (work, "Work", 20_001, 1),
    }
    assert {day.day_us % DAY_US for day in found} == {0}
    run(delete(store.tx, account, "Work"))
    found = run(store.database.read("test", deleted.days_txn, account.id))
    assert {day.mailbox: day.deleted_us > 0 for day in found} == {inbox: False, work: True}


def test_what_is_listed_is_what_is_restored(store: Store) -> None:
    account = store.account()
    expunged(store, account, "INBOX", [20_000, 20_002])
    work = expunged(store, account, "Work", [20_000, 20_002, 20_003])
    wanted = Wanted(deleted_since_us=20_002 * DAY_US)
    found = run(admin_messages.deleted_of_account(store.tx, owner(account), account.id, work, wanted, None, 10))
    filters = Filters(since_us=20_002 * DAY_US, box=work)
    planned = run(undelete.plan(store.tx, account, filters))
    assert (len(found.messages), planned.messages) == (2, 2)
    assert {each.mailbox for each in found.messages} == {work}
    outcome = run(undelete.restore(store.tx, owner(account), account, filters, planned))
    assert outcome.restored == {"Work": 2}
    for each in found.messages:
        assert run(store.database.read("test", browsing.at_txn, work, each.uid)) is None


def test_an_owner_s_mail_is_his_alone(store: Store) -> None:
    account, other = store.account(), store.account()
    expunged(store, account, "INBOX", [20_000])
    planned = run(undelete.plan(store.tx, account, Filters()))
    with pytest.raises(NoSuchAccount):
        run(undelete.restore(store.tx, owner(other), account, Filters(), planned))
    with pytest.raises(NoSuchAccount):
        run(admin_messages.deleted_of_account(store.tx, owner(other), account.id, None, Wanted(), None, 10))
    assert store.uids(store.mailbox(account).id) == []


def test_a_message_s_domain_is_that_of_its_account(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [()])
    message = MessageId(store.count("SELECT id FROM messages WHERE mailbox = %s", mailbox))
    domain = store.count("SELECT domain FROM accounts WHERE id = %s", account.id)
    assert run(store.database.read("test", browsing.domain_txn, message)) == domain
    assert run(store.database.read("test", browsing.domain_txn, MessageId(987_654_321))) is None
    assert run(store.database.read("test", browsing.at_txn, mailbox, store.uids(mailbox)[0])) == message
