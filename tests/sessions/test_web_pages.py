"""The web's frame: who sees which page, how one signs in, and what keeps other sites out."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import bcrypt
import pytest
from twisted.internet import reactor as installed_reactor

from lightmail.auth import totp
from lightmail.config.sections import ImapConfig, SystemConfig
from lightmail.operations import administrators
from lightmail.operations.accounts import add_account
from lightmail.operations.domains import add_domain
from lightmail.web.http import BoundedSite
from lightmail.web.pages import qr
from lightmail.web.pages.application import make_resource
from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import Access, Answer, Html, View, Visit
from tests.support.actors import OPERATOR
from tests.support.apikit import Api, serve_api
from tests.support.browser import Browser, Page
from tests.support.reactor import call, run
from tests.support.storekit import fresh_config, open_store

reactor: Any = installed_reactor

PASSWORD = "correct horse battery"
# The cheapest there is: it is checked a hundred times.
_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
_numbers = count(1)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(store, pages=True, imap=ImapConfig()) as serving,
    ):
        yield serving


def _domain(api: Api) -> tuple[int, str]:
    name = f"d{next(_numbers)}.example"
    return run(add_domain(api.store.tx, OPERATOR, name)), name


def _owner(api: Api, domain: str) -> str:
    address = f"ada{next(_numbers)}@{domain}"
    run(add_account(api.store.tx, OPERATOR, address, _HASH))
    return address


def _administrator(api: Api, *domains: int) -> str:
    name = f"admin{next(_numbers)}"
    run(administrators.add_administrator(api.store.tx, OPERATOR, name, _HASH, domains or None))
    return name


def _sign_in(api: Api, name: str, code: str = "") -> tuple[Browser, Page]:
    browser = Browser(api.port)
    form = browser.get("/").form("/web/sign-in")
    return browser, browser.send(form, name=name, password=PASSWORD, code=code)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.method} {view.path}")
def test_who_is_not_signed_in_is_led_to_the_form_and_changes_nothing(api: Api, view: View) -> None:
    browser = Browser(api.port)
    answer = browser.request(view.method, view.path, {} if view.method == "POST" else None)
    if view.access is Access.EVERYBODY:
        assert answer.status in (200, 303, 403)
    else:
        assert answer.status == 303
        assert answer.headers["location"].startswith("/web/sign-in")
    assert not browser.cookies


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.method} {view.path}")
def test_for_an_owner_administrators_pages_are_not_there(api: Api, view: View) -> None:
    _, domain = _domain(api)
    browser, _ = _sign_in(api, _owner(api, domain))
    if view.access in (Access.ADMINISTRATOR, Access.SERVER):
        fields = {"form_token": browser.get("/web/client-settings").form("/web/sign-out").fields["form_token"]}
        answer = browser.request(view.method, view.path, fields if view.method == "POST" else None)
        assert answer.status == 404


@pytest.mark.parametrize("view", [view for view in VIEWS if view.method == "POST"], ids=lambda view: view.path)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": None},
        {"Sec-Fetch-Site": None, "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": None, "Origin": "null"},
    ],
)
def test_forms_of_other_sites_do_nothing(api: Api, view: View, headers: dict[str, str | None]) -> None:
    browser, page = _sign_in(api, _administrator(api))
    token = page.form("/web/sign-out").fields["form_token"]
    assert browser.request("POST", view.path, {"form_token": token}, headers).status == 403
    assert browser.get("/web/").status == 200


def test_forms_of_other_sessions_do_nothing(api: Api) -> None:
    browser, _ = _sign_in(api, _administrator(api))
    _, other = _sign_in(api, _administrator(api))
    for token in ("", "0" * 64, other.form("/web/sign-out").fields["form_token"]):
        assert browser.request("POST", "/web/sign-out", {"form_token": token}).status == 403
    assert "signed out" not in browser.get("/web/").text.lower()


def test_a_browser_that_says_only_where_from_is_believed(api: Api) -> None:
    browser, page = _sign_in(api, _administrator(api))
    headers = {"Sec-Fetch-Site": None, "Origin": f"http://127.0.0.1:{api.port}"}
    assert browser.request("POST", "/web/sign-out", page.form("/web/sign-out").fields, headers).status == 303
    assert not browser.cookies


def test_nothing_tells_whether_a_name_exists(api: Api) -> None:
    _, domain = _domain(api)
    names = (_administrator(api), "nobody", _owner(api, domain), f"nobody@{domain}")
    answers = []
    for name in names:
        browser = Browser(api.port)
        form = browser.get("/web/sign-in").form("/web/sign-in")
        page = browser.send(form, name=name, password="wrong")
        assert not browser.cookies
        answers.append((page.status, page.text))
    assert len(set(answers)) == 1
    assert answers[0][0] == 403


def test_what_was_typed_comes_back_as_text(api: Api) -> None:
    browser = Browser(api.port)
    name = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>"
    page = browser.send(browser.get("/web/sign-in").form("/web/sign-in"), name=name, password="x")
    assert page.form("/web/sign-in").fields["name"] == name
    assert [attributes for tag, attributes in page.elements if tag == "script" and "src" not in attributes] == []
    assert not any(attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)


def test_cookies_are_for_this_site_and_no_script(api: Api) -> None:
    name = _administrator(api)
    browser, _ = _sign_in(api, name)
    (line,) = browser.set_cookies
    assert re.fullmatch(r"lightmail=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", line)
    secure = Browser(api.port, {"X-Forwarded-Proto": "https"})
    secure.send(secure.get("/").form("/web/sign-in"), name=name, password=PASSWORD)
    assert re.fullmatch(r"__Host-lightmail=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Secure", secure.set_cookies[0])
    assert secure.get("/web/").status == 200


def test_every_answer_keeps_strangers_out(api: Api) -> None:
    browser, _ = _sign_in(api, _administrator(api))
    for path in ("/web/", "/web/sign-in", "/web/nothing", "/web/static/style.css", "/web/static/nothing", "/"):
        headers = browser.request("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
    assert browser.request("GET", "/web/").headers["cache-control"] == "no-store"


def test_files_are_kept_for_as_long_as_they_are_the_same(api: Api) -> None:
    browser = Browser(api.port)
    page = browser.get("/web/sign-in")
    loaded = [
        attributes.get("href") or attributes.get("src")
        for tag, attributes in page.elements
        if tag in ("link", "script", "img")
    ]
    assert {str(path).rpartition("?")[0] for path in loaded} >= {"/web/static/style.css", "/web/static/lightmail.js"}
    for path in loaded:
        answer = browser.request("GET", str(path))
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert browser.request("GET", "/web/static/style.css").headers["cache-control"] == "no-store"
    assert browser.request("GET", "/web/static/..%2fbase.html").status == 404


def test_who_signs_out_is_out_everywhere_that_cookie_was(api: Api) -> None:
    browser, page = _sign_in(api, _administrator(api))
    cookies = dict(browser.cookies)
    assert "You are signed out." in browser.send(page.form("/web/sign-out")).text
    browser.cookies = cookies
    assert "sign in" in browser.get("/web/").text.lower()


def test_codes_are_set_up_asked_for_and_taken_once(api: Api) -> None:
    name = _administrator(api)
    browser, _ = _sign_in(api, name)
    page = browser.get("/web/myself")
    form = page.form("/web/myself/totp")
    secret = base64.b32decode(form.fields["secret"])
    assert totp.key_text(secret) in page.text
    assert _drawn(page) == qr.drawn(totp.key_uri(secret, name, SystemConfig().hostname)).path
    assert browser.send(form, code="000000").status in (200, 422)
    before = totp.code(secret, int(time.time()) // 30 - 1)  # of the step before, so that another is left for later
    assert "a code of your app is asked for" in browser.send(form, code=before).text.lower()
    _, page = _sign_in(api, name)
    assert "Enter the code" in page.text
    code = totp.code(secret, int(time.time()) // 30)
    inside, page = _sign_in(api, name, code)
    assert "Overview" in page.text
    _, page = _sign_in(api, name, code)
    assert "not the code" in page.text
    page = inside.send(inside.get("/web/myself").form("/web/myself/totp/remove"), password=PASSWORD)
    assert "No code is asked for any more." in page.text


def _drawn(page: Page) -> str:
    """The dark part of the QR code that a page shows."""
    return next(given["d"] or "" for tag, given in page.elements if tag == "path" and "class" not in given)


def test_another_password_takes_the_present_one_and_signs_other_browsers_out(api: Api) -> None:
    name = _administrator(api)
    here, _ = _sign_in(api, name)
    elsewhere, _ = _sign_in(api, name)
    form = here.get("/web/myself").form("/web/myself/password")
    new = {"new_password": "a better password", "repeated": "a better password"}
    for values, line, field in (
        ({"password": "wrong", **new}, "not your present password", "present"),
        ({"password": PASSWORD, "new_password": "0123456789", "repeated": "x"}, "not repeated", "repeated"),
        ({"password": PASSWORD, "new_password": "short", "repeated": "short"}, "at least", "new"),
    ):
        page = here.send(form, **values)
        assert line in page.text
        assert [given["id"] for _, given in page.elements if "aria-invalid" in given] == [field]
    assert "The password is changed." in here.send(form, password=PASSWORD, **new).text
    assert here.get("/web/").status == 200
    assert "Sign in" in elsewhere.get("/web/").text


def test_who_has_one_domain_sees_that_alone(api: Api) -> None:
    (own, own_name), (_, other_name) = _domain(api), _domain(api)
    mine, others = _owner(api, own_name), _owner(api, other_name)
    browser, page = _sign_in(api, _administrator(api, own))
    assert f"Overview of {own_name}" in page.text
    assert "1 account " in page.text
    assert mine in browser.get(f"/web/client-settings?address={mine}").text
    for address in (others, f"nobody@{own_name}"):
        page = browser.get(f"/web/client-settings?address={address}")
        assert (page.status, "No such user here." in page.text) == (404, True)
    assert browser.get("/web/client-settings?address=nonsense").status == 400


def test_an_owner_sees_the_settings_of_his_account(api: Api) -> None:
    _, domain = _domain(api)
    address = _owner(api, domain)
    browser, page = _sign_in(api, address)
    assert address in page.text
    assert "993" in page.text
    assert "svg" not in {tag for tag, _ in page.elements}
    profile = browser.request("GET", "/web/client-settings/profile?address=another@else.example")
    assert profile.headers["content-type"] == "application/x-apple-aspen-config"
    assert address in profile.html


def test_a_page_that_came_by_tls_has_its_address_for_a_phone(api: Api) -> None:
    _, domain = _domain(api)
    address = _owner(api, domain)
    for host, named in (("mail.example.org", True), ("[2001:db8::1]:8443", True), ("x'><script>", False)):
        browser = Browser(api.port, {"X-Forwarded-Proto": "https", "Host": host})
        browser.send(browser.get("/").form("/web/sign-in"), name=address, password=PASSWORD)
        page = browser.get("/web/client-settings")
        assert (f"https://{host}/web/client-settings" in page.text) == named
        assert not named or _drawn(page) == qr.drawn(f"https://{host}/web/client-settings").path
        assert address not in (next((text for text in page.text.split() if text.startswith("https:")), ""))


def test_no_page_says_the_words_of_a_stranger(api: Api) -> None:
    browser, _ = _sign_in(api, _administrator(api))
    assert "hacked" not in browser.get("/web/?notice=hacked").text
    assert browser.get("/web/?notice=%ff%fe").status in (200, 400)


def test_a_bug_s_text_is_not_shown(api: Api) -> None:
    browser = Browser(api.port)
    browser.cookies = {"lightmail": "x" * 5000}
    assert browser.get("/web/").status == 200
    assert browser.request("POST", "/web/sign-in", {"a" * 10: "b"}).status == 403
    assert browser.request("POST", "/web/sign-in", {str(k): "" for k in range(300)}).status == 400
    assert browser.request("POST", "/web/sign-in", {"a": "x" * 2_000_000}).status == 400
    assert browser.request("POST", "/web/sign-in", {}, {"Content-Type": "multipart/form-data"}).status == 400


def test_a_page_that_cannot_be_drawn_is_an_error_like_any_other(api: Api) -> None:
    async def broken(visit: Visit) -> Answer:
        return Html("client_settings.html", {"secret": "open sesame"})

    views = (View("GET", "/web/broken", Access.EVERYBODY, broken),)
    resource = call(make_resource, views, lambda _: (), api.services, None)
    listener = call(reactor.listenTCP, 0, BoundedSite(resource, reactor, 10), 50, "127.0.0.1")
    try:
        page = Browser(listener.getHost().port).get("/web/broken")
    finally:
        call(listener.stopListening)
    assert (page.status, "Internal error, it has been logged." in page.text) == (500, True)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "sesame" not in page.html
