"""App passwords over every database: whose they are, when they were last used, and who may change them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from lightmail.auth.app_passwords import digest
from lightmail.auth.uses import LastUses, Use
from lightmail.errors import NoSuchAppPassword, Unavailable
from lightmail.jobs.app_password_uses import AppPasswordUses
from lightmail.model import Account, AccountId
from lightmail.operations.app_passwords import add_app_password, find_app_password, note_uses, revoke_app_password
from lightmail.store import app_passwords, credentials
from lightmail.store.app_passwords import AppPassword
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def issue(store: Store, account: Account, name: str = "phone", *protocols: str) -> tuple[AppPassword, bytes]:
    issued = run(add_app_password(store.tx, OPERATOR, account.id, name, protocols or ("imap", "pop3")))
    hidden = digest(issued.secret.encode())
    assert hidden is not None
    return issued.app_password, hidden


def listed(store: Store, account: Account) -> list[AppPassword]:
    return run(store.database.read("test", app_passwords.list_txn, account.id))


def meta_seq(store: Store, account: AccountId) -> int:
    return store.count("SELECT meta_seq FROM accounts WHERE id = %s", account)


def test_one_opens_its_own_account_only(store: Store) -> None:
    ann, bob = store.account(), store.account()
    _, hidden = issue(store, ann, "phone", "pop3")
    issue(store, bob)

    def find(account: Account, secret: bytes | None) -> frozenset[str]:
        found = run(store.database.read("test", credentials.find_txn, account.address, secret))
        assert found is not None
        assert (found.account, found.password_hash) == (account, "hash")
        assert bool(found.app_password) == bool(found.protocols)
        return found.protocols

    assert find(ann, hidden) == {"pop3"}
    assert find(bob, hidden) == find(ann, None) == find(ann, b"x" * 32) == frozenset()


def test_the_journal_hears_of_new_ones_and_of_revoked_ones(store: Store) -> None:
    account = store.account()
    seen = [meta_seq(store, account.id)]
    made, _ = issue(store, account)
    seen.append(meta_seq(store, account.id))
    run(revoke_app_password(store.tx, OPERATOR, made.id))
    seen.append(meta_seq(store, account.id))
    assert sorted(set(seen)) == seen


def test_two_that_revoke_the_same_one(store: Store) -> None:
    made, _ = issue(store, store.account())
    outcomes = together(*(revoke_app_password(store.tx, OPERATOR, made.id) for _ in range(4)))
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, NoSuchAppPassword) for outcome in outcomes) == 3


def test_it_is_found_by_the_name_that_people_type(store: Store) -> None:
    account = store.account()
    made, _ = issue(store, account, " Jose\u0301's phone")
    assert run(find_app_password(store.database, account.id, "Jos\u00e9's phone ")) == made
    with pytest.raises(NoSuchAppPassword):
        run(find_app_password(store.database, account.id, "jos\u00e9's phone"))


def test_uses_are_written_down_and_a_later_one_stays(store: Store) -> None:
    account = store.account()
    phone, _ = issue(store, account, "phone")
    laptop, _ = issue(store, account, "laptop")
    uses = LastUses()
    for use in (Use(phone.id, 20, "2001:db8::1"), Use(laptop.id, 30, "192.0.2.1"), Use(1 << 40, 5, "192.0.2.9")):
        uses.note(use)
    before = store.trips("app-password-uses")
    run(note_uses(store.database, uses))
    run(note_uses(store.database, uses))
    assert store.trips("app-password-uses") - before <= 3, "all of them in one script, and none where there is nothing"
    uses.note(Use(phone.id, 10, "192.0.2.2"))
    uses.note(Use(laptop.id, 40, "192.0.2.3"))
    run(note_uses(store.database, uses))
    assert [(each.name, each.last_used_us, each.last_used_from) for each in listed(store, account)] == [
        ("laptop", 40, "192.0.2.3"),
        ("phone", 20, "2001:db8::1"),
    ]


def test_uses_that_cannot_be_written_down_are_kept(store: Store) -> None:
    uses = LastUses()
    uses.note(Use(1, 2, "192.0.2.1"))
    with pytest.raises(Unavailable):
        run(note_uses(Away(store), uses))  # type: ignore[arg-type]
    assert uses.take() == [Use(1, 2, "192.0.2.1")]


class Away:
    """A database that does not answer."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.database.dialect

    async def run(self, *_: object) -> None:
        raise Unavailable


def test_the_service_writes_every_minute_and_when_it_stops(store: Store) -> None:
    account = store.account()
    made, _ = issue(store, account)
    clock, uses = Clock(), LastUses()
    service = AppPasswordUses(store.database, uses, reactor=clock)
    call(service.startService)
    call(uses.note, Use(made.id, 7, "192.0.2.1"))
    call(clock.advance, 60)
    patience = time.monotonic() + 10
    while listed(store, account)[0].last_used_us != 7:
        assert time.monotonic() < patience
        time.sleep(0.005)
    call(uses.note, Use(made.id, 8, "192.0.2.1"))

    async def stop() -> None:
        await service.stopService()

    run(stop())
    assert listed(store, account)[0].last_used_us == 8
    assert clock.getDelayedCalls() == []
