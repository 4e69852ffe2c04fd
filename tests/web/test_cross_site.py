"""Pages of other sites, in a real browser where somebody is signed in: they change nothing, and read nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support.browser import Form
from tests.web.chromium import Chromium
from tests.web.crawling import changing, crawl, view_of
from tests.web.evil import site
from tests.web.screens import Driver
from tests.web.test_access import filled, rows
from tests.web.worlds import World

# Another port of the same host is the same site to a browser, which sends it our cookies, strict as they are.
HOSTS = {"another site": "localhost", "a neighbour": "127.0.0.1"}


@pytest.fixture(scope="module")
def forms(world: World) -> list[Form]:
    """One of each form that the server's administrator has."""
    found = crawl(world.sign_in("server")[0])
    return list({view_of("POST", action): form for action, form in changing(found).items()}.values())


@pytest.fixture
def signed_in(
    world: World, driver: Driver, forms: list[Form]
) -> Iterator[tuple[str, Sequence[tuple[str, dict[str, str]]]]]:
    """Somebody signed in with the browser: the server's address, and the forms that he has, filled in."""
    token = world.enter(driver, "server").get("/web/").form("/web/sign-out").fields["form_token"]
    # Even with the token, which no other site can know.
    yield world.base, [(form.action, {**filled(form), "form_token": token}) for form in forms]
    driver.said()


def heading(driver: Driver) -> str:
    return str(driver.run("return document.querySelector('h1').textContent"))


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_another_page_changes_nothing_and_reads_nothing(
    world: World, driver: Driver, signed_in: tuple[str, Any], host: str
) -> None:
    base, forms = signed_in
    before = rows(world)
    with site(base, forms) as port:
        driver.go(f"http://{host}:{port}/")
        deadline = time.monotonic() + 60
        while driver.run("return window.done") < 2 * len(forms) + 2:
            assert time.monotonic() < deadline, "its requests do not end"
            time.sleep(0.05)
        assert driver.run("return window.read") == []
        if isinstance(driver, Chromium):  # the other one does not tell
            assert any("frame-ancestors" in line for line in driver.said())
    assert rows(world) == before
    driver.go(f"{base}/web/")
    assert heading(driver) == "Overview"  # he is signed in still


def test_a_link_of_another_site_leads_to_the_form(driver: Driver, signed_in: tuple[str, Any]) -> None:
    """Nobody can lead who is signed in to a page where a click would do something."""
    base, _ = signed_in
    with site(base, []) as port:
        driver.go(f"http://localhost:{port}/")
        driver.click("//a")
    assert heading(driver) == "Sign in"
    driver.go(f"{base}/web/")
    assert heading(driver) == "Overview"


def test_a_form_of_ours_goes_through(driver: Driver, signed_in: tuple[str, Any]) -> None:
    """That what the others try would do something if it came from here."""
    base, forms = signed_in
    action, fields = next(form for form in forms if form[0] == "/web/sign-out")
    driver.go(f"{base}/web/")
    script = (
        "return fetch(arguments[0], {method: 'POST', body: new URLSearchParams(arguments[1])}).then(got => got.url)"
    )
    assert "notice=signed-out" in driver.run(script, action, fields)
    driver.go(f"{base}/web/")
    assert heading(driver) == "Sign in"
