"""The slider of days on the page of deleted mail, in a real browser: it says the day, and sends it."""

from __future__ import annotations

from selenium.webdriver.support.ui import WebDriverWait

from tests.web.chromium import Chromium
from tests.web.worlds import World

_STATE = """
const slider = document.querySelector("input[type=range]"), select = document.querySelector("select[data-slider]");
return [slider.getAttribute("aria-valuetext"), slider.nextElementSibling.value, select.value, select.checkVisibility(),
  slider.labels[0].textContent];
"""


def test_the_slider_says_its_day_and_narrows_the_list(world: World, browser: Chromium) -> None:
    world.enter(browser, "owner")
    browser.go(f"{world.base}/web/my/deleted")
    assert browser.run(_STATE) == ["the beginning", "the beginning", "", False, "Deleted since"]
    browser.run("document.querySelector('input[type=range]').focus()")
    browser.press("\ue014")  # the right arrow
    said, shown, day, _, _ = browser.run(_STATE)
    assert said == shown
    assert said.endswith("(1)")
    browser.click("//button[.='Search']")
    # A click is over before the page that it leads to is there.
    there = "return document.readyState === 'complete' && location.search.includes(arguments[0])"
    WebDriverWait(browser.driver, 20).until(lambda driver: driver.execute_script(there, f"since={day}"))
    assert browser.run(_STATE)[2] == day
    assert "ours deleted" in browser.run("return document.querySelector('main').textContent")
