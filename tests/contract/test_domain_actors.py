"""Whoever administers one domain: in every operation another's things are not there for him, and stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lightmail.errors import MailError, NoSuchAccount, NoSuchAlias, NoSuchAppPassword, NoSuchDomain, NotPermitted
from lightmail.model import Account, AccountId
from lightmail.operations import accounts, aliases, app_passwords, domains
from lightmail.operations.accounts import Change
from lightmail.operations.actors import Actor
from lightmail.operations.transactions import Transactions
from lightmail.operations.undelete import restore_account
from tests.support.actors import OPERATOR, of_domain
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

TABLES = ("domains", "domain_limits", "accounts", "aliases", "app_passwords", "mailboxes", "audit_log", "session_ends")


@dataclass(frozen=True)
class Place:
    """What an attempt is aimed at: a domain (id and name), an account, a deleted one's address, an app password."""

    domain: int
    name: str
    account: AccountId
    deleted: str
    app_password: int


@dataclass(frozen=True)
class Scene:
    store: Store
    own: Place
    foreign: Place


ABSENT = Place(1 << 40, "absent.example", AccountId(1 << 40), "gone@absent.example", 1 << 40)

Attempt = Callable[[Transactions, Actor, Place], Coroutine[Any, Any, object]]

# What another domain's is answered with, which is what nothing at all is answered with.
ATTEMPTS: dict[str, tuple[type[MailError], Attempt]] = {
    "add an account": (NoSuchDomain, lambda tx, who, at: accounts.add_account(tx, who, f"new@{at.name}", "h")),
    "change an account": (
        NoSuchAccount,
        lambda tx, who, at: accounts.change_account(tx, who, at.account, Change(active=False)),
    ),
    "delete an account": (NoSuchAccount, lambda tx, who, at: accounts.delete_account(tx, who, at.account)),
    "restore an account": (NoSuchDomain, lambda tx, who, at: restore_account(tx, who, at.deleted, 30)),
    "add an alias": (NoSuchDomain, lambda tx, who, at: aliases.add_alias(tx, who, f"new@{at.name}", "ann@own.example")),
    "add an alias to there": (
        NoSuchAccount,
        lambda tx, who, at: aliases.add_alias(tx, who, "new@own.example", f"ann@{at.name}"),
    ),
    "delete an alias": (NoSuchAlias, lambda tx, who, at: aliases.delete_alias(tx, who, f"all@{at.name}")),
    "add an app password": (
        NoSuchAccount,
        lambda tx, who, at: app_passwords.add_app_password(tx, who, at.account, "phone 2"),
    ),
    "revoke an app password": (
        NoSuchAppPassword,
        lambda tx, who, at: app_passwords.revoke_app_password(tx, who, at.app_password),
    ),
}
SERVER_ONLY: dict[str, Attempt] = {
    "add a domain": lambda tx, who, at: domains.add_domain(tx, who, f"more.{at.name}"),
    "limit a domain": lambda tx, who, at: domains.limit_domain(tx, who, at.domain, 7),
    "delete a domain": lambda tx, who, at: domains.delete_domain(tx, who, at.domain),
}


@pytest.fixture(scope="module", params=BACKENDS)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield Scene(store, place(store, "own.example"), place(store, "foreign.example"))


def place(store: Store, name: str) -> Place:
    domain = run(domains.add_domain(store.tx, OPERATOR, name))
    ann, gone = (run(accounts.add_account(store.tx, OPERATOR, f"{local}@{name}", "h")) for local in ("ann", "gone"))
    run(accounts.delete_account(store.tx, OPERATOR, gone.id))
    run(aliases.add_alias(store.tx, OPERATOR, f"all@{name}", ann.address))
    issued = run(app_passwords.add_app_password(store.tx, OPERATOR, ann.id, "phone"))
    return Place(domain, name, ann.id, gone.address, issued.app_password.id)


def everything(store: Store) -> list[Sequence[tuple[Any, ...]]]:
    return [sorted(store.rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES]  # noqa: S608


def refused(attempt: Coroutine[Any, Any, object]) -> MailError:
    with pytest.raises(MailError) as caught:
        run(attempt)
    return caught.value


@pytest.mark.parametrize("name", ATTEMPTS)
def test_another_domain_s_things_are_not_there(scene: Scene, name: str) -> None:
    error, attempt = ATTEMPTS[name]
    hostmaster = of_domain(scene.own.domain)
    before = everything(scene.store)
    answers = [refused(attempt(scene.store.tx, hostmaster, at)) for at in (scene.foreign, ABSENT)]
    assert [type(answer) for answer in answers] == [error, error]
    assert answers[0].text == answers[1].text
    assert everything(scene.store) == before


@pytest.mark.parametrize("name", SERVER_ONLY)
@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_domains_are_the_server_s(scene: Scene, name: str, whose: str) -> None:
    hostmaster = of_domain(scene.own.domain)
    before = everything(scene.store)
    answer = refused(SERVER_ONLY[name](scene.store.tx, hostmaster, getattr(scene, whose)))
    assert type(answer) is NotPermitted
    assert everything(scene.store) == before


def test_an_own_domain_s_things_are_his_and_the_audit_log_says_so(scene: Scene) -> None:
    store, hostmaster = scene.store, of_domain(scene.own.domain)
    last = store.count("SELECT MAX(id) FROM audit_log")
    new: Account = run(accounts.add_account(store.tx, hostmaster, "new@own.example", "h"))
    run(accounts.change_account(store.tx, hostmaster, new.id, Change(password_hash="sesame", full_name="New")))
    run(aliases.add_alias(store.tx, hostmaster, "also@own.example", new.address))
    run(aliases.delete_alias(store.tx, hostmaster, "also@own.example", new.address))
    issued = run(app_passwords.add_app_password(store.tx, hostmaster, new.id, "phone"))
    run(app_passwords.revoke_app_password(store.tx, hostmaster, issued.app_password.id))
    run(accounts.delete_account(store.tx, hostmaster, new.id))
    run(restore_account(store.tx, hostmaster, new.address, 30))
    entries = store.rows(
        "SELECT action, actor, origin, domain, subject, detail FROM audit_log WHERE id > %s ORDER BY id", last
    )
    assert [entry[0].decode() for entry in entries] == [
        "account.add",
        "account.change",
        "alias.add",
        "alias.delete",
        "app_password.add",
        "app_password.revoke",
        "account.delete",
        "account.restore",
    ]
    assert {entry[1:4] for entry in entries} == {(b"hostmaster", b"192.0.2.7", scene.own.domain)}
    assert {entry[4] for entry in entries} == {b"new@own.example", b"also@own.example"}
    told = b" ".join(entry[5] for entry in entries)
    assert b"sesame" not in told
    assert issued.secret.encode() not in told


def test_who_has_a_domain_now_does_not_restore_what_was_in_it_before(scene: Scene) -> None:
    tx = scene.store.tx
    before = run(domains.add_domain(tx, OPERATOR, "sold.example"))
    ann = run(accounts.add_account(tx, OPERATOR, "ann@sold.example", "h"))
    run(accounts.delete_account(tx, OPERATOR, ann.id))
    run(domains.delete_domain(tx, OPERATOR, before))
    hostmaster = of_domain(run(domains.add_domain(tx, OPERATOR, "sold.example")))
    for chosen in (None, ann.id):
        assert type(refused(restore_account(tx, hostmaster, ann.address, 30, chosen))) is NoSuchAccount
    assert run(restore_account(tx, OPERATOR, ann.address, 30)).id == ann.id
    run(accounts.change_account(tx, hostmaster, ann.id, Change(full_name="Ann")))
