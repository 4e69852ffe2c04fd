"""The web's pages about the running server: sessions, jobs, the audit log, tokens, the webhook, the configuration."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import count

import bcrypt
import pytest

from lightmail.config import ApiConfig, S3Config
from lightmail.operations import administrators, jobs, samples
from lightmail.operations import sessions as reported
from lightmail.operations.accounts import add_account
from lightmail.operations.domains import add_domain
from lightmail.operations.events import new_id
from lightmail.store import webhooks
from lightmail.store.jobs import DONE, FAILED
from lightmail.store.samples import MINUTE, Sample
from lightmail.store.sessions import NOBODY, Process, Report
from lightmail.store.webhooks import Event, Repeat
from lightmail.web.api.scopes import Scope
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.pages import dashboard, job_forms, plots, telling
from lightmail.web.pages.tokens import SCOPES
from tests.support.actors import OPERATOR
from tests.support.apikit import TOKEN, Api, serve_api
from tests.support.browser import Browser, Page
from tests.support.hookkit import Ear, receiver
from tests.support.reactor import run
from tests.support.storekit import fresh_config, open_store

PASSWORD = "correct horse battery"
_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
_numbers = count(1)


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def api(ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("jobs")
    (directory / "mail").mkdir()
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(
            store, pages=True, api=ApiConfig(token=TOKEN, job_directory=str(directory)), webhook=ear.config()
        ) as serving,
    ):
        yield serving


def _domain(api: Api) -> tuple[int, str]:
    name = f"d{next(_numbers)}.example"
    return run(add_domain(api.store.tx, OPERATOR, name)), name


def _owner(api: Api, domain: str) -> tuple[int, str]:
    address = f"ada{next(_numbers)}@{domain}"
    return run(add_account(api.store.tx, OPERATOR, address, _HASH)).id, address


def _signed_in(api: Api, *domains: int) -> Browser:
    """Somebody who administers these domains, the server where there are none."""
    name = f"admin{next(_numbers)}"
    run(administrators.add_administrator(api.store.tx, OPERATOR, name, _HASH, domains or None))
    browser = Browser(api.port)
    browser.send(browser.get("/").form("/web/sign-in"), name=name, password=PASSWORD)
    return browser


def _report(api: Api, account: int, *, client: str = "Thunderbird", protocol: str = "imap") -> str:
    """A session of the account that some process reports; its client's address."""
    address = f"192.0.2.{next(_numbers)}"
    process = Process(b"p" * 16, "mail1", 4711, "1.0", 1)
    session = Report(f"s{next(_numbers)}", account, protocol, address, True, client, time.time_ns() // 1000)
    run(reported.report(api.store.database, process, [session], ()))
    return address


def _ends(page: Page) -> list[str]:
    return [form.action for form in page.forms if re.fullmatch(r"/web/sessions/\d+/end", form.action)]


# --- sessions ---


def test_sessions_are_found_by_account_address_and_protocol(api: Api) -> None:
    _, domain = _domain(api)
    (ada, ada_address), (bob, bob_address) = _owner(api, domain), _owner(api, domain)
    first, second = _report(api, ada), _report(api, bob, protocol="pop3")
    browser = _signed_in(api)
    page = browser.get("/web/sessions")
    assert ada_address in page.text
    assert bob_address in page.text
    for query in (f"account={ada_address}", f"address={first}", f"protocol=imap&domain={domain}"):
        page = browser.get(f"/web/sessions?{query}")
        assert (first in page.text, second in page.text) == (True, False), query
    assert "No such client is connected" in browser.get("/web/sessions?account=nobody@nowhere.example").text
    assert "No such client is connected" in browser.get("/web/sessions?account=%22").text


def test_a_session_is_ended_once_and_the_audit_log_says_so(api: Api) -> None:
    _, domain = _domain(api)
    account, address = _owner(api, domain)
    _report(api, account)
    browser = _signed_in(api)
    page = browser.get(f"/web/sessions?account={address}")
    (action,) = _ends(page)
    assert "disconnected within some seconds" in browser.send(page.form(action)).text
    assert "session.end" in browser.get(f"/web/audit?subject={address}").text
    page.form(action).action = "/web/sessions/999999/end"
    assert "had gone already" in browser.send(page.form("/web/sessions/999999/end")).text


def test_sessions_of_others_are_neither_seen_nor_ended(api: Api) -> None:
    (own, _), (_, other) = _domain(api), _domain(api)
    account, address = _owner(api, other)
    ip = _report(api, account)
    mail_server = _report(api, NOBODY, protocol="lmtp")
    server, browser = _signed_in(api), _signed_in(api, own)
    (action,) = _ends(server.get(f"/web/sessions?address={ip}"))
    page = browser.get("/web/sessions")
    assert ip not in page.text
    assert mail_server not in page.text
    assert ip not in browser.get(f"/web/sessions?account={address}").text
    assert browser.get(f"/web/sessions?domain={other}").status == 404
    token = page.form("/web/sign-out").fields["form_token"]
    browser.request("POST", action, {"form_token": token})
    assert "session.end" not in server.get(f"/web/audit?subject={address}").text


# --- jobs ---


def test_every_kind_of_job_has_its_form_with_what_the_api_takes() -> None:
    assert set(job_forms.FORMS) == set(jobs.KINDS)
    for kind, form in job_forms.FORMS.items():
        body = next(each.body for each in ENDPOINTS if each.path == f"/admin/jobs/{kind}")
        names = {"account_id" if field.name == job_forms.ADDRESS else field.name for field in form.fields}
        assert names == ({*body.required, *body.optional} if body is not None else set()), kind
        for field in form.fields:
            assert all(
                job_forms.arguments(kind, {**_least(kind), field.name: value}, 1) is not None
                for value, _ in field.choices
            )


def _least(kind: str) -> dict[str, str]:
    return {field.name: "something" for field in job_forms.FORMS[kind].fields if field.required}


def test_a_job_is_started_watched_and_cancelled(api: Api) -> None:
    _, domain = _domain(api)
    _, address = _owner(api, domain)
    browser = _signed_in(api)
    assert "/web/jobs/start/verify" in browser.get("/web/jobs").links
    form = browser.get("/web/jobs/start/verify").form("/web/jobs/start/verify")
    page = browser.send(form, address=address, deep="yes", rate="100", repair="")
    assert "The job is queued." in page.text
    assert f"Verify: {address}" in page.text
    assert any(tag == "meta" and given.get("http-equiv") == "refresh" for tag, given in page.elements)
    path = browser.path.partition("?")[0]
    id = int(path.rpartition("/")[2])
    assert run(jobs.claim(api.store.database, id, b"p" * 16))
    progress = {"stage": "objects", "done": 40, "total": 100, "percent": 40}
    run(jobs.beat(api.store.database, b"p" * 16, {id: progress}, []))
    page = browser.get(path)
    assert ("progress", "40") in [(tag, given.get("value")) for tag, given in page.elements]
    assert "It is at objects, 40 of 100" in page.text
    assert "40 %" in browser.get("/web/jobs?kind=verify&state=running").text
    page = browser.send(page.form(f"{path}/cancel"))
    assert "being cancelled" in page.text
    assert not any(form.action == f"{path}/cancel" for form in page.forms)
    finding = {
        "finding": "<b>lost</b>",
        "uid": 17,
        "key": "k",
        "detail": "17",
        "means": "m",
        "todo": "t",
        "mailbox": "b",
    }
    result = {"clean": False, "findings": [finding], "left": [["a/b", "too large"]]}
    run(jobs.end(api.store.database, id, b"p" * 16, DONE, progress, result))
    page = browser.get(path)
    assert "<b>lost</b>" in page.text
    # Of many columns no table is made that nobody could read.
    assert "<dt>Detail</dt><dd>17</dd>" in page.html
    assert "<dt>What to do</dt><dd>t</dd>" in page.html
    assert [given["data-label"] for tag, given in page.elements if tag == "td"] == ["What", "Why"]
    assert not any(tag == "meta" and given.get("http-equiv") == "refresh" for tag, given in page.elements)
    again = browser.get(next(link for link in page.links if link.startswith("/web/jobs/start/")))
    assert again.form("/web/jobs/start/verify").fields["address"] == address


def test_a_job_that_failed_says_why(api: Api) -> None:
    browser = _signed_in(api)
    asked = browser.get("/web/jobs/start/garbage")
    queued = browser.send(asked.form("/web/jobs/start/garbage"))
    assert all("the job waits for one that has" in page.text for page in (asked, queued))
    path = browser.path.partition("?")[0]
    id = int(path.rpartition("/")[2])
    run(jobs.claim(api.store.database, id, b"p" * 16))
    run(jobs.end(api.store.database, id, b"p" * 16, FAILED, {}, {"error": "Collection is frozen."}))
    page = browser.get(path)
    assert "Collection is frozen. " in page.text
    assert "Start it again" in page.text


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("import-maildir", {"path": "mail"}, "Enter the address of an account."),
        ("import-maildir", {"path": "mail", "address": "nobody@nowhere.example"}, "There is no such account."),
        ("import-maildir", {"path": "mail", "address": "nonsense"}, "The address is not valid."),
        ("import-maildir", {"path": "gone", "address": "{}"}, "no such file or directory"),
        ("import-maildir", {"path": "../..", "address": "{}"}, "no such file or directory"),
        ("import-maildir", {"path": "a\0b", "address": "{}"}, "control characters"),
        ("import-maildir", {"path": "", "address": "{}"}, "Path: enter something."),
        ("import-maildir", {"path": "mail", "address": "{}", "dates": "never"}, "Times of arrival"),
        ("import-imap", {"host": "a b", "password": "x", "address": "{}"}, "Other server"),
        ("import-imap", {"host": "a", "password": "x", "port": "70000", "address": "{}"}, "Port"),
        ("import-imap", {"host": "a", "password": "x", "port": "x", "address": "{}"}, "whole number"),
        ("verify", {"rate": "9999999"}, "At most so many a second"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_at_its_field(api: Api, kind: str, given: dict[str, str], said: str) -> None:
    _, address = _owner(api, _domain(api)[1])
    browser = _signed_in(api)
    filled = {name: value.format(address) for name, value in given.items()}
    page = browser.send(browser.get(f"/web/jobs/start/{kind}").form(f"/web/jobs/start/{kind}"), **filled)
    assert page.status in (404, 422), page.text
    assert said in page.text
    assert (
        any(given.get("aria-invalid") == "true" for _, given in page.elements) or "choice" in said or "dates" in filled
    )
    for name, value in filled.items():
        if name == "password":
            assert not page.form(f"/web/jobs/start/{kind}").fields[name]
        elif name in page.form(f"/web/jobs/start/{kind}").fields and "\0" not in value:
            assert page.form(f"/web/jobs/start/{kind}").fields[name] == value


def test_passwords_of_jobs_are_on_no_page(api: Api) -> None:
    _, address = _owner(api, _domain(api)[1])
    browser = _signed_in(api)
    form = browser.get("/web/jobs/start/import-imap").form("/web/jobs/start/import-imap")
    page = browser.send(form, address=address, host="imap.example.org", password="open sesame", tls="implicit")
    assert "imap.example.org" in page.text
    assert "open sesame" not in page.html
    assert "open sesame" not in browser.get("/web/audit").html


def test_what_is_to_be_restored_is_entered_and_started_again_as_it_was(api: Api) -> None:
    _, address = _owner(api, _domain(api)[1])
    browser = _signed_in(api)
    form = browser.get("/web/jobs/start/undelete").form("/web/jobs/start/undelete")
    for wrong in ("yesterday", "2026-02-30", "2026-01-31 25:00", "99999-01-01"):
        page = browser.send(form, address=address, since=wrong)
        assert (page.status, "Deleted since: enter a day or a time" in page.text) == (422, True)
        assert page.form("/web/jobs/start/undelete").fields["since"] == wrong
    assert "no such account" in browser.send(form, address="nobody@nowhere.example").text
    given = {"since": "2026-01-31 14:05", "until": "2026-02-01T02:00+02:00", "subject": "tea & cake", "into": "Back"}
    page = browser.send(form, address=address, **given)
    for words in ("2026-01-31 14:05 UTC", "2026-02-01 00:00 UTC", "tea & cake", "Back"):
        assert words in page.text
    (job,) = (job for job in run(jobs.waiting(api.store.database)) if job.arguments.get("address") == address)
    run(jobs.cancel(api.store.tx, OPERATOR, job.id))
    (again,) = [link for link in browser.get(f"/web/jobs/{job.id}").links if "/start/undelete?" in link]
    page = browser.send(browser.get(again).form("/web/jobs/start/undelete"))
    (second,) = (job for job in run(jobs.waiting(api.store.database)) if job.arguments.get("address") == address)
    assert second.arguments == job.arguments


def test_the_name_of_another_account_s_mailbox_is_told_to_nobody(api: Api) -> None:
    (own, own_name), (_, other_name) = _domain(api), _domain(api)
    (_, mine), (_, others) = _owner(api, own_name), _owner(api, other_name)
    inboxes = {
        address: api.store.count(
            "SELECT b.id FROM mailboxes b JOIN accounts a ON a.id = b.account WHERE a.address = %s AND b.name = %s",
            address.encode(), b"Archive",
        )
        for address in (mine, others)
    }  # fmt: skip
    browser = _signed_in(api, own)
    form = browser.get("/web/jobs/start/undelete").form("/web/jobs/start/undelete")
    for address, shown in ((others, False), (mine, True)):
        page = browser.send(form, address=mine, mailbox_id=str(inboxes[address]))
        assert ("Archive" in page.text) == shown
        page = browser.send(page.form(f"{browser.path.partition('?')[0]}/cancel"))


def test_who_has_a_domain_starts_and_sees_jobs_of_its_accounts_alone(api: Api) -> None:
    (own, own_name), (_, other_name) = _domain(api), _domain(api)
    (_, mine), (_, others) = _owner(api, own_name), _owner(api, other_name)
    server, browser = _signed_in(api), _signed_in(api, own)
    for kind in jobs.KINDS:
        assert browser.get(f"/web/jobs/start/{kind}").status == (200 if kind in jobs.OF_A_DOMAIN else 404)
    form = browser.get("/web/jobs/start/verify").form("/web/jobs/start/verify")
    for address in ("", others):
        assert browser.send(form, address=address).status == 422
    assert f"Verify: {mine}" in browser.send(form, address=mine).text
    server.send(server.get("/web/jobs/start/verify").form("/web/jobs/start/verify"), address=others)
    path = server.path.partition("?")[0]
    assert others not in browser.get("/web/jobs").text
    assert mine in browser.get("/web/jobs").text
    assert browser.get(path).status == 404
    token = form.fields["form_token"]
    assert browser.request("POST", f"{path}/cancel", {"form_token": token}).status == 404
    assert browser.request("POST", "/web/jobs/start/garbage", {"form_token": token}).status == 404
    assert server.get("/web/jobs/no-number").status == 404


# --- the audit log ---


def test_the_audit_log_is_searched_and_read_by_pages(api: Api) -> None:
    _, domain = _domain(api)
    addresses = [_owner(api, domain)[1] for _ in range(102)]
    browser = _signed_in(api)
    page = first = browser.get(f"/web/audit?domain={domain}&action=account")
    assert "Previous" not in page.text
    pages = [page.text]
    for there, back in ((addresses[51], addresses[52]), (addresses[1], addresses[2])):
        page = browser.get(next(link for link in page.links if "before=" in link))
        assert there in page.text
        assert back not in page.text
        pages.append(page.text)
    assert addresses[0] in page.text
    assert "Next" not in page.text
    assert "domain.add" not in page.text
    second = browser.get(next(link for link in page.links if "after=" in link))
    assert second.text == pages[1]
    assert browser.get(next(link for link in second.links if "after=" in link)).text == pages[0]
    assert f"{addresses[-1]} " in first.text
    assert browser.get(f"/web/audit?domain={domain}&action=account&after=999999999").text == pages[0]
    for query, there in (
        (f"subject={addresses[3]}", True),
        (f"subject={addresses[3]}&action=account.add", True),
        (f"subject={addresses[3]}&action=account.delete", False),
        (f"subject={addresses[3]}&actor=nobody", False),
        (f"subject={addresses[3]}&origin=console", True),
        (f"subject={addresses[3]}&origin=::1", False),
        (f"subject={addresses[3]}&since=2020-01-01&until=9999-12-31", True),
        (f"subject={addresses[3]}&until=2020-01-01", False),
        (f"subject={addresses[3]}&since=0001-01-01", True),
    ):
        assert ("Nothing like that was done" not in browser.get(f"/web/audit?{query}").text) == there, query


def test_days_that_are_none_are_said_at_their_field(api: Api) -> None:
    page = _signed_in(api).get("/web/audit?since=yesterday")
    assert page.status == 422
    assert ("since", "true") in [(given.get("name"), given.get("aria-invalid")) for _, given in page.elements]


def test_who_has_a_domain_reads_of_it_alone(api: Api) -> None:
    (own, own_name), (second, second_name), (_, other_name) = _domain(api), _domain(api), _domain(api)
    (_, mine), (_, also), (_, others) = (_owner(api, name) for name in (own_name, second_name, other_name))
    browser = _signed_in(api, own, second)
    text = browser.get("/web/audit").text
    assert mine in text
    assert others not in text
    assert "sign_in" not in text
    assert also in browser.get(f"/web/audit?domain={second_name}").text
    assert browser.get(f"/web/audit?domain={other_name}").status == 404
    assert others not in browser.get(f"/web/audit?subject={others}").text.replace("What it was done to", "")


# --- tokens ---


def test_every_scope_is_offered_in_words() -> None:
    assert set(SCOPES) == set(Scope)


def test_a_token_is_shown_once_works_and_is_revoked_by_its_name(api: Api) -> None:
    browser = _signed_in(api)
    name = f"backup {next(_numbers)}"
    form = browser.get("/web/tokens").form("/web/tokens/add")
    fields = {key: value for key, value in form.fields.items() if not key.startswith("scope.")}
    form.fields = fields
    assert "Choose what the token may do" in browser.send(form, name=name).text
    page = browser.send(form, name=name, **{"scope.accounts:read": "yes"})
    secret = re.search(r"lmt_[\w-]{43}", page.html)
    assert secret is not None
    assert page.headers["cache-control"] == "no-store"
    assert api.get("/admin/accounts", token=secret.group()).status == 200
    assert api.get("/admin/audit", token=secret.group()).status == 403
    assert browser.send(form, name=name, **{"scope.accounts:read": "yes"}).status == 409
    page = browser.get("/web/tokens")
    assert "lmt_" not in page.html
    assert name in page.text
    link = [each for each in page.links if each.endswith("/revoke")][-1]
    page = browser.get(link)
    assert browser.send(page.form(link), typed="something else").status == 422
    assert api.get("/admin/accounts", token=secret.group()).status == 200
    assert "The token is revoked" in browser.send(page.form(link), typed=name).text
    assert api.get("/admin/accounts", token=secret.group()).status == 401
    assert browser.get(link).status == 404


def test_days_of_tokens_are_to_come(api: Api) -> None:
    browser = _signed_in(api)
    form = browser.get("/web/tokens").form("/web/tokens/add")
    given = {"name": f"t{next(_numbers)}", "scope.audit:read": "yes"}
    assert "begun already" in browser.send(form, expires="2020-01-01", **given).text
    assert browser.send(form, expires="2020-13-01", **given).status == 422
    assert "9999-12-31" in browser.send(form, expires="9999-12-31", **given).text


def test_who_has_a_domain_makes_and_sees_tokens_of_it_alone(api: Api) -> None:
    (own, own_name), (_, other_name) = _domain(api), _domain(api)
    server, browser = _signed_in(api), _signed_in(api, own)
    theirs = f"t{next(_numbers)}"
    server.send(
        server.get("/web/tokens").form("/web/tokens/add"), name=theirs, domain=other_name, **{"scope.audit:read": "yes"}
    )
    form = browser.get("/web/tokens").form("/web/tokens/add")
    refused = browser.send(form, name="x", domain=other_name, **{"scope.audit:read": "yes"})
    assert (refused.status, "That domain is not here" in refused.text) == (422, True), refused.text
    page = browser.send(form, name=f"t{next(_numbers)}", **{"scope.accounts:read": "yes"})
    secret = re.search(r"lmt_[\w-]{43}", page.html)
    assert secret is not None
    assert f"For{own_name}" in page.text
    assert {each["name"] for each in api.get("/admin/domains", token=secret.group()).json["items"]} == {own_name}
    assert theirs not in browser.get("/web/tokens").text
    link = [each for each in server.get(f"/web/tokens?domain={other_name}").links if each.endswith("/revoke")][-1]
    assert browser.get(link).status == 404
    assert browser.request("POST", link, {"form_token": form.fields["form_token"], "typed": theirs}).status == 404


# --- the webhook ---


def _queue(api: Api, count: int) -> list[str]:
    """Events that wait, the first of them given up; their names."""
    api.store.execute("DELETE FROM webhook_queue")
    events = [Event(new_id(), "quota.warning", None, b"{}") for _ in range(count)]
    database = api.store.database
    run(database.run("test", lambda cursor: cursor.script(webhooks.queue_statements(events))))
    first = run(database.read("test", webhooks.list_txn, 0, 1))[0]
    run(database.run("test", webhooks.settle_txn, [], [Repeat(first.id, 10, "it answered <500>", None)], []))
    return [f"evt_{event.id.hex()}" for event in events]


def test_events_that_have_not_arrived_are_listed_and_tried_again(api: Api, ear: Ear) -> None:
    names = _queue(api, 3)
    browser = _signed_in(api)
    page = browser.get("/web/webhook")
    assert all(name in page.text for name in names)
    assert "it answered <500>" in page.text
    assert ear.secret not in page.html
    assert names[1] not in browser.get("/web/webhook?which=failed").text
    assert names[0] not in browser.get("/web/webhook?which=waiting").text
    action = next(form.action for form in page.forms if "/events/" in form.action)
    assert "tried again now" in browser.send(page.form(action)).text
    assert "None. Show all" in browser.get("/web/webhook?which=failed").text
    _queue(api, 2)
    assert "had arrived already" in browser.send(page.form(action)).text
    page = browser.get("/web/webhook")
    assert "All events that were given up" in browser.send(page.form("/web/webhook/retry")).text
    assert "nothing to try again" in browser.send(page.form("/web/webhook/retry")).text


def test_a_test_event_says_what_came_of_it(api: Api, ear: Ear) -> None:
    browser = _signed_in(api)
    page = browser.get("/web/webhook")
    assert "The test event arrived" in browser.send(page.form("/web/webhook/test")).text
    assert ear.told[-1].event["event"] == "webhook.test"
    ear.answer = lambda told: 500
    assert "did not arrive" in browser.send(page.form("/web/webhook/test")).text
    ear.answer = lambda told: 204


# --- the dashboard ---


def test_the_overview_draws_what_was_written_down(api: Api) -> None:
    began = [int(time.time()) // 60 * 60 - 60 * n for n in (2, 3, 30)]
    said = [
        Sample(
            MINUTE,
            at * 1_000_000,
            {"delivered": 120, "cache_hits": 9, "cache_lookups": 10, "deliveries": 1, "delivery_seconds": 0.02},
            {"sessions_imap": 7},
            {"garbage": 42},
        )
        for at in began
    ]
    for process in (b"a" * 16, b"b" * 16):
        run(samples.write(api.store.database, process, said))
    browser = _signed_in(api)
    page = browser.get("/web/")
    for figure in ("720 messages delivered", "90 % of look-ups", "42 wait for the collector", "delivered: 240"):
        assert figure in page.text, figure
    assert "IMAP: 14" in page.text
    assert "on average: 20 ms" in page.text
    drawn = [given for tag, given in page.elements if tag == "svg" and given.get("role") == "img"]
    assert len(drawn) == 9
    assert all(given.get("aria-label") for given in drawn)
    assert not [given for _, given in page.elements if "style" in given]
    for name in plots.RANGES:
        links = [given for tag, given in page.elements if tag == "a" and given.get("href") == f"/web/?range={name}"]
        assert links
        assert plots.RANGES[name].words in browser.get(f"/web/?range={name}").text
    assert "The last hour" in browser.get("/web/?range=nonsense").text
    assert not [tag for tag, _ in page.elements if tag == "table"]
    rows = [tag for tag, _ in browser.get("/web/?range=hour&table=mail").elements if tag == "tr"]
    assert len(rows) == 61


def test_figures_of_the_server_are_for_who_administers_it(api: Api) -> None:
    own, _ = _domain(api)
    assert "messages delivered" not in _signed_in(api, own).get("/web/").text


@pytest.mark.parametrize("name", plots.RANGES)
def test_spans_that_nobody_knows_of_are_gaps(name: str) -> None:
    wanted = plots.RANGES[name]
    now_us = 1_800_000_123_000_000
    first = plots.since_us(wanted, now_us)
    step_us = wanted.step * 1_000_000
    known = [Sample(wanted.step, first + n * step_us, {"x": float(n)}) for n in (0, 1, wanted.spans - 1)]
    over = plots.spans([*known, Sample(wanted.step, first - step_us, {"x": 1e9})], wanted, now_us)
    assert len(over) == wanted.spans
    assert [span.known for span in over].count(True) == 3
    drawn = plots.plot("x", "X", "a minute", over, (("x", lambda span: span.per_minute("x")),))
    assert drawn.lines[0].path.count("M") == 2
    assert drawn.lines[0].values.count(None) == wanted.spans - 3
    assert [words for _, words in drawn.rows()].count(["unknown"]) == wanted.spans - 3
    assert first + wanted.spans * step_us <= now_us + step_us


def test_a_month_costs_what_its_requests_and_space_do() -> None:
    prices = S3Config(price_gib_month=1.0, price_1000_writes=2.0, price_1000_reads=3.0, price_gib_read=4.0)
    counts = {"object_writes": 1000.0, "object_reads": 2000.0, "octets_read": float(1 << 30)}
    month = dashboard.estimate(prices, counts, 30 * 86_400, 5 << 30)
    assert (month.stored, month.writes, month.reads, month.traffic, month.total) == (5.0, 2.0, 6.0, 4.0, 17.0)
    assert dashboard.estimate(prices, counts, 15 * 86_400, 0).total == 24.0


@pytest.mark.parametrize(("value", "edge"), [(0, "1"), (0.25, "0.3"), (1, "1"), (3, "3"), (99, "100"), (1234, "1,500")])
def test_edges_of_plots_are_round(value: float, edge: str) -> None:
    span = plots.Span(0, MINUTE, 1.0, known=True)
    assert plots.plot("x", "X", "at once", [span], (("x", lambda _: value),)).scale[0] == edge


@pytest.mark.parametrize(
    ("value", "edge"), [(0, "1 byte"), (700, "800 bytes"), (1024, "1 KiB"), (3 << 20, "3 MiB"), (900 << 20, "1000 MiB")]
)
def test_edges_of_plots_of_octets_are_round_in_units_of_1024(value: float, edge: str) -> None:
    span = plots.Span(0, MINUTE, 1.0, known=True)
    assert plots.plot("x", "X", "octets a minute", [span], (("x", lambda _: value),)).scale[0] == edge


# --- the configuration, what is told ---


def test_the_configuration_shows_no_secret_and_what_is_another_than_the_default(api: Api) -> None:
    page = _signed_in(api).get("/web/configuration")
    assert TOKEN not in page.html
    assert "(hidden)" in page.text
    assert "job_directory" in page.text
    assert "mail1" in page.text or "No process has said yet" in page.text


def test_documents_are_told_in_words() -> None:
    document = {
        "clean": True,
        "octets_freed": 1 << 20,
        "expires_us": 0,
        "counts": {"bodies_gone": 3},
        "left": [["a", "b"]],
        "folders": [{"name": "x", "known": 1, "note": ""}],
        "notes": ["one", "two"],
        "nothing": None,
    }
    assert telling.pairs(document) == [
        ("clean", "yes"),
        ("octets freed", "1 MiB"),
        ("expires", "never"),
        ("counts", "bodies gone 3"),
        ("notes", "one, two"),
    ]
    left, folders = telling.tables(document)
    assert (left.columns, left.rows) == (["What", "Why"], [["a", "b"]])
    assert (folders.columns, folders.rows) == (["Name", "Known"], [["x", "1"]])
    assert telling.sentence({"scopes": ["a", "b"], "all": True}) == "scopes a, b; all yes"
