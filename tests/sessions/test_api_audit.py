"""Every change by an endpoint, and every look at what a message says, is in the audit log: a law of the whole table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import ApiConfig
from lightmail.web.api.scopes import Scope
from lightmail.web.api.table import ENDPOINTS
from tests.support import icaltext
from tests.support.apikit import TOKEN, Api, serve_api
from tests.support.apiworld import Realm, put_message, report_session, settle
from tests.support.storekit import fresh_config, open_store

PASSWORD = "correct horse battery"
LOOKS = {"GET /admin/messages/{id}/raw", "GET /admin/messages/{id}/text", "GET /calendar/events/{id}/raw"}
CHANGES = {f"{each.method} {each.path}" for each in ENDPOINTS if each.scope is not None and each.method != "GET"}
# It goes out where a receiver is configured: tests/contract/test_api_webhooks.py.
NOT_HERE = {"POST /admin/webhook/test"}
_GIVEN_UP = (
    "INSERT INTO webhook_queue (event_id, kind, payload, created_at, next_at, failed_at) VALUES (%s, %s, %s, 1, 1, 1)"
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("api")
    (directory / "mail").mkdir()
    configured = ApiConfig(token=TOKEN, job_directory=str(directory))
    with (
        fresh_config("sqlite", directory) as config,
        open_store(config) as store,
        serve_api(store, api=configured) as api,
    ):
        yield api


class Watched:
    """Requests, each of which must leave a line in the audit log that names who asked, and no secret."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.done: set[str] = set()

    def __call__(self, name: str, thing: object = "", body: Any = None) -> Any:
        method, path = name.split()
        before = self._newest()
        answer = self._api.request(method, path.replace("{id}", str(thing)).replace("{address}", str(thing)), body)
        assert answer.status < 300, (name, answer)
        since = self._api.store.rows("SELECT actor, origin, action, detail FROM audit_log WHERE id > %s", before)
        assert since, f"{name} left nothing in the audit log"
        for actor, origin, action, detail in since:
            assert (actor, origin) == (b"[api] token", b"127.0.0.1")
            assert b"." in action
            assert PASSWORD.encode() not in detail
        self.done.add(name)
        return answer.json if answer.octets and answer.headers["content-type"] == "application/json" else None

    def _newest(self) -> int:
        return self._api.store.count("SELECT COALESCE(MAX(id), 0) FROM audit_log")


@pytest.fixture(scope="module")
def realm(api: Api) -> Realm:
    return settle(api, "alpha")


def test_every_change_and_every_look_is_noted(api: Api, realm: Realm, tmp_path: Path) -> None:
    do = Watched(api)
    _accounts(do, realm)
    _mail(do, api, realm)
    _calendar(do, realm)
    _server(do, api, realm)
    assert do.done | NOT_HERE == CHANGES | LOOKS


def _accounts(do: Watched, realm: Realm) -> None:
    domain = do("POST /admin/domains", body={"name": "audit.example"})["id"]
    do("PUT /admin/domains/{id}", domain, {"max_accounts": 5})
    account = do("POST /admin/accounts", body={"address": "a@audit.example", "password": PASSWORD})["id"]
    do("PUT /admin/accounts/{id}", account, {"password": PASSWORD, "full_name": "A"})
    do("POST /admin/aliases", body={"address": "b@audit.example", "target": "a@audit.example"})
    do("DELETE /admin/aliases/{address}", "b@audit.example")
    made = do("POST /admin/accounts/{id}/app-passwords", account, {"name": "phone"})
    do("DELETE /admin/app-passwords/{id}", made["id"])
    do("DELETE /admin/accounts/{id}", account)
    do("POST /admin/deleted-accounts/{id}/restore", account)
    do("DELETE /admin/accounts/{id}", account)
    token = do("POST /admin/tokens", body={"name": "audited", "scopes": [Scope.STATUS_READ.value]})
    do("DELETE /admin/tokens/{id}", token["id"])
    do("DELETE /admin/domains/{id}", do("POST /admin/domains", body={"name": "empty.example"})["id"])


def _mail(do: Watched, api: Api, realm: Realm) -> None:
    box = do("POST /admin/accounts/{id}/mailboxes", realm.account, {"name": "Audit"})["id"]
    message = put_message(api, realm.account, realm.mailbox, b"Subject: s\r\n\r\nsecret words\r\n")
    for look in ("raw", "text"):
        do(f"GET /admin/messages/{{id}}/{look}", message)
    do("POST /admin/messages/{id}/copy", message, {"dest_mailbox_id": box})
    moved = do("POST /admin/messages/{id}/move", message, {"dest_mailbox_id": box})["new_id"]
    do("DELETE /admin/messages/{id}", moved)
    do("POST /admin/messages/{id}/restore", moved)
    do("DELETE /admin/mailboxes/{id}", box)


def _calendar(do: Watched, realm: Realm) -> None:
    text = icaltext.text(summary="tea").decode()
    calendar = do("POST /calendar", body={"account_id": realm.account, "name": "audit"})["id"]
    event = do("POST /calendar/event", body={"calendar_id": calendar, "icalendar": text})["id"]
    do("GET /calendar/events/{id}/raw", event)
    do("PUT /calendar/events/{id}", event, {"icalendar": text.replace("tea", "coffee")})
    do("DELETE /calendar/events/{id}", event)
    do("POST /calendar/events/{id}/restore", event)
    do("DELETE /calendar/{id}", calendar)


def _server(do: Watched, api: Api, realm: Realm) -> None:
    do("DELETE /admin/sessions/{id}", report_session(api.store, realm.account, "a client"))
    do("DELETE /admin/accounts/{id}/sessions", realm.account)
    job = do("POST /admin/jobs/garbage")["id"]
    do("POST /admin/jobs/{id}/cancel", job)
    do("POST /admin/jobs/verify", body={"account_id": realm.account})
    do("POST /admin/jobs/undelete", body={"account_id": realm.account})
    files = {"account_id": realm.account, "path": "mail"}
    for kind in ("import-maildir", "import-mbox", "export-maildir", "export-mbox"):
        do(f"POST /admin/jobs/{kind}", body={**files, "path": f"mail/{kind}"} if "export" in kind else files)
    remote = {"account_id": realm.account, "host": "imap.example.net", "user": "u", "password": PASSWORD}
    do("POST /admin/jobs/import-imap", body=remote)
    for _ in range(2):
        api.store.execute(_GIVEN_UP, os.urandom(16), b"test", b"{}")
    do("POST /admin/webhook/events/{id}/retry", api.store.count("SELECT MIN(id) FROM webhook_queue"))
    do("POST /admin/webhook/retry")
