"""Where mail for an address goes, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.delivery.addresses import Target, junk_txn, look_up
from lightmail.errors import AccountDisabled, MailError, NoSuchAccount
from lightmail.operations.accounts import Change, change_account, delete_account
from lightmail.operations.aliases import add_alias
from lightmail.operations.mailboxes import create, delete
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("routes")
    with fresh_config(request.param, directory) as config, open_store(config) as store:
        yield store


def routes(store: Store, *given: str, tagged: bool = False) -> list[list[Target] | MailError]:
    return run(look_up(store.database, given, "mx.example.org", tagged))


def alias(store: Store, address: str, target: str) -> None:
    run(add_alias(store.tx, OPERATOR, address, target))


def test_an_account_gets_its_mail_in_its_inbox_whatever_the_case(store: Store) -> None:
    account = store.account()
    given = account.address.upper()
    assert routes(store, given) == [[Target(account, store.mailbox(account).id, given)]]


def test_an_address_that_nobody_has_is_unknown(store: Store) -> None:
    (found,) = routes(store, "nobody@example.org")
    assert isinstance(found, NoSuchAccount)
    (found,) = routes(store, "no address at all")
    assert isinstance(found, NoSuchAccount)


def test_many_recipients_take_one_round_trip(store: Store) -> None:
    accounts = [store.account() for _ in range(20)]
    before = store.trips("route")
    given = [account.address.replace("@", "+tag@") for account in accounts]
    found = routes(store, *given, "nobody@example.org")
    assert [target.account for route in found[:-1] if isinstance(route, list) for target in route] == accounts
    assert isinstance(found[-1], NoSuchAccount)
    assert store.trips("route") - before <= 2  # SQLite counts statements


def test_an_alias_leads_to_all_its_accounts_once(store: Store) -> None:
    one, two = store.account(), store.account()
    for target in (one.address, two.address):
        alias(store, f"all-{one.id}@example.org", target)
    alias(store, f"more-{one.id}@example.org", f"all-{one.id}@example.org")
    alias(store, f"more-{one.id}@example.org", one.address)
    (found,) = routes(store, f"more-{one.id}+tag@example.org")
    assert isinstance(found, list)
    assert sorted(target.account.id for target in found) == [one.id, two.id]


def test_a_whole_address_wins_over_a_subaddress(store: Store) -> None:
    one, two = store.account(), store.account()
    whole = one.address.replace("@", "+team@")
    alias(store, whole, two.address)
    (found,) = routes(store, whole)
    assert isinstance(found, list)
    assert [target.account for target in found] == [two]


def test_a_tag_names_an_existing_mailbox_where_that_is_configured(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "Lists/Python"))
    given = account.address.replace("@", "+Lists/Python@")
    other = account.address.replace("@", "+Other@")
    inbox, lists = store.mailbox(account).id, store.mailbox(account, "Lists/Python").id
    places = [target.mailbox for route in routes(store, given, other, tagged=True) for target in _targets(route)]
    assert places == [lists, inbox]
    assert [target.mailbox for route in routes(store, given) for target in _targets(route)] == [inbox]
    assert "Other" not in store.names(account)


def test_disabled_and_deleted_accounts_take_no_mail(store: Store) -> None:
    disabled, deleted, active = store.account(), store.account(), store.account()
    alias(store, f"some-{active.id}@example.org", active.address)
    alias(store, f"some-{active.id}@example.org", disabled.address)
    run(change_account(store.tx, OPERATOR, disabled.id, Change(active=False)))
    run(delete_account(store.tx, OPERATOR, deleted.id))
    found = routes(store, disabled.address, deleted.address, f"some-{active.id}@example.org")
    assert isinstance(found[0], AccountDisabled)
    assert isinstance(found[1], NoSuchAccount)
    assert [target.account for target in _targets(found[2])] == [active]


def test_spam_goes_to_the_mailbox_for_it_if_there_is_one(store: Store) -> None:
    one, two = store.account(), store.account()
    run(delete(store.tx, two, "Junk"))
    found = run(store.database.read("junk", junk_txn, [one.id, two.id]))
    assert found == {one.id: store.mailbox(one, "Junk").id}


def _targets(route: list[Target] | MailError) -> list[Target]:
    assert isinstance(route, list), route
    return route
