"""The API's endpoints of the webhook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lightmail.model import AccountId
from lightmail.operations.events import new_id
from lightmail.store import webhooks as stored
from lightmail.store.webhooks import Event, Repeat
from lightmail.web.api.scopes import Scope
from tests.support.apikit import Api, serve_api
from tests.support.hookkit import Ear, receiver
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, fresh_config, open_store


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module", params=BACKENDS)
def api(request: pytest.FixtureRequest, ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config,
        open_store(config) as store,
        serve_api(store, webhook=ear.config()) as serving,
    ):
        yield serving


def put(api: Api, count: int) -> list[int]:
    """Queue events, the first of which was given up; their ids."""
    api.store.execute("DELETE FROM webhook_queue")
    events = [Event(new_id(), "quota.warning", AccountId(7), b"{}") for _ in range(count)]
    database = api.store.database
    run(database.run("test", lambda cursor: cursor.script(stored.queue_statements(events))))
    ids = [each.id for each in run(database.read("test", stored.list_txn, 0, 1000))]
    run(database.run("test", stored.settle_txn, [], [Repeat(ids[0], 10, "it answered 500", None)], []))
    return ids


def test_what_waits_is_shown(api: Api, ear: Ear) -> None:
    put(api, 3)
    found = api.get("/admin/webhook").json
    assert (found["enabled"], found["waiting"], found["failed"]) == (True, 2, 1)
    assert found["url"] == f"http://localhost:{ear.port}/hook"
    assert "secret" not in str(found)


def test_events_are_listed_by_page(api: Api) -> None:
    ids = put(api, 5)
    first = api.get("/admin/webhook/events", {"limit": 2}).json
    assert [each["id"] for each in first["items"]] == ids[:2]
    given_up, waiting = first["items"]
    assert given_up["last_error"] == "it answered 500"
    assert given_up["next_at"] is None
    assert given_up["failed_at"] is not None
    assert (waiting["kind"], waiting["account_id"], waiting["failed_at"]) == ("quota.warning", 7, None)
    second = api.get("/admin/webhook/events", {"limit": 2, "cursor": first["next_cursor"]}).json
    assert [each["id"] for each in second["items"]] == ids[2:4]
    by_offset = api.get("/admin/webhook/events", {"limit": 2, "offset": 3}).json
    assert [each["id"] for each in by_offset["items"]] == ids[3:]
    assert by_offset["next_cursor"] is None
    chosen = [api.get("/admin/webhook/events", {"failed": word}).json["items"] for word in ("true", "false")]
    assert [[each["id"] for each in items] for items in chosen] == [ids[:1], ids[1:]]


def test_an_event_can_be_tried_again(api: Api) -> None:
    ids = put(api, 2)
    assert api.post(f"/admin/webhook/events/{ids[0]}/retry").json == {"events": 1}
    assert api.get("/admin/webhook").json["failed"] == 0
    missing = api.post(f"/admin/webhook/events/{ids[1] + 99}/retry")
    assert (missing.status, missing.code) == (404, "no_such_queued_event")
    put(api, 2)
    assert api.post("/admin/webhook/retry").json == {"events": 1}
    assert api.post("/admin/webhook/retry").json == {"events": 0}


def test_the_receiver_can_be_tried_out(api: Api, ear: Ear) -> None:
    before = len(ear.told)
    found: dict[str, Any] = api.post("/admin/webhook/test").json
    assert (found["arrived"], found["status"], found["error"]) == (True, 204, "")
    assert [told.id for told in ear.told[before:]] == [found["event_id"]]
    assert ear.told[-1].event["event"] == "webhook.test"
    ear.answer = lambda told: 500
    try:
        failed = api.post("/admin/webhook/test").json
    finally:
        ear.answer = lambda told: 204
    assert (failed["arrived"], failed["status"], failed["error"]) == (False, 500, "it answered 500")
    actions = api.store.rows("SELECT actor FROM audit_log WHERE action = %s", b"webhook.test")
    assert [row[0] for row in actions] == [b"[api] token"] * 2


def test_only_who_administers_the_server_may(api: Api) -> None:
    reader = api.token(Scope.WEBHOOKS_READ)
    assert api.get("/admin/webhook", token=reader).status == 200
    assert api.post("/admin/webhook/test", token=reader).code == "scope_missing"
    domain = api.store.count("SELECT id FROM domains")
    assert api.get("/admin/webhook/events", token=api.token(domain=domain)).code == "server_only"


def test_without_a_webhook_there_is_nothing_to_try(api: Api) -> None:
    with serve_api(api.store) as other:
        assert other.get("/admin/webhook").json["enabled"] is False
        refused = other.post("/admin/webhook/test")
    assert (refused.status, refused.code) == (409, "cannot")
