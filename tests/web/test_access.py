"""Who finds which page: all of them are found by links, and of another's things nothing is, guessed or known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pytest

from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import Access
from tests.support.browser import Browser, Form, Page
from tests.web.crawling import Seen, changing, crawl, view_of
from tests.web.worlds import World

# Pages that no link leads to: / and the form are where people begin; a message at a UID is named by the log.
BEGINNINGS = {"/", "/web/sign-in", "/web/mailboxes/{id}/uids/{uid}"}
STRANGERS = ("others", "other owner")
GUESSED = (
    "0",
    "999999",
    "9223372036854775807",
    "9223372036854775808",
    "-1",
    "1.0",
    "1e1",
    "x",
    "%00",
    "%D9%A3",
    "1%20",
)
# What is kept of being there, and of having asked.
_NOTED = {"audit_log", "web_sessions", "sqlite_sequence"}
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "mysql": "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
}


@pytest.fixture(scope="module")
def found(world: World) -> dict[str, list[Seen]]:
    """What each of the people finds."""
    return {who: crawl(world.sign_in(who)[0]) for who in world.people}


def test_every_page_is_found_by_links(found: dict[str, list[Seen]]) -> None:
    reached = {seen.view.path for pages in found.values() for seen in pages}
    assert {view.path for view in VIEWS if view.method == "GET"} - reached <= BEGINNINGS


def test_every_form_leads_somewhere(found: dict[str, list[Seen]]) -> None:
    for pages in found.values():
        for seen in pages:
            for form in seen.page.forms:
                assert view_of(form.method, form.action or seen.path), f"{seen.path} has a form to {form.action}"


def test_nobody_finds_what_he_may_not_see(found: dict[str, list[Seen]]) -> None:
    for who, pages in found.items():
        least = {"server": Access.SERVER, "owner": Access.SIGNED_IN, "other owner": Access.SIGNED_IN}
        allowed = least.get(who, Access.ADMINISTRATOR).value
        assert all(seen.view.access.value <= allowed for seen in pages)


@pytest.mark.parametrize("who", STRANGERS)
def test_links_of_another_domain_show_nothing_of_it(world: World, found: dict[str, list[Seen]], who: str) -> None:
    browser, _ = world.sign_in(who)
    own = {seen.path for seen in found[who]}
    tried = 0
    for seen in (*found["server"], *found["ours"], *found["owner"]):
        if seen.path in own:
            continue
        page = browser.get(seen.path)
        assert page.status in (200, 400, 404), f"{seen.path} answers {page.status}"
        shown = _of_ours(world, page.html) - _of_ours(world, unquote(seen.path))
        assert page.status != 200 or not shown, f"{who} sees {shown} at {seen.path}"
        tried += page.status == 404
    assert tried > 3


def _of_ours(world: World, text: str) -> set[str]:
    """Words of the first domain, of its people and mail, in a text."""
    realm = world.ours
    words = {f"{name}@{realm.name}.example" for name in ("owner", "gone")} | {world.people["ours"]}
    words |= {f"{realm.name} {thing}" for thing in "papers secret text phone other holiday beach deleted".split()}
    return {word for word in words if re.search(rf"\b{re.escape(word)}\b", text)}


def test_words_of_the_domain_are_found_where_they_may_be(world: World, found: dict[str, list[Seen]]) -> None:
    shown = {word for seen in found["server"] for word in _of_ours(world, seen.page.html)}
    assert {"owner@ours.example", "ours-admin", "ours phone"} <= shown


@pytest.mark.parametrize("who", [*STRANGERS, None], ids=str)
def test_forms_of_another_domain_change_nothing(world: World, found: dict[str, list[Seen]], who: str | None) -> None:
    browser, first = world.sign_in(who) if who is not None else (Browser(world.api.port), None)
    token = first.form("/web/sign-out").fields["form_token"] if first is not None else ""
    own = changing(found[who]) if who is not None else {}
    of_others = changing([*found["server"], *found["ours"], *found["owner"]])
    before = rows(world)
    # Whose a thing is says an id; /web/my without one is the stranger's own.
    tried = [form for action, form in of_others.items() if action not in own and re.search(r"\d", action)]
    assert len(tried) > 3
    for form in tried:
        answer = browser.request("POST", form.action, {**filled(form), "form_token": token})
        assert _is_refusal(answer), f"{form.action} answers {answer.status} {answer.headers.get('location')}"
    assert rows(world) == before


def _is_refusal(answer: Page) -> bool:
    """An error, the form to sign in, or the list without what somebody else may have taken out of it meanwhile."""
    if answer.status == 303:
        return "/web/sign-in" in answer.headers["location"] or answer.headers["location"].endswith("-gone")
    return answer.status in (400, 403, 404, 409, 422)


def filled(form: Form) -> dict[str, str]:
    """A form's fields with what somebody might enter who means it."""
    known = {
        "password": "another password", "repeated": "another password", "new_password": "another password",
        "typed": "owner@ours.example", "name": "new", "address": "new@ours.example", "target": "owner@ours.example",
    }  # fmt: skip
    return {name: value or known.get(name, value) for name, value in form.fields.items()}


def rows(world: World) -> dict[str, Sequence[tuple[Any, ...]]]:
    store = world.api.store
    names = [row[0] for row in store.rows(_TABLES[store.database.dialect])]
    texts = [name.decode() if isinstance(name, bytes) else name for name in names]
    # A server gives them in whatever order it reads them in.
    return {name: sorted(store.rows(f"SELECT * FROM {name}"), key=repr) for name in texts if name not in _NOTED}  # noqa: S608


@pytest.mark.parametrize("id", GUESSED)
def test_a_guessed_id_shows_nothing(world: World, found: dict[str, list[Seen]], id: str) -> None:
    browser, page = world.sign_in("server")
    token = page.form("/web/sign-out").fields["form_token"]
    for view in VIEWS:
        if "{" not in view.path:
            continue
        path = re.sub(r"\{[a-z_]+\}", id, view.path)
        fields = {"form_token": token, "typed": ""} if view.method == "POST" else None
        answer = browser.request(view.method, path, fields)
        assert answer.status == 404 or (answer.status == 303 and _is_refusal(answer)), f"{view.method} {path}"


def test_an_id_of_another_account_shows_nothing(world: World, found: dict[str, list[Seen]]) -> None:
    """Of two ids in an address, each is there, but not with the other."""
    browser, _ = world.sign_in("server")
    tried = 0
    for seen in found["server"]:
        account = re.match(r"/web/accounts/(\d+)/[^?]*/\d+(/|$|\?)", seen.path)
        if account is not None and account[1] != str(world.others.account):
            wrong = seen.path.replace(account[1], str(world.others.account), 1)
            assert browser.get(wrong).status == 404, wrong
            tried += 1
    assert tried
