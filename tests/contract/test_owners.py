"""What an account's owner may do: to his own app passwords and sessions; nothing to his settings, nothing to others."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator

import pytest

from lightmail.errors import MailError, NoSuchAccount, NoSuchAppPassword, NoSuchSession, NotPermitted
from lightmail.model import Account
from lightmail.operations import accounts, aliases, app_passwords, domains, sessions, web_sessions
from lightmail.operations.accounts import Change
from lightmail.operations.actors import Actor
from lightmail.store import sessions as stored
from lightmail.store.sessions import Listed, Process, Report
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def owner(account: Account) -> Actor:
    return Actor(account.address, "192.0.2.8", -1, account=account.id)


def connected(store: Store, account: Account) -> Listed:
    process = Process(os.urandom(16), "mail", 1, "1", 1)
    report = Report(os.urandom(4).hex(), account.id, "imap", "192.0.2.8", True, "Client", 1)
    run(store.database.run("test", stored.report_txn, process, [report], []))
    (found,), total = run(sessions.listed(store.database, owner(account), account=account.id, limit=10))
    assert total == 1
    return found


def test_an_owner_has_his_own_app_passwords_and_no_others(store: Store) -> None:
    ann, bob = store.account(), store.account()
    issued = run(app_passwords.add_app_password(store.tx, owner(ann), ann.id, "phone"))
    with pytest.raises(NoSuchAccount):
        run(app_passwords.add_app_password(store.tx, owner(ann), bob.id, "phone"))
    with pytest.raises(NoSuchAppPassword):
        run(app_passwords.revoke_app_password(store.tx, owner(bob), issued.app_password.id))
    run(app_passwords.revoke_app_password(store.tx, owner(ann), issued.app_password.id))


def test_an_owner_sees_and_ends_his_own_sessions_and_no_others(store: Store) -> None:
    ann, bob = store.account(), store.account()
    session = connected(store, ann)
    assert run(sessions.listed(store.database, owner(bob), account=ann.id, limit=10)) == ([], 0)
    assert run(sessions.listed(store.database, owner(ann), limit=10)) == ([], 0)
    with pytest.raises(NoSuchSession):
        run(sessions.end_session(store.tx, owner(bob), session.id))
    with pytest.raises(NoSuchAccount):
        run(sessions.end_account_sessions(store.tx, owner(bob), ann.id))
    run(sessions.end_session(store.tx, owner(ann), session.id))
    run(sessions.end_account_sessions(store.tx, owner(ann), ann.id))


@pytest.mark.parametrize(
    "attempt",
    [
        lambda tx, actor, own: accounts.change_account(tx, actor, own.id, Change(quota_octets=0)),
        lambda tx, actor, own: accounts.delete_account(tx, actor, own.id),
        lambda tx, actor, own: aliases.add_alias(tx, actor, f"x{own.address}", own.address),
        lambda tx, actor, own: domains.add_domain(tx, actor, "another.example"),
    ],
    ids=["settings", "deletion", "alias", "domain"],
)
def test_an_owner_administers_nothing(
    store: Store, attempt: Callable[[object, Actor, Account], Awaitable[object]]
) -> None:
    ann = store.account()
    with pytest.raises((NoSuchAccount, NotPermitted)) as refused:
        run(attempt(store.tx, owner(ann), ann))
    assert isinstance(refused.value, MailError)


@pytest.mark.parametrize(
    "change", [Change(password_hash="another"), Change(active=False)], ids=["password", "disabled"]
)
def test_another_password_and_the_end_of_being_active_sign_the_owner_out_of_the_web(
    store: Store, change: Change
) -> None:
    ann, bob = store.account(), store.account()
    mine, others = (run(web_sessions.sign_in_owner(store.tx, owner(who), who, "Browser")) for who in (ann, bob))
    run(accounts.change_account(store.tx, OPERATOR, ann.id, Change(full_name="Ann")))
    assert run(web_sessions.signed_in(store.database, mine)) is not None
    run(accounts.change_account(store.tx, OPERATOR, ann.id, change))
    if change.active is False:
        run(accounts.change_account(store.tx, OPERATOR, ann.id, Change(active=True)))
    assert run(web_sessions.signed_in(store.database, mine)) is None
    assert run(web_sessions.signed_in(store.database, others)) is not None
