"""Events: what is committed is told, with all that names it, and costs no round trip; what is not committed is not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from lightmail import traces
from lightmail.errors import OverQuota, Unavailable
from lightmail.model import EVENT_KINDS, Account, AccountId
from lightmail.operations import accounts, quotas, webhooks
from lightmail.operations.accounts import Change
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver
from lightmail.operations.outcome import Changed
from lightmail.store.cursor import Cursor
from lightmail.store.webhooks import Claimed
from tests.support.actors import OPERATOR
from tests.support.hookkit import letter, queued, receiver, telling
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, fresh_config, open_store, together

NO_ACCOUNTS = [kind for kind in EVENT_KINDS if not kind.startswith("account.")]


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Iterator[Store]:
    """A store that tells of all but accounts, which these tests add as they need them; its queue is empty."""
    opened.execute("DELETE FROM webhook_queue")
    opened.tx.events.want(NO_ACCOUNTS)
    yield opened
    opened.tx.events.want(())


@pytest.fixture
def deaf(store: Store) -> Store:
    """The store, while nobody wants to hear of anything."""
    store.tx.events.want(())
    return store


def place(store: Store, account: Account, given: str | None = None) -> Recipient:
    return Recipient(account, store.mailbox(account).id, given or account.address)


def payloads(store: Store) -> list[dict[str, Any]]:
    """What the rows would tell, the oldest first."""
    return [json.loads(row[0]) for row in store.rows("SELECT payload FROM webhook_queue ORDER BY id")]


def claim(store: Store) -> list[Claimed]:
    return run(webhooks.claim(store.database, 100, 60))


def test_a_delivery_is_told_with_all_that_names_it(store: Store) -> None:
    account = store.account()
    header = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Köln\r\n\r\n".encode()
    message = letter(1234, header)
    to = place(store, account, "Tag+x@example.org")

    async def within_its_transaction() -> list[Any]:
        traces.CURRENT.set("4be1c09a77d2.1")
        return list(await deliver(store.tx, message, "böb@example.net", b"1" * 32, [to], NOW_US))

    (outcome,) = run(within_its_transaction())
    assert isinstance(outcome, Delivered)
    [(message_id, mailbox, object_id)] = store.rows(
        "SELECT id, mailbox, object FROM messages WHERE mailbox = %s AND uid = %s", to.mailbox, outcome.uid
    )
    (event,) = claim(store)
    assert (event.kind, event.account, event.message) == ("message.delivered", account.id, message_id)
    assert json.loads(event.payload) == {
        "event": "message.delivered",
        "timestamp": "2023-11-14T22:13:20.000000Z",
        "protocol": "lmtp",
        "account_id": account.id,
        "message_id": None,
        "mailbox_id": mailbox,
        "uid": outcome.uid,
        "object_id": object_id,
        "object_key": message.key,
        "sender": "böb@example.net",
        "recipient": "Tag+x@example.org",
        "subject": "Grüße aus Köln",
        "size": 1234,
        "trace": "4be1c09a77d2.1",
    }


def test_each_copy_is_told_and_no_refusal_or_repetition(store: Store) -> None:
    first, full, second = store.account(), store.account(quota_messages=1), store.account()
    store.fill(full, "INBOX", [()])
    places = [place(store, each) for each in (first, full, second)]
    outcomes = run(deliver(store.tx, letter(), "s", b"2" * 32, places, NOW_US))
    assert [type(outcome) for outcome in outcomes] == [Delivered, OverQuota, Delivered]
    again = run(deliver(store.tx, letter(), "s", b"2" * 32, places, NOW_US))
    assert [type(outcome) for outcome in again] == [Duplicate, OverQuota, Duplicate]
    told = [(event.kind, event.account) for event in queued(store)]
    assert sorted(told, key=str) == sorted(
        [
            ("message.delivered", first.id),
            ("message.delivered", second.id),
            ("quota.exceeded", full.id),
        ],
        key=str,
    )


def test_deliveries_that_share_a_transaction_are_each_told(store: Store) -> None:
    owners = [store.account() for _ in range(12)]
    places = [place(store, owner) for owner in owners]
    together(*(deliver(store.tx, letter(), "s", None, [each], NOW_US) for each in places))
    events = claim(store)
    assert Counter(event.account for event in events) == Counter(owner.id for owner in owners)
    where = {row[0]: row[1] for row in store.rows("SELECT id, account FROM messages")}
    assert all(event.message is not None and where[event.message] == event.account for event in events)


def test_what_is_rolled_back_is_not_told(store: Store) -> None:
    def fail(cursor: Cursor) -> Changed[None]:
        cursor.script(store.tx.events.statements("quota.warning", AccountId(1), {}))
        raise Unavailable

    with pytest.raises(Unavailable):
        run(store.tx.commit("test", fail, account=None))
    assert queued(store) == []


def test_nothing_is_queued_for_nobody(deaf: Store) -> None:
    account = deaf.account()
    run(deliver(deaf.tx, letter(), "s", None, [place(deaf, account)], NOW_US))
    run(accounts.change_account(deaf.tx, OPERATOR, account.id, Change(active=False)))
    assert queued(deaf) == []


def test_a_delivery_costs_no_further_round_trip(store: Store) -> None:
    account = store.account()
    costs = []
    for kinds in ((), NO_ACCOUNTS):
        store.tx.events.want(kinds)
        before = store.trips("deliver")
        run(deliver(store.tx, letter(), "s", None, [place(store, account)], NOW_US))
        costs.append(store.trips("deliver") - before)
    statements = 0 if store.database.dialect == "mysql" else 1  # SQLite counts statements
    assert costs[1] - costs[0] == statements
    assert len(queued(store)) == 1


def test_an_account_is_told_of_from_its_beginning_to_its_end(store: Store) -> None:
    store.tx.events.want(EVENT_KINDS)
    added = run(accounts.add_account(store.tx, OPERATOR, "told@example.org", "hash", 5000))
    run(accounts.change_account(store.tx, OPERATOR, added.id, Change(password_hash="other", active=False)))
    run(accounts.delete_account(store.tx, OPERATOR, added.id))
    told = payloads(store)
    common = {"account_id": added.id, "address": "told@example.org", "actor": "operator"}
    settings = {"quota_octets": 5000, "quota_messages": 0}
    assert [{key: value for key, value in each.items() if key != "timestamp"} for each in told] == [
        {"event": "account.add", **common, **settings, "active": True},
        {"event": "account.change", **common, **settings, "active": False, "changed": ["active", "password"]},
        {"event": "account.delete", **common},
    ]
    assert "hash" not in json.dumps(told)
    assert "other" not in json.dumps(told)


def test_a_full_account_is_told_once(store: Store) -> None:
    full = store.account(quota_octets=500)
    for _ in range(3):
        run(deliver(store.tx, letter(1000), "s", None, [place(store, full)], NOW_US))
        run(quotas.refused(store.tx, "append", [full.id]))
    assert [(each["event"], each["account_id"], each["quota_octets"]) for each in payloads(store)] == [
        ("quota.exceeded", full.id, 500)
    ]


def test_while_too_many_wait_new_ones_are_dropped_and_mail_is_not(store: Store) -> None:
    store.tx.events.full = True
    try:
        account = store.account()
        (outcome,) = run(deliver(store.tx, letter(), "s", None, [place(store, account)], NOW_US))
    finally:
        store.tx.events.full = False
    assert isinstance(outcome, Delivered)
    assert queued(store) == []


def test_told_is_what_the_database_knows_of_the_message(store: Store) -> None:
    account = store.account()
    run(deliver(store.tx, letter(), "s", None, [place(store, account)], NOW_US))
    with receiver() as ear, telling(store, ear) as one:
        run(one.look())
    (told,) = [each for each in ear.told if each.event["event"] == "message.delivered"]
    assert told.event["message_id"] == store.count("SELECT id FROM messages WHERE account = %s", account.id)
