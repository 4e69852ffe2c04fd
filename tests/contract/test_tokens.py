"""Tokens of the API and the audit log, on every database."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from twisted.internet import reactor

from lightmail.errors import AlreadyExists, Invalid, NoSuchDomain, NoSuchToken, NotPermitted
from lightmail.operations.domains import add_domain, delete_domain
from lightmail.operations.housekeeping import AUDIT_AGE_US, TOKENS_AGE_US, forget
from lightmail.operations.tokens import TokenUse, add_token, revoke_token
from lightmail.store import audit, tokens
from lightmail.store.audit import Filters
from lightmail.store.tokens import Token
from lightmail.web.api.endpoints import Call
from lightmail.web.api.pages import PageRequest
from lightmail.web.api.server import object_store
from tests.support.actors import OPERATOR, of_domain
from tests.support.apikit import serve_api
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

_HOUR_US = 3_600_000_000
SCOPES = ("accounts:read", "status:read")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request, tmp_path_factory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


@pytest.fixture(scope="module")
def domain(store) -> int:
    return run(add_domain(store.tx, OPERATOR, "tokens.example"))


def make(store: Store, name: str, **changes: object) -> tuple[Token, str]:
    return run(add_token(store.tx, OPERATOR, name, SCOPES, **changes))


def find(store: Store, secret: str) -> Token | None:
    return run(TokenUse(store.tx, reactor).find(secret.encode()))


def entries(store: Store, **filters: object) -> list[audit.Entry]:
    return run(store.database.read("test", audit.page_txn, Filters(**filters), None, 500))


def test_a_token_is_found_by_its_secret_alone(store):
    made, secret = make(store, "plain")
    found = find(store, secret)
    assert found is not None
    assert (found.id, found.name, found.scopes, found.domain, found.expires_us) == (made.id, "plain", SCOPES, None, 0)
    assert find(store, secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None
    assert find(store, hashlib.sha256(secret.encode()).hexdigest()) is None


def test_the_database_does_not_know_the_secret(store):
    _, secret = make(store, "hidden")
    rows = repr(store.rows("SELECT * FROM api_tokens")) + repr(store.rows("SELECT * FROM audit_log"))
    assert secret not in rows
    assert secret.removeprefix("lmt_") not in rows


def test_no_two_are_the_same(store):
    assert len({make(store, f"one of {number}")[1] for number in range(20)}) == 20


def test_an_expired_one_is_not_found_and_still_listed(store):
    past, future = time.time_ns() // 1000 - _HOUR_US, time.time_ns() // 1000 + _HOUR_US
    expired, secret = make(store, "expired", expires_us=past)
    assert find(store, secret) is None
    assert run(store.database.read("test", tokens.by_id_txn, expired.id)) is not None
    assert find(store, make(store, "not yet", expires_us=future)[1]) is not None


def test_a_revoked_one_is_gone_and_its_name_free(store):
    made, secret = make(store, "once")
    run(revoke_token(store.tx, OPERATOR, made.id))
    assert find(store, secret) is None
    assert run(store.database.read("test", tokens.by_id_txn, made.id)) is None
    with pytest.raises(NoSuchToken):
        run(revoke_token(store.tx, OPERATOR, made.id))
    again, _ = make(store, "once")
    assert again.id > made.id


def test_revoked_by_two_at_once_it_is_noted_once(store):
    made, _ = make(store, "twice")
    outcomes = together(*(revoke_token(store.tx, OPERATOR, made.id) for _ in range(2)))
    assert sorted(type(each) for each in outcomes if each is not None) == [NoSuchToken]
    assert [each.detail["id"] for each in entries(store, action="token.revoke", subject="twice")] == [made.id]


def test_a_name_is_taken_once(store):
    make(store, "mine")
    with pytest.raises(AlreadyExists):
        make(store, "mine")
    outcomes = together(*(add_token(store.tx, OPERATOR, "ours", SCOPES) for _ in range(3)))
    assert [type(each) for each in outcomes].count(AlreadyExists) == 2


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 61, "\ud800", "\x7f"])
def test_names(store, name):
    with pytest.raises(Invalid):
        make(store, name)


def test_a_long_name_in_any_script(store):
    name = "\U0001f600" * 60
    assert make(store, name)[0].name == name


def test_a_domains_administrator_makes_tokens_of_that_alone(store, domain):
    actor = of_domain(domain)
    with pytest.raises(NotPermitted):
        run(add_token(store.tx, actor, "wide", SCOPES))
    with pytest.raises(NoSuchDomain):
        run(add_token(store.tx, actor, "other", SCOPES, domain=domain + 1000))
    made, secret = run(add_token(store.tx, actor, "own", SCOPES, domain=domain))
    found = find(store, secret)
    assert found is not None
    assert (found.domain, found.domain_name) == (domain, "tokens.example")
    servers, _ = make(store, "the server's")
    with pytest.raises(NoSuchToken):
        run(revoke_token(store.tx, actor, servers.id))
    run(revoke_token(store.tx, actor, made.id))


def test_a_domain_that_is_gone_takes_its_tokens_along(store):
    gone = run(add_domain(store.tx, OPERATOR, "gone.example"))
    made, secret = make(store, "orphan", domain=gone)
    run(delete_domain(store.tx, OPERATOR, gone))
    assert find(store, secret) is None
    assert run(store.database.read("test", tokens.by_id_txn, made.id)) is None


def test_use_is_noted_once_a_minute(store):
    made, secret = make(store, "busy")
    use = TokenUse(store.tx, reactor)
    before = store.trips("token-used")
    for _ in range(5):
        run(use.find(secret.encode()))
    used_at = "SELECT last_used_at FROM api_tokens WHERE id = %s"
    deadline = time.monotonic() + 10
    while not (store.count(used_at, made.id) and store.trips("token-used") > before):
        assert time.monotonic() < deadline  # nobody waits for the write, but this test
    assert store.count(used_at, made.id) <= time.time_ns() // 1000 + _HOUR_US
    written = store.trips("token-used")
    for _ in range(5):
        run(use.find(secret.encode()))
    run(store.database.run("test", lambda cursor: None))
    assert store.trips("token-used") == written


def test_pages_of_tokens(store, domain):
    ids = [make(store, f"page {number}", domain=domain)[0].id for number in range(5)]
    read = store.database.read
    assert [each.id for each in run(read("test", tokens.page_txn, 0, 0, 500, domain)) if each.id in ids] == ids
    assert [each.id for each in run(read("test", tokens.page_txn, ids[1], 1, 2, domain))] == ids[3:5]
    everything = run(read("test", tokens.page_txn, 0, 0, 500, None))
    assert [each.id for each in everything] == sorted(each.id for each in everything)


def test_the_audit_log_by_filters(store, domain):
    actor = of_domain(domain)
    made, _ = run(add_token(store.tx, actor, "audited", SCOPES, domain=domain))
    run(revoke_token(store.tx, actor, made.id))
    found = entries(store, subject="audited")
    assert [(each.action, each.actor, each.origin, each.domain) for each in found] == [
        ("token.revoke", "hostmaster", "192.0.2.7", domain),
        ("token.add", "hostmaster", "192.0.2.7", domain),
    ]
    assert found[1].detail == {"id": made.id, "scopes": sorted(SCOPES), "expires_us": 0}
    newest = found[0]
    for filters, expected in [
        ({"action": "token"}, True),
        ({"action": "token.revoke"}, True),
        ({"action": "tok"}, False),
        ({"action": "token.rev"}, False),
        ({"actor": "hostmaster"}, True),
        ({"actor": "Hostmaster"}, False),
        ({"origin": "192.0.2.7"}, True),
        ({"origin": "console"}, False),
        ({"domain": domain}, True),
        ({"domain": 0}, False),
        ({"since_us": newest.happened_us}, True),
        ({"until_us": newest.happened_us}, False),
        ({"until_us": newest.happened_us + 1}, True),
    ]:
        assert (newest.id in [each.id for each in entries(store, **filters)]) is expected, filters


def test_the_audit_log_by_pages(store):
    with serve_api(store) as api:
        whole = api.get("/admin/audit", {"limit": 500}).json["items"]
        paged, cursor = [], None
        while True:
            answer = api.get("/admin/audit", {"limit": 7, **({"cursor": cursor} if cursor else {})}).json
            paged += answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
    assert paged == whole
    assert [each["id"] for each in whole] == sorted((each["id"] for each in whole), reverse=True)


class _Hanging:
    """An object store that does not answer until it is let go."""

    def __init__(self) -> None:
        self.let_go = Event()

    def size(self, key: str) -> None:
        self.let_go.wait(60)


def test_an_object_store_that_does_not_answer_is_told_so(store):
    with serve_api(store) as api:
        hanging = _Hanging()
        services = replace(api.services, objects=hanging, reactor=_Hasty())
        call = Call(OPERATOR, (), {}, {}, {}, PageRequest(), services, "")
        try:
            answer = run(object_store(call))
        finally:
            hanging.let_go.set()
    assert (answer.value["reachable"], answer.value["latency_ms"]) == (False, None)


class _Hasty:
    """A reactor whose time passes fifty times as fast for those who wait."""

    def seconds(self) -> float:
        return float(reactor.seconds())

    def callLater(self, seconds: float, *args: Any) -> Any:
        return reactor.callLater(seconds / 50, *args)


def test_what_is_forgotten(store):
    """The audit log after two years, revoked tokens after a month; nothing else of them."""
    old, _ = make(store, "old")
    run(revoke_token(store.tx, OPERATOR, old.id))
    late, _ = make(store, "late")
    run(revoke_token(store.tx, OPERATOR, late.id))
    live, _ = make(store, "live")
    now_us = time.time_ns() // 1000
    store.execute("UPDATE api_tokens SET revoked_at = %s WHERE id = %s", now_us - TOKENS_AGE_US - _HOUR_US, old.id)
    [revoked, added] = entries(store, subject="old")
    store.execute("UPDATE audit_log SET happened_at = %s WHERE id = %s", now_us - AUDIT_AGE_US - _HOUR_US, added.id)
    store.execute("UPDATE audit_log SET happened_at = %s WHERE id = %s", now_us - AUDIT_AGE_US + _HOUR_US, revoked.id)
    before = len(entries(store))
    run(forget(store.database))
    assert [each.id for each in entries(store, subject="old")] == [revoked.id]
    assert len(entries(store)) == before - 1
    ids = [row[0] for row in store.rows("SELECT id FROM api_tokens ORDER BY id")]
    assert old.id not in ids
    assert {late.id, live.id} <= set(ids)


def test_totals(store, domain):
    with serve_api(store) as api:
        before = api.get("/stats").json
        token = api.token(domain=domain)
        own = api.get("/stats", token=token).json
    assert before["domains"] >= 2
    assert (own["domains"], own["accounts"]) == (1, 0)


def test_the_status_pages(store):
    account = store.account()
    store.fill(account, "INBOX", [(), ()], octets=1000)
    with serve_api(store) as api:
        database = api.get("/admin/db/status").json
        assert database["reachable"]
        assert database["schema_version"] == database["schema_needed"]
        assert database["octets"] > 0
        assert database["server_version"][0].isdigit()
        objects = api.get("/admin/s3/status").json["objects"]
        assert objects["live"] >= 2
        assert objects["live_octets"] >= 1000
        assert api.get("/stats").json["messages"] >= 2
        assert api.get("/admin/status").json["processes"] == []
        checks = dict.fromkeys(("database", "schema", "objects"), "ok")
        assert api.get("/admin/health").json == {"healthy": True, "checks": checks, "waiting": []}
        assert api.get("/admin/imap/config").json["limits"]["append_octets"] == 50 << 20
