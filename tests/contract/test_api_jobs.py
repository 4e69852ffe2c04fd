"""The API of jobs and of calendars: what their endpoints take and give; access to them is tested with all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lightmail.config import ApiConfig
from lightmail.model import Account
from lightmail.operations import jobs
from lightmail.operations.domains import add_domain
from lightmail.web.api.scopes import Scope
from tests.support.actors import OPERATOR
from tests.support.apikit import TOKEN, Answer, Api, serve_api
from tests.support.icaltext import BERLIN, text
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, fresh_config, open_store


@pytest.fixture(scope="module", params=BACKENDS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("api")
    (directory / "files").mkdir()
    settings = ApiConfig(token=TOKEN, job_directory=str(directory / "files"))
    with (
        fresh_config(request.param, directory) as config,
        open_store(config) as store,
        serve_api(store, api=settings) as served,
    ):
        yield served


@pytest.fixture
def account(api: Api) -> Account:
    return api.store.account()


@pytest.fixture
def stranger(api: Api) -> str:
    """The token of a domain that has nothing."""
    return api.token(domain=run(add_domain(api.store.tx, OPERATOR, f"s{os.urandom(4).hex()}.example")))


def is_refused(answer: Answer, status: int, code: str, field: str | None = None) -> bool:
    return (answer.status, answer.code, answer.json.get("field")) == (status, code, field)


def directory(api: Api) -> Path:
    assert api.services.config.api is not None
    return Path(api.services.config.api.job_directory)


def test_a_job_is_asked_for_watched_and_cancelled(api: Api) -> None:
    made = api.post("/admin/jobs/garbage")
    assert made.status == 202
    job = made.json
    assert (job["kind"], job["state"], job["requested_by"], job["origin"], job["arguments"], job["started_at"]) == (
        "garbage", "queued", "[api] token", "127.0.0.1", {}, None,
    )  # fmt: skip
    assert api.get(f"/admin/jobs/{job['id']}").json == job
    cancelled = api.post(f"/admin/jobs/{job['id']}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert is_refused(api.post(f"/admin/jobs/{job['id']}/cancel"), 409, "cannot")
    for path in ("/admin/jobs/99999", "/admin/jobs/99999/cancel"):
        answer = api.get(path) if path.endswith("9") else api.post(path)
        assert is_refused(answer, 404, "no_such_job")


def test_jobs_are_listed_by_page(api: Api) -> None:
    made = [api.post("/admin/jobs/verify", {"deep": True}).json["id"] for _ in range(3)]
    first = api.get("/admin/jobs", {"kind": "verify", "state": "queued", "limit": 2}).json
    assert ([job["id"] for job in first["items"]], first["total"]) == (made[:0:-1], 3)
    after = api.get("/admin/jobs", {"kind": "verify", "limit": 2, "cursor": first["next_cursor"]}).json
    assert ([job["id"] for job in after["items"]], after["next_cursor"]) == (made[:1], None)
    assert is_refused(api.get("/admin/jobs", {"state": "lost"}), 422, "invalid_field", "state")


def test_files_are_those_of_the_directory(api: Api, account: Account) -> None:
    (directory(api) / "in").mkdir(exist_ok=True)
    body = {"account_id": account.id, "path": "in"}
    assert api.post("/admin/jobs/import-maildir", {**body, "into": "Old", "dates": "name"}).status == 202
    assert api.post("/admin/jobs/export-mbox", {**body, "path": "new/out"}).status == 202
    for path in ("../x", "/etc", "none"):
        answer = api.post("/admin/jobs/import-mbox", {**body, "path": path})
        assert is_refused(answer, 404, "no_such_file"), path
    assert is_refused(api.post("/admin/jobs/export-maildir", {**body, "path": "../x"}), 404, "no_such_file")
    assert is_refused(api.post("/admin/jobs/export-maildir", {**body, "account_id": 99_999}), 404, "no_such_account")
    assert is_refused(api.post("/admin/jobs/export-maildir", {"path": "x"}), 422, "invalid_field", "account_id")
    assert is_refused(api.post("/admin/jobs/verify", {"deep": 1}), 422, "invalid_field", "deep")
    assert is_refused(api.post("/admin/jobs/garbage", {}), 422, "body_not_expected", "body")


def test_a_password_is_in_no_answer_and_no_row(api: Api, account: Account) -> None:
    body = {"account_id": account.id, "host": "imap.example.com", "password": "xyzzy", "user": "ada"}
    made = api.post("/admin/jobs/import-imap", body)
    assert made.status == 202
    assert made.json["arguments"] == {
        "host": "imap.example.com", "user": "ada", "account_id": account.id, "address": account.address,
    }  # fmt: skip
    shown = api.get(f"/admin/jobs/{made.json['id']}")
    assert b"xyzzy" not in made.octets + shown.octets
    assert (
        b"xyzzy" not in repr(api.store.rows("SELECT * FROM jobs") + api.store.rows("SELECT * FROM audit_log")).encode()
    )
    reference = api.store.rows("SELECT reference FROM jobs WHERE id = %s", made.json["id"])[0][0]
    assert api.services.desk.take(bytes(reference)) == "xyzzy"


def test_one_domains_token_sees_the_jobs_of_its_accounts(api: Api, account: Account, stranger: str) -> None:
    domain = api.store.count("SELECT domain FROM accounts WHERE id = %s", account.id)
    own = api.token(domain=domain)
    servers = api.post("/admin/jobs/garbage").json["id"]
    mine = api.post("/admin/jobs/verify", {"account_id": account.id}, token=own)
    assert mine.status == 202
    assert is_refused(api.post("/admin/jobs/verify", {}, token=own), 403, "not_permitted")
    assert is_refused(api.post("/admin/jobs/garbage", token=own), 403, "server_only")
    assert is_refused(api.get(f"/admin/jobs/{servers}", token=own), 404, "no_such_job")
    assert is_refused(api.get(f"/admin/jobs/{mine.json['id']}", token=stranger), 404, "no_such_job")
    seen = api.get("/admin/jobs", {"limit": 500}, token=own).json["items"]
    assert mine.json["id"] in {job["id"] for job in seen}
    assert {job["arguments"].get("address") for job in seen} <= {
        bytes(row[0]).decode() for row in api.store.rows("SELECT address FROM accounts")
    }
    assert api.get("/admin/jobs", token=stranger).json == {"items": [], "next_cursor": None, "total": 0}


# --- calendars ---


def add(api: Api, account: Account, name: str = "Work") -> int:
    made = api.post("/calendar", {"account_id": account.id, "name": name, "description": "What I do"})
    assert made.status == 201
    id_: int = made.json["id"]
    return id_


def moment(*parts: int) -> str:
    return datetime(*parts, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")  # type: ignore[misc,arg-type]


def test_a_calendar(api: Api, account: Account) -> None:
    id_ = add(api, account)
    shown = api.get(f"/calendar/{id_}").json
    assert (shown["id"], shown["account_id"], shown["name"], shown["description"]) == (
        id_, account.id, "Work", "What I do",
    )  # fmt: skip
    assert is_refused(api.post("/calendar", {"account_id": account.id, "name": "Work"}), 409, "already_exists")
    assert is_refused(api.post("/calendar", {"account_id": 99_999, "name": "x"}), 404, "no_such_account")
    assert is_refused(api.post("/calendar", {"account_id": account.id, "name": ""}), 422, "invalid_field", "name")
    too_long = {"account_id": account.id, "name": "\N{SNOWMAN}" * 255}
    assert is_refused(api.post("/calendar", too_long), 422, "invalid_field", "name")
    home = add(api, account, "Home")
    page = api.get("/calendar", {"account_id": account.id, "limit": 1}).json
    assert ([each["id"] for each in page["items"]], page["total"]) == ([id_], 2)
    page = api.get("/calendar", {"account_id": account.id, "cursor": page["next_cursor"]}).json
    assert ([each["id"] for each in page["items"]], page["next_cursor"]) == ([home], None)
    assert is_refused(api.get("/calendar"), 422, "invalid_field", "account_id")
    assert api.delete(f"/calendar/{id_}").status == 204
    for answer in (api.get(f"/calendar/{id_}"), api.delete(f"/calendar/{id_}")):
        assert is_refused(answer, 404, "no_such_calendar")


def test_an_event(api: Api, account: Account) -> None:
    id_ = add(api, account)
    octets = text(
        "DURATION:PT1H", "RRULE:FREQ=WEEKLY", start=f"DTSTART;{BERLIN}:20260320T090000", summary="Gr\u00fc\u00dfe"
    )
    made = api.post("/calendar/event", {"calendar_id": id_, "icalendar": octets.decode()})
    assert made.status == 201
    event = made.json
    assert {name: event[name] for name in ("uid", "summary", "starts_at", "ends_at", "all_day", "recurring")} == {
        "uid": "u@example.org",
        "summary": "Gr\u00fc\u00dfe",
        "starts_at": moment(2026, 3, 20, 8),
        "ends_at": None,
        "all_day": False,
        "recurring": True,
    }
    path = f"/calendar/events/{event['id']}"
    raw = api.get(f"{path}/raw")
    assert (raw.octets, raw.headers["content-type"]) == (octets, "text/calendar; charset=utf-8")
    window = {"calendar_id": id_, "from": "2026-03-27T00:00:00Z", "to": "2026-04-04T00:00:00Z"}
    page = api.get("/calendar/events", {**window, "limit": 1}).json
    assert page["items"] == [
        {
            "event_id": event["id"],
            "summary": "Gr\u00fc\u00dfe",
            "starts_at": moment(2026, 3, 27, 8),
            "ends_at": moment(2026, 3, 27, 9),
            "recurring": True,
            "recurrence_at": moment(2026, 3, 27, 8),
        }
    ]
    rest = api.get("/calendar/events", {**window, "cursor": page["next_cursor"]}).json
    assert ([each["starts_at"] for each in rest["items"]], rest["next_cursor"]) == ([moment(2026, 4, 3, 7)], None)
    changed = api.put(path, {"icalendar": text(summary="once").decode()})
    assert (changed.status, changed.json["summary"], changed.json["recurring"]) == (200, "once", False)
    assert api.delete(path).status == 204
    assert is_refused(api.get(path), 404, "no_such_event")
    assert api.post(f"{path}/restore").json["summary"] == "once"
    assert api.get(path).json["id"] == event["id"]


def test_what_is_no_event(api: Api, account: Account) -> None:
    id_ = add(api, account)
    for wrong in ("hello", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", text("RRULE:FREQ=SECONDLY").decode()):
        answer = api.post("/calendar/event", {"calendar_id": id_, "icalendar": wrong})
        assert is_refused(answer, 422, "invalid_field", "icalendar"), wrong
    answer = api.post("/calendar/event", {"calendar_id": 99_999, "icalendar": text().decode()})
    assert is_refused(answer, 404, "no_such_calendar")
    never = {"calendar_id": id_, "from": "2026-03-27T00:00:00Z"}
    assert is_refused(api.get("/calendar/events", never), 422, "invalid_field", "to")
    window = {**never, "calendar_id": 99_999, "to": "2026-03-28T00:00:00Z"}
    assert is_refused(api.get("/calendar/events", window), 404, "no_such_calendar")
    assert is_refused(api.get("/calendar/events", {**window, "to": "soon"}), 422, "invalid_field", "to")


def test_another_domains_calendars_are_not_there(api: Api, account: Account, stranger: str) -> None:
    id_ = add(api, account)
    event = api.post("/calendar/event", {"calendar_id": id_, "icalendar": text().decode()}).json["id"]
    assert is_refused(api.get("/calendar", {"account_id": account.id}, token=stranger), 404, "no_such_account")
    assert is_refused(api.get(f"/calendar/{id_}", token=stranger), 404, "no_such_calendar")
    for path in (f"/calendar/events/{event}", f"/calendar/events/{event}/raw"):
        assert is_refused(api.get(path, token=stranger), 404, "no_such_event")
    only_reads = api.token(Scope.CALENDAR_READ)
    assert api.get(f"/calendar/{id_}", token=only_reads).status == 200
    assert is_refused(api.delete(f"/calendar/{id_}", token=only_reads), 403, "scope_missing")


def test_the_desk_is_told_to_look(api: Api) -> None:
    heard: list[str] = []
    api.services.desk.hasten = lambda: heard.append("look")
    job = api.post("/admin/jobs/garbage").json["id"]
    api.post(f"/admin/jobs/{job}/cancel")
    assert heard == ["look", "look"]
    assert run(jobs.waiting(api.store.database))


def test_a_server_that_runs_no_jobs_takes_no_password_for_one(api: Api, account: Account) -> None:
    body = {"account_id": account.id, "host": "imap.example.com", "password": "xyzzy"}
    with serve_api(api.store, api=ApiConfig(token=TOKEN, jobs_at_once=0)) as idle:
        assert is_refused(idle.post("/admin/jobs/import-imap", body), 409, "cannot")
        assert idle.post("/admin/jobs/garbage").status == 202
        no_directory = idle.post("/admin/jobs/export-mbox", {"account_id": account.id, "path": "x"})
        assert is_refused(no_directory, 409, "cannot")
