"""Administrators of the web, and who is signed in: laws on every database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from lightmail.auth import totp
from lightmail.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Invalid,
    NoSuchAdministrator,
    NoSuchDomain,
    NotPermitted,
)
from lightmail.operations import accounts
from lightmail.operations import administrators as operations
from lightmail.operations import web_sessions as sessions
from lightmail.operations.actors import Actor
from lightmail.operations.domains import add_domain
from lightmail.store import administrators as stored
from lightmail.store.administrators import Administrator, Credentials
from tests.support.actors import OPERATOR, of_domain
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

_numbers = count(1)
_BROWSER = Actor("browser", "192.0.2.9")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("store")) as config, open_store(config) as opened:
        yield opened


def _domain(store: Store) -> int:
    return run(add_domain(store.tx, OPERATOR, f"d{next(_numbers)}.example"))


def _admin(store: Store, *domains: int) -> Administrator:
    name = f"admin{next(_numbers)}"
    return run(operations.add_administrator(store.tx, OPERATOR, name, "hash", domains or None))


def _known(store: Store, administrator: int) -> Credentials | None:
    return run(store.database.read("test", stored.by_id_txn, administrator))


def _sign_in(store: Store, who: Administrator, step: int = 0) -> str:
    return run(sessions.sign_in_administrator(store.tx, _BROWSER, who, "Firefox", step))


def test_an_administrator_has_the_server_or_the_domains_that_were_named(store: Store) -> None:
    first, second = _domain(store), _domain(store)
    assert _admin(store).server
    made = _admin(store, second, first)
    assert (made.server, [domain for domain, _ in made.domains]) == (False, sorted([first, second]))
    changed = run(operations.set_role(store.tx, OPERATOR, made.id, [first]))
    assert [domain for domain, _ in changed.domains] == [first]
    assert run(operations.set_role(store.tx, OPERATOR, made.id, None)).server
    assert made.id in {each.id for each in run(store.database.read("test", stored.list_txn))}


def test_names_are_taken_once_and_free_again_when_deleted(store: Store) -> None:
    made = run(operations.add_administrator(store.tx, OPERATOR, " Ada\N{COMBINING DIAERESIS} ", "hash"))
    with pytest.raises(AlreadyExists):
        run(operations.add_administrator(store.tx, OPERATOR, "ADÄ", "hash"))
    run(operations.delete_administrator(store.tx, OPERATOR, made.id))
    again = run(operations.add_administrator(store.tx, OPERATOR, "adä", "hash"))
    assert again.id != made.id
    run(operations.delete_administrator(store.tx, OPERATOR, again.id))


@pytest.mark.parametrize("name", ["", "  ", "ada@example.org", "a b", "a" * 65, "a\x07"])
def test_a_name_is_a_word_that_no_address_can_be(store: Store, name: str) -> None:
    with pytest.raises(Invalid):
        run(operations.add_administrator(store.tx, OPERATOR, name, "hash"))


def test_domains_must_be_there_and_one_at_least(store: Store) -> None:
    with pytest.raises(NoSuchDomain):
        run(operations.add_administrator(store.tx, OPERATOR, "nobody", "hash", [10**9]))
    with pytest.raises(Invalid):
        run(operations.add_administrator(store.tx, OPERATOR, "nobody", "hash", []))


def test_who_has_a_domain_changes_no_administrator_but_himself(store: Store) -> None:
    domain = _domain(store)
    made, other, tx = _admin(store, domain), _admin(store), store.tx
    himself = Actor(made.name, "192.0.2.9", domain, made.id)
    run(operations.set_password(tx, himself, made.id, "new"))
    run(operations.set_totp(tx, himself, made.id, totp.new_secret()))
    for actor in (himself, of_domain(domain)):
        with pytest.raises(NoSuchAdministrator):
            run(operations.set_password(tx, actor, other.id, "new"))
        with pytest.raises(NoSuchAdministrator):
            run(operations.sign_out(tx, actor, other.id))
        with pytest.raises(NotPermitted):
            run(operations.add_administrator(tx, actor, "more", "hash", [domain]))
        with pytest.raises(NotPermitted):
            run(operations.set_role(tx, actor, made.id, None))
    for change in (
        operations.delete_administrator(tx, himself, made.id),
        operations.set_active(tx, himself, made.id, True),
    ):
        with pytest.raises(NotPermitted):
            run(change)
    known = _known(store, other.id)
    assert known is not None
    assert known.password_hash == "hash"


def test_a_browser_is_known_by_its_secret_until_it_signs_out(store: Store) -> None:
    who = _admin(store)
    secret = _sign_in(store, who)
    found = run(sessions.signed_in(store.database, secret))
    assert found is not None
    assert found.administrator is not None
    assert found.account is None
    assert (found.administrator.id, found.session.origin, found.session.browser) == (who.id, "192.0.2.9", "Firefox")
    for wrong in ("", secret[:-1], secret + "x" * 100, "\udc80"):
        assert run(sessions.signed_in(store.database, wrong)) is None
    run(sessions.sign_out(store.database, found.sha256))
    assert run(sessions.signed_in(store.database, secret)) is None


def test_an_owner_is_signed_in_as_his_account_until_it_is_disabled(store: Store) -> None:
    account = store.account()
    secret = run(sessions.sign_in_owner(store.tx, _BROWSER, account, "x" * 1000))
    found = run(sessions.signed_in(store.database, secret))
    assert found is not None
    assert found.account is not None
    assert found.administrator is None
    assert found.account.id == account.id
    run(accounts.change_account(store.tx, OPERATOR, account.id, accounts.Change(active=False)))
    assert run(sessions.signed_in(store.database, secret)) is None
    with pytest.raises(AuthenticationFailed):
        run(sessions.sign_in_owner(store.tx, _BROWSER, account, ""))


def test_a_session_ends_when_nothing_is_done_in_it_and_after_its_lifetime(store: Store) -> None:
    who = _admin(store)
    idle, old = _sign_in(store, who), _sign_in(store, who)
    digest = "UPDATE web_sessions SET {} = 1 WHERE secret_sha256 = %s"
    for secret, column in ((idle, "seen_at"), (old, "expires_at")):
        found = run(sessions.signed_in(store.database, secret))
        assert found is not None
        store.execute(digest.format(column), found.sha256)
        assert run(sessions.signed_in(store.database, secret)) is None


def test_what_is_used_is_noted_as_used(store: Store) -> None:
    secret = _sign_in(store, _admin(store))
    found = run(sessions.signed_in(store.database, secret))
    assert found is not None
    store.execute(
        "UPDATE web_sessions SET seen_at = seen_at - %s WHERE secret_sha256 = %s", sessions.IDLE_US // 2, found.sha256
    )
    assert run(sessions.signed_in(store.database, secret)) is not None
    again = run(sessions.signed_in(store.database, secret))
    assert again is not None
    assert again.session.idle_us < 60_000_000


def test_another_password_ends_the_sessions_but_the_one_it_is_changed_in(store: Store) -> None:
    who = _admin(store)
    here, elsewhere = _sign_in(store, who), _sign_in(store, who)
    found = run(sessions.signed_in(store.database, here))
    assert found is not None
    run(operations.set_password(store.tx, OPERATOR, who.id, "new", found.sha256))
    assert run(sessions.signed_in(store.database, here)) is not None
    assert run(sessions.signed_in(store.database, elsewhere)) is None


def test_who_is_signed_out_everywhere_may_sign_in_again(store: Store) -> None:
    who, other = _admin(store), _admin(store)
    lost, here, theirs = _sign_in(store, who), _sign_in(store, who), _sign_in(store, other)
    run(operations.sign_out(store.tx, OPERATOR, who.id))
    assert run(sessions.signed_in(store.database, lost)) is None
    assert run(sessions.signed_in(store.database, here)) is None
    assert run(sessions.signed_in(store.database, theirs)) is not None
    _sign_in(store, who)


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_who_may_not_sign_in_any_more_is_signed_out(store: Store, end: str) -> None:
    who = _admin(store)
    secret = _sign_in(store, who)
    if end == "disable":
        run(operations.set_active(store.tx, OPERATOR, who.id, False))
    else:
        run(operations.delete_administrator(store.tx, OPERATOR, who.id))
    assert run(sessions.signed_in(store.database, secret)) is None
    with pytest.raises(AuthenticationFailed):
        _sign_in(store, who)


def test_a_code_is_asked_for_and_taken_once(store: Store) -> None:
    who = _admin(store)
    run(operations.set_totp(store.tx, OPERATOR, who.id, totp.new_secret(), 100))
    for step in (0, 99, 100):
        with pytest.raises(AuthenticationFailed):
            _sign_in(store, who, step)
    _sign_in(store, who, 101)
    with pytest.raises(AuthenticationFailed):
        _sign_in(store, who, 101)
    run(operations.set_totp(store.tx, OPERATOR, who.id, b""))
    _sign_in(store, who)


def test_every_change_and_every_sign_in_stands_in_the_audit_log(store: Store) -> None:
    who = _admin(store)
    _sign_in(store, who)
    run(operations.set_password(store.tx, OPERATOR, who.id, "secret hash"))
    run(operations.delete_administrator(store.tx, OPERATOR, who.id))
    rows = store.rows("SELECT action, detail, origin FROM audit_log WHERE subject = %s ORDER BY id", who.name.encode())
    assert [bytes(row[0]).decode() for row in rows] == [
        "administrator.add",
        "administrator.sign_in",
        "administrator.password",
        "administrator.delete",
    ]
    assert all(b"hash" not in bytes(row[1]) for row in rows)
    assert bytes(rows[1][2]) == b"192.0.2.9"


def test_a_form_of_another_session_is_known_as_one() -> None:
    assert sessions.is_form_token("secret", sessions.form_token("secret"))
    for given in ("", sessions.form_token("other"), "ä\udc80"):
        assert not sessions.is_form_token("secret", given)
