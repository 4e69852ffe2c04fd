"""Domains, accounts, aliases and app passwords by the HTTP API, over every database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from lightmail.auth.passwords import verify
from lightmail.errors import AuthenticationFailed
from lightmail.operations import accounts as operations
from lightmail.operations.app_passwords import add_app_password
from lightmail.store import accounts, credentials
from lightmail.web.api.scopes import Scope
from tests.support.actors import OPERATOR
from tests.support.apikit import Answer, Api, serve_api
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

ABSENT = 1 << 40


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(store: Store) -> Iterator[Api]:
    with serve_api(store) as served:
        yield served


def made(answer: Answer, status: int = 201) -> Any:
    assert answer.status == status, answer.octets
    return answer.json


def domain(api: Api, name: str, **fields: Any) -> Any:
    return made(api.post("/admin/domains", {"name": name, **fields}))


def account(api: Api, address: str) -> Any:
    """A new account as the API shows it, whose password costs no hashing."""
    added = run(operations.add_account(api.store.tx, OPERATOR, address, "hash"))
    return made(api.get(f"/admin/accounts/{added.id}"), 200)


def new(api: Api, address: str, **fields: Any) -> Any:
    """A new account that the API makes."""
    return made(api.post("/admin/accounts", {"address": address, "password": "sesame 1", **fields}))


def every(api: Api, path: str, token: str | None = None, **query: Any) -> list[Any]:
    """All items of a list, by its cursors."""
    items: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = made(api.get(path, {**query, **cursor}, **({"token": token} if token else {})), 200)
        items += page["items"]
        assert (page["total"] is None) == bool(cursor)
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def wishes(store: Store, account: int) -> int:
    return store.count("SELECT COUNT(*) FROM session_ends WHERE account = %s", account)


def audited(store: Store, subject: str) -> list[tuple[str, int, str]]:
    rows = store.rows(
        "SELECT action, domain, detail, actor, origin FROM audit_log WHERE subject = %s ORDER BY id", subject.encode()
    )
    assert {(row[3], row[4]) for row in rows} <= {(b"[api] token", b"127.0.0.1"), (b"operator", b"console")}
    return [(row[0].decode(), row[1], row[2].decode()) for row in rows]


# --- what administrators of the server do ---


def test_a_domain_s_life(api: Api, store: Store) -> None:
    one = domain(api, "Life.example", max_accounts=2)
    assert one == {**one, "name": "life.example", "accounts": 0, "max_accounts": 2}
    path = f"/admin/domains/{one['id']}"
    assert made(api.get(path), 200) == one
    assert api.post("/admin/domains", {"name": "life.EXAMPLE"}).code == "already_exists"
    refused = api.post("/admin/domains", {"name": "a..b"})
    assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_field", "name")
    assert made(api.put(path, {"max_accounts": 1}), 200)["max_accounts"] == 1
    ann = account(api, "ann@life.example")
    assert made(api.get(path), 200)["accounts"] == 1
    assert api.post("/admin/accounts", {"address": "bob@life.example", "password": "x"}).code == "limit_reached"
    assert api.delete(path).code == "cannot"
    assert api.delete(f"/admin/accounts/{ann['id']}").status == 204
    assert api.delete(path).status == 204
    for gone in (api.get(path), api.put(path, {"max_accounts": 1}), api.delete(path)):
        assert gone.code == "no_such_domain"
    actions = [(action, of) for action, of, _ in audited(store, "life.example")]
    assert actions == [("domain.add", one["id"]), ("domain.change", one["id"]), ("domain.delete", one["id"])]


def test_an_account_s_life(api: Api, store: Store) -> None:
    of = domain(api, "accounts.example")["id"]
    ann = new(api, " Ann@Accounts.example", full_name=" Ann \u00d6 ", quota_octets=10, active=False)
    known = {"address": "ann@accounts.example", "domain_id": of, "full_name": "Ann \u00d6", "active": False}
    assert ann == {**ann, **known, "quota_octets": 10, "quota_messages": 0, "used_octets": 0, "used_messages": 0}
    path = f"/admin/accounts/{ann['id']}"
    assert made(api.get(path), 200) == ann
    changed = made(api.put(path, {"active": True, "quota_messages": 5, "full_name": ""}), 200)
    assert changed == {**ann, "active": True, "quota_messages": 5, "full_name": ""}
    assert wishes(store, ann["id"]) == 0
    made(api.put(path, {"password": "another"}), 200)
    assert wishes(store, ann["id"]) == 1
    made(api.put(path, {"active": False}), 200)
    assert wishes(store, ann["id"]) == 2
    found = run(store.database.read("test", accounts.by_address_txn, ann["address"]))
    assert found is not None
    assert verify(found[1], "another")
    assert api.delete(path).status == 204
    assert wishes(store, ann["id"]) == 3
    for gone in (api.get(path), api.put(path, {"active": True}), api.delete(path)):
        assert gone.code == "no_such_account"
    told = audited(store, ann["address"])
    assert [(action, where) for action, where, _ in told] == [
        (f"account.{verb}", of) for verb in ("add", "change", "change", "change", "delete")
    ]
    assert not any("argon2" in detail or "another" in detail for _, _, detail in told)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"address": "x@accounts.test"}, 422, "password"),
        ({"address": "x", "password": "p"}, 422, "address"),
        ({"address": "x@accounts.test", "password": ""}, 422, "password"),
        ({"address": "x@accounts.test", "password": "a\u0000b"}, 422, "password"),
        ({"address": "x@accounts.test", "password": "p" * 1025}, 422, "password"),
        ({"address": "x@accounts.test", "password": "\u00ad"}, 422, "password"),
        ({"address": "x@accounts.test", "password": "p", "quota_octets": -1}, 422, "quota_octets"),
        ({"address": "x@accounts.test", "password": "p", "quota_octets": 1 << 63}, 422, "quota_octets"),
        ({"address": "x@accounts.test", "password": "p", "full_name": "\u00e4" * 161}, 422, "full_name"),
        ({"address": "x@accounts.test", "password": "p", "active": 1}, 422, "active"),
        ({"address": "x@accounts.test", "password": "p", "colour": "red"}, 422, "colour"),
        ({"address": "x@nowhere.example", "password": "p"}, 404, None),
    ],
)
def test_accounts_that_cannot_be(api: Api, body: dict[str, Any], status: int, field: str | None) -> None:
    if not api.get("/admin/domains", {"search": "accounts.test"}).json["items"]:
        domain(api, "accounts.test")
    refused = api.post("/admin/accounts", body)
    assert (refused.status, refused.json.get("field")) == (status, field), refused.octets
    assert api.get("/admin/accounts", {"search": "x@"}).json["items"] == []


def test_an_account_comes_back(api: Api, store: Store) -> None:
    domain(api, "back.example")
    first = account(api, "ann@back.example")
    api.delete(f"/admin/accounts/{first['id']}")
    listed = every_deleted(api)
    assert listed[first["id"]]["address"] == "ann@back.example"
    second = account(api, "ann@back.example")
    path = f"/admin/deleted-accounts/{first['id']}/restore"
    assert api.post(path).code == "already_exists"
    api.delete(f"/admin/accounts/{second['id']}")
    assert made(api.post(path), 200) == first
    assert api.post(path).code == "no_such_account"
    assert second["id"] in every_deleted(api)
    assert first["id"] not in every_deleted(api)
    assert "account.restore" in [action for action, _, _ in audited(store, "ann@back.example")]


def every_deleted(api: Api, token: str | None = None) -> dict[int, Any]:
    page = made(api.get("/admin/deleted-accounts", {"limit": 500}, **({"token": token} if token else {})), 200)
    return {each["id"]: each for each in page["items"]}


def test_an_alias_s_life(api: Api, store: Store) -> None:
    of = domain(api, "aliases.example")["id"]
    for name in ("ann", "bob"):
        account(api, f"{name}@aliases.example")
    for target in ("bob", "ann"):
        body = {"address": "All@aliases.example", "target": f"{target}@aliases.example"}
        assert made(api.post("/admin/aliases", body))["address"] == "all@aliases.example"
    assert api.post("/admin/aliases", {"address": "ann@aliases.example", "target": "bob@aliases.example"}).status == 409
    circle = api.post("/admin/aliases", {"address": "all@aliases.example", "target": "all@aliases.example"})
    assert circle.code == "cannot"
    nobody = api.post("/admin/aliases", {"address": "x@aliases.example", "target": "nobody@aliases.example"})
    assert nobody.code == "no_such_account"
    targets = [each["target"] for each in every(api, "/admin/aliases", domain_id=of, limit=1)]
    assert targets == ["ann@aliases.example", "bob@aliases.example"]
    assert [each["target"] for each in every(api, "/admin/aliases", target="bob@aliases.example")] == targets[1:]
    assert every(api, "/admin/aliases", search="ALL@al", limit=1) == every(api, "/admin/aliases", domain_id=of)
    path = f"/admin/aliases/{quote('all@aliases.example')}"
    assert api.delete(f"{path}?target={quote('bob@aliases.example')}").status == 204
    assert api.delete(path).status == 204
    assert api.delete(path).code == "no_such_alias"
    told = [action for action, where, _ in audited(store, "all@aliases.example") if where == of]
    assert told == ["alias.add", "alias.add", "alias.delete", "alias.delete"]


def test_an_app_password_s_life(api: Api, store: Store) -> None:
    domain(api, "apps.example")
    ann = account(api, "ann@apps.example")
    path = f"/admin/accounts/{ann['id']}/app-passwords"
    phone = made(api.post(path, {"name": " phone ", "protocols": ["imap"]}))
    laptop = made(api.post(path, {"name": "laptop"}))
    assert (phone["name"], phone["protocols"], laptop["protocols"]) == ("phone", ["imap"], ["imap", "pop3"])
    assert phone["password"] != laptop["password"]
    assert api.post(path, {"name": "phone"}).code == "already_exists"
    assert api.post(path, {"name": "   "}).json["field"] == "name"
    assert api.post(path, {"name": "x", "protocols": []}).json["field"] == "protocols"
    listed = every(api, path, limit=1)
    assert [each["name"] for each in listed] == ["laptop", "phone"]
    assert all("password" not in each and each["last_used_at"] is None for each in listed)
    assert store.count("SELECT COUNT(*) FROM app_passwords WHERE secret_sha256 = %s", phone["password"].encode()) == 0
    assert wishes(store, ann["id"]) == 0
    assert api.delete(f"/admin/app-passwords/{phone['id']}").status == 204
    assert wishes(store, ann["id"]) == 1
    assert api.delete(f"/admin/app-passwords/{phone['id']}").code == "no_such_app_password"
    assert [each["name"] for each in every(api, path)] == ["laptop"]
    told = audited(store, "ann@apps.example")
    assert [action for action, _, _ in told][1:] == ["app_password.add", "app_password.add", "app_password.revoke"]
    assert not any(phone["password"] in detail for _, _, detail in told)
    for number in range(99):
        run(add_app_password(store.tx, OPERATOR, ann["id"], f"n{number}"))
    assert api.post(path, {"name": "one more"}).code == "limit_reached"
    api.delete(f"/admin/accounts/{ann['id']}")
    assert api.post(path, {"name": "y"}).code == "no_such_account"
    assert api.get(path).code == "no_such_account"
    assert api.delete(f"/admin/app-passwords/{laptop['id']}").code == "no_such_app_password"


def test_lists_by_cursor_and_by_offset_are_the_same_list(api: Api, store: Store) -> None:
    one, other = domain(api, "pages.example")["id"], domain(api, "other.pages.example")["id"]
    names = sorted(["a", "a.b", "ab", "b", "\u00e4", "\U0001f98a", "a-b", "zz"], key=str.encode)
    for name in names:
        run(operations.add_account(store.tx, OPERATOR, f"{name}@pages.example", "h"))
    run(operations.add_account(store.tx, OPERATOR, "ab@other.pages.example", "h"))
    wanted = [f"{name}@pages.example" for name in names]
    wanted.sort(key=str.encode)

    def addresses(items: list[Any]) -> list[str]:
        return [each["address"] for each in items]

    for limit in (1, 3, 8, 9):
        assert addresses(every(api, "/admin/accounts", domain_id=one, limit=limit)) == wanted
        by_offset = [
            each
            for offset in range(0, len(wanted) + limit, limit)
            for each in api.get("/admin/accounts", {"domain_id": one, "limit": limit, "offset": offset}).json["items"]
        ]
        assert addresses(by_offset) == wanted
    assert addresses(every(api, "/admin/accounts", search="AB@", limit=1)) == [
        "ab@other.pages.example",
        "ab@pages.example",
    ]
    assert api.get("/admin/accounts", {"search": "a", "domain_id": one}).json["total"] == 4
    assert api.get("/admin/accounts", {"search": "a", "domain_id": ABSENT}).json["items"] == []
    found = every(api, "/admin/domains", search="OTHER.", limit=1)
    assert [each["id"] for each in found] == [other]


# --- who administers one domain ---


def test_another_domain_does_not_exist_for_a_domain_s_administrator(api: Api, store: Store) -> None:
    own, foreign = domain(api, "own.example"), domain(api, "foreign.example")
    mine, theirs = account(api, "ann@own.example"), account(api, "ann@foreign.example")
    gone = account(api, "gone@foreign.example")
    api.delete(f"/admin/accounts/{gone['id']}")
    made(api.post("/admin/aliases", {"address": "all@foreign.example", "target": "ann@foreign.example"}))
    theirs_app = made(api.post(f"/admin/accounts/{theirs['id']}/app-passwords", {"name": "phone"}))
    token = api.token(Scope.ACCOUNTS_READ, Scope.ACCOUNTS_WRITE, domain=own["id"])
    before = store.rows("SELECT id, address, active, full_name, deleted_at FROM accounts ORDER BY id")

    def same(method: str, path: str, foreign_id: Any, absent: Any, body: Any = None) -> None:
        """What is another domain's is answered as what is not there."""
        answers = [api.request(method, path.format(each), body, token=token) for each in (foreign_id, absent)]
        seen = [(each.status, {**each.json, "request_id": ""}) for each in answers]
        assert seen[0] == seen[1], seen
        assert seen[0][0] == 404, seen

    for method, body in (("GET", None), ("PUT", {"active": False}), ("DELETE", None)):
        same(method, "/admin/accounts/{}", theirs["id"], ABSENT, body)
    same("GET", "/admin/domains/{}", foreign["id"], ABSENT)
    same("GET", "/admin/accounts/{}/app-passwords", theirs["id"], ABSENT)
    same("POST", "/admin/accounts/{}/app-passwords", theirs["id"], ABSENT, {"name": "mine now"})
    same("DELETE", "/admin/app-passwords/{}", theirs_app["id"], ABSENT)
    same("POST", "/admin/deleted-accounts/{}/restore", gone["id"], ABSENT)
    same("DELETE", "/admin/aliases/{}", "all@foreign.example", "all@absent.example")
    for domain_ in ("foreign.example", "absent.example"):
        fresh = api.post("/admin/accounts", {"address": f"new@{domain_}", "password": "p"}, token=token)
        assert (fresh.status, fresh.code) == (404, "no_such_domain")
        alias = api.post("/admin/aliases", {"address": f"new@{domain_}", "target": "ann@own.example"}, token=token)
        assert (alias.status, alias.code) == (404, "no_such_domain")
    targets = ["ann@foreign.example", "all@foreign.example", "nobody@foreign.example", "nobody@own.example"]
    for target in targets:
        alias = api.post("/admin/aliases", {"address": "new@own.example", "target": target}, token=token)
        assert (alias.status, alias.code) == (404, "no_such_account")
    for path in ("/admin/accounts", "/admin/aliases"):
        assert every(api, path, token, domain_id=foreign["id"]) == every(api, path, token, domain_id=ABSENT) == []
    assert store.rows("SELECT id, address, active, full_name, deleted_at FROM accounts ORDER BY id") == before
    assert [each["id"] for each in every(api, "/admin/accounts", token)] == [mine["id"]]
    assert every(api, "/admin/aliases", token) == []
    assert [each["id"] for each in every(api, "/admin/domains", token)] == [own["id"]]
    assert every(api, "/admin/domains", token, search="foreign") == []
    assert every_deleted(api, token) == {}


def test_a_domain_s_administrator_administers_it(api: Api, store: Store) -> None:
    own = domain(api, "mine.example", max_accounts=2)
    token = api.token(Scope.ACCOUNTS_READ, Scope.ACCOUNTS_WRITE, domain=own["id"])
    ann = made(api.post("/admin/accounts", {"address": "ann@mine.example", "password": "p"}, token=token))
    path = f"/admin/accounts/{ann['id']}"
    assert made(api.put(path, {"full_name": "Ann"}, token=token), 200)["full_name"] == "Ann"
    made(api.post("/admin/aliases", {"address": "all@mine.example", "target": "ann@mine.example"}, token=token))
    assert api.delete("/admin/aliases/all%40mine.example", token=token).status == 204
    phone = made(api.post(f"{path}/app-passwords", {"name": "phone"}, token=token))
    assert api.delete(f"/admin/app-passwords/{phone['id']}", token=token).status == 204
    assert api.delete(path, token=token).status == 204
    assert ann["id"] in every_deleted(api, token)
    assert made(api.post(f"/admin/deleted-accounts/{ann['id']}/restore", token=token), 200)["address"] == ann["address"]
    for method, where, body in (
        ("POST", "/admin/domains", {"name": "more.example"}),
        ("PUT", f"/admin/domains/{own['id']}", {"max_accounts": 0}),
        ("DELETE", f"/admin/domains/{own['id']}", None),
    ):
        assert api.request(method, where, body, token=token).code == "server_only"
    entries = store.rows("SELECT actor, domain FROM audit_log WHERE domain = %s ORDER BY id DESC LIMIT 8", own["id"])
    assert [entry[0].startswith(b"token t") for entry in entries] == [True] * 8


# --- logging in ---


def test_what_the_api_sets_opens_the_account(api: Api, store: Store) -> None:
    domain(api, "login.example")
    ann = new(api, "ann@login.example", password="caf\u00e9")
    phone = made(api.post(f"/admin/accounts/{ann['id']}/app-passwords", {"name": "phone", "protocols": ["pop3"]}))
    authenticator = api.services.authenticator

    def opens(password: str, protocol: str) -> bool:
        return run(_opens(authenticator, b"ann@login.example", password.encode(), protocol))

    assert opens("cafe\u0301", "imap")
    assert not opens(phone["password"], "imap")
    trips = store.trips("login")
    assert opens(phone["password"].upper(), "pop3")
    assert store.trips("login") == trips + 1
    api.delete(f"/admin/app-passwords/{phone['id']}")
    assert not opens(phone["password"], "pop3")
    assert run(store.database.read("test", credentials.find_txn, "none@login.example", b"x" * 32)) is None


async def _opens(authenticator: Any, name: bytes, password: bytes, protocol: str) -> bool:
    try:
        await authenticator.login(name, password, "127.0.0.1", protocol)
    except AuthenticationFailed:
        return False
    return True
