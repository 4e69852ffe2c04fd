"""Who may do what over the API: laws over the whole table, so that an endpoint which joins it is held to them, too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lightmail.config import ApiConfig
from lightmail.web.api.endpoints import Endpoint, Query
from lightmail.web.api.schemas import (
    Address,
    Boolean,
    Choice,
    Integer,
    ListOf,
    Moment,
    Nullable,
    Object,
    Schema,
    Text,
)
from lightmail.web.api.scopes import ALL_SCOPES
from lightmail.web.api.table import ENDPOINTS
from tests.support import icaltext
from tests.support.apikit import TOKEN, Answer, Api, serve_api
from tests.support.apiworld import Realm, settle
from tests.support.storekit import Store, fresh_config, open_store

# What no id of a row is, and no address of an alias.
NOBODY = {"{id}": "999999999", "{address}": "nobody@nowhere.example"}
PRIVATE = [each for each in ENDPOINTS if each.scope is not None]
OF_DOMAINS = [each for each in PRIVATE if not each.server_only]
OF_THINGS = [each for each in OF_DOMAINS if "{" in each.path]
OF_ALL = [each for each in OF_DOMAINS if each.method == "GET" and "{" not in each.path]

_HOUR_US = 3_600_000_000


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    with fresh_config("sqlite", tmp_path_factory.mktemp("api")) as config, open_store(config) as store:
        yield store


@pytest.fixture(scope="module")
def api(store) -> Iterator[Api]:
    with serve_api(store) as api:
        yield api


@pytest.fixture(scope="module")
def alpha(api) -> Realm:
    return settle(api, "alpha")


@pytest.fixture(scope="module")
def beta(api) -> Realm:
    return settle(api, "beta")


@pytest.fixture(scope="module")
def bad_tokens(api) -> Mapping[str, str | None]:
    """Tokens that are good for nothing, by why."""
    revoked = api.token()
    [newest] = api.get("/admin/tokens", {"limit": 500}).json["items"][-1:]
    assert api.delete(f"/admin/tokens/{newest['id']}").status == 204
    return {
        "missing": None,
        "wrong": "open",
        "empty": "",
        "never made": "lmt_" + "A" * 43,
        "very long": "x" * 5000,
        "revoked": revoked,
        "expired": api.token(expires_us=time.time_ns() // 1000 - _HOUR_US),
        "its hash": "0" * 64,
    }


def contents(store: Store) -> dict[str, Any]:
    """All rows, but for when tokens were used."""
    tables = [
        row[0].decode() if isinstance(row[0], bytes) else row[0]
        for row in store.rows("SELECT name FROM sqlite_master WHERE type = %s AND name NOT LIKE %s", "table", "sqlite%")
    ]
    found: dict[str, Any] = {table: sorted(map(repr, store.rows(f"SELECT * FROM {table}"))) for table in tables}  # noqa: S608
    found["api_tokens"] = store.rows(
        "SELECT id, name, scopes, domain, expires_at, revoked_at FROM api_tokens ORDER BY id"
    )
    return found


def example(schema: Schema) -> Any:
    """A value of a type."""
    match schema:
        case Object():
            fields = {**schema.required, **dict(list(schema.optional.items())[: schema.least])}
            return {name: example(each) for name, each in fields.items()}
        case Choice():
            return schema.words[0]
        case Integer():
            return max(schema.minimum, 1)
        case Boolean():
            return True
        case Address():
            return "someone@beta.example"
        case Moment():
            return "2026-01-01T00:00:00Z"
        case ListOf():
            return [example(schema.of)] * schema.minimum
        case Nullable():
            return None
        case Text():
            return "x" * max(schema.minimum, 12)
    raise AssertionError(schema)


def path_to(endpoint: Endpoint, thing: str | None = None) -> str:
    """The endpoint's path with its variable, and the query that it needs."""
    path = re.sub(r"\{[a-z_]+\}", lambda found: thing or NOBODY[found[0]], endpoint.path, count=1)
    needed = "&".join(f"{each.name}={_needed(each)}" for each in endpoint.query if each.required)
    return f"{path}?{needed}" if needed else path


def _needed(query: Query) -> Any:
    return "2026-12-31T00:00:00Z" if query.name == "to" else example(query.type)


def ask(api: Api, endpoint: Endpoint, path: str, token: str | None, **fields: Any) -> Answer:
    body = None if endpoint.body is None else {**example(endpoint.body), **fields}
    return api.request(endpoint.method, path, body, token=token)


def same(answer: Answer) -> tuple[int, Any]:
    """An answer without what differs each time."""
    return answer.status, {key: value for key, value in answer.json.items() if key != "request_id"}


def test_nobody_does_anything_without_a_good_token(api, store, alpha, bad_tokens):
    before = contents(store)
    for endpoint in PRIVATE:
        for why in ("missing", "never made", "revoked", "expired"):
            answer = ask(api, endpoint, path_to(endpoint, _thing(alpha, endpoint)), bad_tokens[why])
            assert (answer.status, answer.code) == (401, "token_missing" if why == "missing" else "token_invalid"), (
                why,
                endpoint,
            )
            assert answer.headers["www-authenticate"].startswith('Bearer realm="LightMail"')
    assert contents(store) == before


def test_what_is_no_token(api, bad_tokens):
    for why, token in bad_tokens.items():
        assert api.get("/stats", token=token).status == 401, why
    for fields in (
        {"Authorization": "Basic c2VzYW1lOnNlc2FtZQ=="},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN},"},
        {"Cookie": f"token={TOKEN}"},
        {"X-Forwarded-For": "127.0.0.1"},
    ):
        assert api.request("GET", "/stats", token=None, headers=fields).status == 401, fields
    assert api.get(f"/stats?token={TOKEN}", token=None).status == 401
    assert api.request("GET", "/stats", token=None, headers={"authorization": f"bearer  {TOKEN}"}).status == 200


def test_an_empty_token_of_the_configuration_is_none(store):
    with serve_api(store, api=ApiConfig(token="")) as api:
        for token in (None, "", " ", TOKEN):
            assert api.get("/stats", token=token).status == 401
        assert api.get("/stats", token=api.token()).status == 200


def test_nobody_does_anything_without_its_scope(api, store, alpha):
    tokens = {scope: api.token(*ALL_SCOPES - {scope}) for scope in ALL_SCOPES}
    before = contents(store)
    for endpoint in PRIVATE:
        answer = ask(api, endpoint, path_to(endpoint, _thing(alpha, endpoint)), tokens[endpoint.scope])
        assert (answer.status, answer.code) == (403, "scope_missing"), endpoint
        assert f'scope="{endpoint.scope.value}"' in answer.headers["www-authenticate"]
    assert contents(store) == before


def test_its_scope_is_all_that_is_needed(api):
    tokens = {scope: api.token(scope) for scope in ALL_SCOPES}
    for endpoint in OF_DOMAINS:
        own = {"scopes": [endpoint.scope.value]} if endpoint.path == "/admin/tokens" else {}
        answer = ask(api, endpoint, path_to(endpoint), tokens[endpoint.scope], **own)
        assert answer.status not in (401, 403, 500), (endpoint, answer)


def test_what_concerns_the_server_is_not_for_who_administers_a_domain(api, store, beta):
    before = contents(store)
    for endpoint in PRIVATE:
        if endpoint.server_only:
            answer = ask(api, endpoint, path_to(endpoint), beta.token)
            assert (answer.status, answer.code) == (403, "server_only"), endpoint
    assert contents(store) == before


def _thing(realm: Realm, endpoint: Endpoint) -> str:
    return str(realm.things.get(endpoint.path.partition("/{")[0], 1))


@pytest.mark.parametrize("endpoint", OF_THINGS, ids=_name)
def test_another_domains_things_are_as_those_that_never_were(api, store, alpha, beta, endpoint):
    kind = endpoint.path.partition("/{")[0]
    assert kind in alpha.things, f"give tests/support/apiworld.py one of {kind}"
    before = contents(store)
    for fields in ({}, {"dest_mailbox_id": beta.mailbox}):
        if fields and (
            endpoint.body is None or "dest_mailbox_id" not in endpoint.body.required | endpoint.body.optional
        ):
            continue
        theirs = ask(api, endpoint, path_to(endpoint, str(alpha.things[kind])), beta.token, **fields)
        nobodys = ask(api, endpoint, path_to(endpoint), beta.token, **fields)
        assert theirs.status == 404, theirs
        assert same(theirs) == same(nobodys)
    assert contents(store) == before


@pytest.mark.parametrize("endpoint", OF_ALL, ids=_name)
def test_lists_show_nothing_of_another_domain(api, alpha, beta, endpoint):
    needed = {each.name: _needed(each) for each in endpoint.query if each.required}
    queries: list[dict[str, Any]] = [{}]
    known = {each.name for each in endpoint.query}
    for name, value in {
        "domain_id": alpha.domain,
        "account_id": alpha.account,
        "calendar_id": alpha.things["/calendar"],
        "search": "alpha",
        "target": "owner@alpha.example",
        "subject": "owner@alpha.example",
        "address": "192.0.2.1",
        "actor": "[api] token",
    }.items():
        if name in known:
            queries.append({name: value})
    for query in queries:
        if endpoint.paged:
            query["limit"] = 500
        answer = api.get(endpoint.path, needed | query, token=beta.token)
        assert answer.status in (200, 404), answer
        assert b"alpha" not in answer.octets, query


def test_what_a_body_names_of_another_domain_does_not_exist(api, store, alpha, beta):
    message = f"/admin/messages/{beta.message}"
    before = contents(store)
    for path, body in [
        ("/admin/accounts", {"address": "new@alpha.example", "password": "correct horse battery"}),
        ("/admin/aliases", {"address": "new@alpha.example", "target": "owner@beta.example"}),
        ("/admin/tokens", {"name": "thief", "scopes": ["status:read"], "domain_id": alpha.domain}),
        ("/admin/jobs/verify", {"account_id": alpha.account}),
        ("/admin/jobs/undelete", {"account_id": alpha.account}),
        ("/calendar", {"account_id": alpha.account, "name": "mine"}),
        ("/calendar/event", {"calendar_id": alpha.things["/calendar"], "icalendar": icaltext.text().decode()}),
        (f"{message}/copy", {"dest_mailbox_id": alpha.mailbox}),
        (f"{message}/move", {"dest_mailbox_id": alpha.mailbox}),
    ]:
        answer = api.post(path, body, token=beta.token)
        assert answer.status == 404, (path, answer)
        assert b"alpha" not in answer.octets
    assert contents(store) == before


def test_nobody_gives_more_than_he_has(api, alpha, beta):
    narrow = api.token(*[scope for scope in ALL_SCOPES if scope.value in ("tokens:write", "accounts:read")])
    for token, body, status in [
        (narrow, {"name": "same", "scopes": ["accounts:read"]}, 201),
        (narrow, {"name": "more", "scopes": ["accounts:write"]}, 403),
        (beta.token, {"name": "server", "scopes": ["status:read"]}, 403),
        (beta.token, {"name": "server", "scopes": ["status:read"], "domain_id": None}, 403),
        (beta.token, {"name": "theirs", "scopes": ["status:read"], "domain_id": alpha.domain}, 404),
        (beta.token, {"name": "own", "scopes": ["status:read"], "domain_id": beta.domain}, 201),
    ]:
        assert api.post("/admin/tokens", body, token=token).status == status, body


def test_a_domains_own_administrator_does_it_all(api, beta):
    """What is refused elsewhere is not refused because nothing works."""
    for endpoint in OF_THINGS:
        if endpoint.method == "GET":
            answer = ask(api, endpoint, path_to(endpoint, _thing(beta, endpoint)), beta.token)
            assert answer.status == 200, (endpoint.path, answer)
    for path, query in (
        ("/calendar", {"account_id": beta.account}),
        (
            "/calendar/events",
            {"calendar_id": beta.things["/calendar"], "from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"},
        ),
        ("/admin/sessions", {"account_id": beta.account}),
    ):
        assert len(api.get(path, query, token=beta.token).json["items"]) == 1, path
