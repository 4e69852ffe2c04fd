"""Every page in a real browser: wide and narrow, light and dark, by keyboard, and as a screen reader has it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from lightmail.web.pages.views import Access
from tests.web.chromium import Chromium
from tests.web.crawling import Seen, crawl, one_of_each
from tests.web.firefox import Firefox
from tests.web.looking import serious, sideways, walk
from tests.web.screens import DESKTOP, PHONE, SCREENS, Driver
from tests.web.worlds import World

WHO = ("server", "owner")

# Where the pictures go that people look at; none are taken without.
_PICTURES = os.environ.get("LIGHTMAIL_TEST_PICTURES", "")


def by_row(seen: Seen) -> str:
    return seen.view.path


def look_at_all(
    world: World, browser: Driver, who: str, look: Callable[[Seen], list[str]], kind: Callable[[Seen], str] = by_row
) -> None:
    """Visit one of each kind of somebody's pages, and fail with all that `look` has found."""
    light = world.enter(browser, who)
    pages = one_of_each((seen for seen in crawl(light) if seen.is_page), kind)
    if who != "server":  # the rest was seen as the server's administrator
        pages = [seen for seen in pages if seen.view.access is Access.SIGNED_IN]
    wrong = []
    for seen in pages:
        browser.go(world.base + seen.path)
        wrong += [f"{seen.path}: {line}" for line in look(seen)]
        wrong += [f"{seen.path}: console: {line}" for line in browser.said()]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", WHO)
def test_every_page_is_as_wide_as_its_screen_and_good_to_read(world: World, browser: Chromium, who: str) -> None:
    """Every other page is read in the light colours, the others by keyboard, too: what pages share is on all."""
    screens = cycle((DESKTOP, PHONE))

    def look(seen: Seen) -> list[str]:
        wrong = []
        for _ in range(2):
            screen = next(screens)
            browser.show_on(screen)
            wrong += sideways(browser, screen)
        next(screens)
        wrong += serious(browser) + (walk(browser) if screen is PHONE else [])
        return [f"{screen}: {line}" for line in wrong]

    look_at_all(world, browser, who, look)


@pytest.mark.heavy
@pytest.mark.parametrize("who", WHO)
def test_every_page_is_good_on_every_screen(world: World, browser: Chromium, who: str) -> None:
    def look(seen: Seen) -> list[str]:
        wrong = []
        for screen in SCREENS:
            browser.show_on(screen)
            wrong += [f"{screen}: {line}" for line in (*sideways(browser, screen), *serious(browser), *walk(browser))]
            if _PICTURES:
                name = re.sub(r"[^a-z-]+", "_", seen.kind).strip("_")
                browser.picture(str(Path(_PICTURES) / f"{name}-{who}-{screen}.png"))
        return wrong

    look_at_all(world, browser, who, look, lambda seen: seen.kind)


@pytest.mark.heavy
@pytest.mark.parametrize("who", WHO)
def test_every_page_is_good_in_firefox(world: World, firefox: Firefox, who: str) -> None:
    def look(seen: Seen) -> list[str]:
        wrong = []
        for screen in (DESKTOP, PHONE):
            firefox.show_on(screen)
            firefox.go(world.base + seen.path)  # behind the last control Tab leads out of the page, and not back
            found = (*sideways(firefox, screen), *serious(firefox), *walk(firefox))
            wrong += [f"{screen}: {line}" for line in found]
        return wrong

    look_at_all(world, firefox, who, look)


def test_signing_in_is_good_on_all_screens(world: World, browser: Chromium) -> None:
    for screen in SCREENS:
        browser.show_on(screen)
        browser.become(f"{world.base}/web/sign-in", {})
        browser.go(f"{world.base}/web/sign-in")
        assert sideways(browser, screen) + serious(browser) + walk(browser) + browser.said() == []
