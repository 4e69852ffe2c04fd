"""The slider of days on the page of deleted mail, in a real browser: it says the day, and sends it."""

from __future__ import annotations

import time

from tests.web.screens import Driver
from tests.web.worlds import World

_STATE = """
const slider = document.querySelector("input[type=range]"), select = document.querySelector("select[data-slider]");
return [slider.getAttribute("aria-valuetext"), slider.nextElementSibling.value, select.value, select.checkVisibility(),
  slider.labels[0].textContent];
"""


def test_the_slider_says_its_day_and_narrows_the_list(world: World, driver: Driver) -> None:
    world.enter(driver, "owner")
    driver.go(f"{world.base}/web/my/deleted")
    assert driver.run(_STATE) == ["the beginning", "the beginning", "", False, "Deleted since"]
    driver.run("document.querySelector('input[type=range]').focus()")
    driver.press("\ue014")  # the right arrow
    said, shown, day, _, _ = driver.run(_STATE)
    assert said == shown
    assert said.endswith("(1)")
    driver.click("//button[.='Search']")
    # A click is over before the page that it leads to is there.
    there = "return document.readyState === 'complete' && location.search.includes(arguments[0])"
    deadline = time.monotonic() + 20
    while not driver.run(there, f"since={day}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert driver.run(_STATE)[2] == day
    assert "ours deleted" in driver.run("return document.querySelector('main').textContent")
