"""The contract of domains, accounts, aliases and the maildrop's lease, over every database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from lightmail.errors import AlreadyExists, Cannot, InUse, Invalid, MailError, NoSuchAccount, NoSuchDomain
from lightmail.model import Account, AccountId
from lightmail.operations import accounts, aliases, domains, housekeeping, maildrop
from lightmail.operations.accounts import Change
from lightmail.operations.leases import Lease
from lightmail.store import accounts as rows
from lightmail.store import aliases as alias_rows
from lightmail.store import domains as domain_rows
from lightmail.store import profiles
from lightmail.store.addresses import normalised
from lightmail.store.ranges import names_from
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
NOBODY = AccountId(1 << 40)


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def found(store: Store, address: str) -> tuple[Account, str] | None:
    return run(store.database.read("test", rows.by_address_txn, address))


def routed(store: Store, address: str) -> list[str]:
    return sorted(account.address for account in run(store.database.read("test", rows.route_txn, address)))


def test_an_account_is_found_by_its_normalised_address(store: Store) -> None:
    run(domains.add_domain(store.tx, OPERATOR, "B\u00dccher.example."))
    made = run(accounts.add_account(store.tx, OPERATOR, "  J\u00f6rg.M@xn--bcher-kva.Example ", "h", 10, 20))
    assert made.address == "j\u00f6rg.m@b\u00fccher.example"
    assert found(store, normalised("JO\u0308RG.m@B\u00dcCHER.example")) == (made, "h")
    assert (made.quota_octets, made.quota_messages, made.active, len(made.uuid)) == (10, 20, True, 16)
    with pytest.raises(AlreadyExists):
        run(accounts.add_account(store.tx, OPERATOR, "j\u00f6rg.m@b\u00fccher.example", "h"))


@pytest.mark.parametrize(
    "address", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a\x00@b", '"a"@b', "a" * 320 + "@b"]
)
def test_addresses_that_cannot_be(store: Store, address: str) -> None:
    with pytest.raises(Invalid):
        run(accounts.add_account(store.tx, OPERATOR, address, "h"))


def test_domains(store: Store) -> None:
    one = run(domains.add_domain(store.tx, OPERATOR, "one.example"))
    with pytest.raises(AlreadyExists):
        run(domains.add_domain(store.tx, OPERATOR, "ONE.example"))
    with pytest.raises(NoSuchDomain):
        run(accounts.add_account(store.tx, OPERATOR, "a@two.example", "h"))
    account = run(accounts.add_account(store.tx, OPERATOR, "a@one.example", "h"))
    shown = run(store.database.read("test", domain_rows.by_name_txn, "one.example"))
    assert shown is not None
    assert (shown.id, shown.accounts, shown.max_accounts) == (one, 1, 0)
    with pytest.raises(Cannot):
        run(domains.delete_domain(store.tx, OPERATOR, one))
    run(accounts.delete_account(store.tx, OPERATOR, account.id))
    run(domains.delete_domain(store.tx, OPERATOR, one))
    with pytest.raises(NoSuchDomain):
        run(domains.delete_domain(store.tx, OPERATOR, one))


def test_an_account_changes(store: Store) -> None:
    account = store.account()

    def change(**settings: Any) -> None:
        run(accounts.change_account(store.tx, OPERATOR, account.id, Change(**settings)))

    change(password_hash="new", full_name=" Ada L\u00f6velace ")
    change(quota_octets=5)
    change(quota_messages=7, active=False)
    changed = found(store, account.address)
    assert changed is not None
    assert (changed[1], changed[0].quota_octets, changed[0].quota_messages, changed[0].active) == ("new", 5, 7, False)
    profile = run(store.database.read("test", profiles.by_id_txn, account.id))
    assert profile is not None
    assert (profile.address, profile.full_name) == (account.address, "Ada L\u00f6velace")
    change(active=True, quota_octets=0, quota_messages=0)
    assert found(store, account.address) == (account, "new")
    for missing in (
        accounts.change_account(store.tx, OPERATOR, NOBODY, Change(active=True)),
        accounts.delete_account(store.tx, OPERATOR, NOBODY),
    ):
        with pytest.raises(NoSuchAccount):
            run(missing)
    for refused in (
        {"quota_octets": -1},
        {"quota_messages": 1 << 63},
        {"full_name": "a\nb"},
        {"full_name": "\u00e4" * 161},
    ):
        with pytest.raises(Invalid):
            change(password_hash="not this", **refused)
    assert found(store, account.address) == (account, "new"), "all or nothing"


def test_a_deleted_account_frees_its_address(store: Store) -> None:
    account = store.account()
    store.fill(account, "INBOX", [NONE])
    run(accounts.delete_account(store.tx, OPERATOR, account.id))
    assert found(store, account.address) is None
    assert routed(store, account.address) == []
    assert store.names(account) == []
    again = run(accounts.add_account(store.tx, OPERATOR, account.address, "h"))
    assert again.id != account.id
    assert again.uuid != account.uuid
    assert store.usage(again) == (0, 0)


def test_aliases_lead_to_accounts(store: Store) -> None:
    account = store.account()
    one, two = account.address, store.account().address
    run(aliases.add_alias(store.tx, OPERATOR, "All@example.org", one))
    run(aliases.add_alias(store.tx, OPERATOR, "all@example.org", two))
    run(aliases.add_alias(store.tx, OPERATOR, "everybody@example.org", "all@example.org"))
    run(aliases.add_alias(store.tx, OPERATOR, "everybody@example.org", one))
    assert routed(store, "everybody@example.org") == sorted([one, two])
    assert routed(store, one) == [one]
    assert routed(store, "nobody@example.org") == []
    errors: list[tuple[str, str, type[MailError]]] = [
        ("all@example.org", one, AlreadyExists),
        (one, two, AlreadyExists),
        ("new@example.org", "nobody@example.org", NoSuchAccount),
        ("new@nowhere.example", one, NoSuchAccount),
        ("all@example.org", "everybody@example.org", Cannot),
        ("self@example.org", "self@example.org", Cannot),
    ]
    for address, target, error in errors:
        with pytest.raises(error):
            run(aliases.add_alias(store.tx, OPERATOR, address, target))
    with pytest.raises(AlreadyExists):
        run(accounts.add_account(store.tx, OPERATOR, "all@example.org", "h"))
    with pytest.raises(Cannot):
        run(accounts.delete_account(store.tx, OPERATOR, account.id))
    domain = run(store.database.read("test", domain_rows.by_name_txn, "example.org"))
    assert domain is not None
    everyone = alias_rows.Chosen(names_from(""), domain.id)
    listed, _ = run(store.database.read("test", alias_rows.listed_txn, everyone, None, 1000))
    assert ("all@example.org", one) in [(alias.address, alias.target) for alias in listed]
    run(aliases.delete_alias(store.tx, OPERATOR, "all@example.org", two))
    assert routed(store, "everybody@example.org") == [one]
    run(aliases.delete_alias(store.tx, OPERATOR, "everybody@example.org"))
    with pytest.raises(NoSuchAccount):
        run(aliases.delete_alias(store.tx, OPERATOR, "everybody@example.org"))
    assert routed(store, "everybody@example.org") == []


def test_one_session_holds_the_maildrop(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE, NONE, NONE])
    lease = run(maildrop.lock(store.database, account, "session-1"))
    assert run(lease.renew())
    with pytest.raises(InUse):
        run(maildrop.lock(store.database, account, "session-2"))
    run(maildrop.lock(store.database, store.account(), "session-2"))
    assert run(maildrop.remove(store.tx, account, inbox, [3, 1, 9], lease)).uids == [1, 3]
    assert store.uids(inbox) == [2]
    assert store.usage(account) == (1000, 1)
    run(lease.release())
    again = run(maildrop.lock(store.database, account, "session-2"))
    assert again.fence > lease.fence
    assert not run(lease.renew())
    with pytest.raises(InUse):
        run(maildrop.remove(store.tx, account, inbox, [2], lease))
    run(lease.release())
    assert run(again.renew())
    assert store.uids(inbox) == [2]


def test_a_lease_that_ran_out_passes_on(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE, NONE])
    lease = run(maildrop.lock(store.database, account, "dead"))
    store.execute("UPDATE leases SET expires_at = 1 WHERE name = %s", lease.name.encode())
    assert not run(lease.renew())
    assert run(maildrop.remove(store.tx, account, inbox, [1], lease)).uids == [1], "nobody has taken it yet"
    run(maildrop.lock(store.database, account, "alive"))
    with pytest.raises(InUse):
        run(maildrop.remove(store.tx, account, inbox, [2], lease))


def test_a_free_maildrop_goes_to_one_of_many(store: Store) -> None:
    account = store.account()
    leases = together(*(maildrop.lock(store.database, account, f"session-{number}") for number in range(6)))
    assert sum(isinstance(lease, Lease) for lease in leases) == 1
    assert sum(isinstance(lease, InUse) for lease in leases) == 5


def test_old_marks_are_forgotten(store: Store) -> None:
    day_us = 86_400_000_000
    now = time.time_ns() // 1000
    store.execute("INSERT INTO operations (id, committed_at) VALUES (%s, %s)", b"\xfe" * 16, now)
    for number in range(3):
        store.execute("INSERT INTO operations (id, committed_at) VALUES (%s, %s)", bytes([number]) * 16, number)
        age = now - (number + 5) * day_us
        store.execute(
            "INSERT INTO deliveries (account, digest, delivered_at) VALUES (1, %s, %s)", bytes([number]) * 32, age
        )
    for name, updated in ((b"verify/deep/look", 1), (b"verify/quick/look", now), (b"garbage", 1), (b"verify0", 1)):
        store.execute("INSERT INTO job_progress (name, state, updated_at) VALUES (%s, %s, %s)", name, b"{}", updated)
    store.execute("INSERT INTO events (happened_at, kind, detail) VALUES (1, %s, %s)", b"a.b", b"{}")
    assert run(housekeeping.forget(store.database)) == 3 + 1 + 1 + 1
    assert run(housekeeping.forget(store.database)) == 0
    assert store.count("SELECT COUNT(*) FROM operations WHERE committed_at < 5") == 0
    assert store.count("SELECT COUNT(*) FROM operations") > 0
    assert store.count("SELECT COUNT(*) FROM job_progress") == 3


def test_housekeeping_goes_round_until_it_is_stopped(store: Store) -> None:
    clock = Clock()
    service = housekeeping.Housekeeping(store.database, reactor=clock)
    store.execute("INSERT INTO operations (id, committed_at) VALUES (%s, 1)", b"\xff" * 16)
    call(service.startService)
    call(clock.advance, 3600)
    patience = time.monotonic() + 10
    while store.count("SELECT COUNT(*) FROM operations WHERE committed_at = 1"):
        assert time.monotonic() < patience
        time.sleep(0.01)
    call(service.stopService)
    assert clock.getDelayedCalls() == []
    call(service.startService)
    call(clock.advance, 3600)
    call(service.stopService)
    assert clock.getDelayedCalls() == [], "a round that was under way does not start another"
