"""Debian's Chromium without a window, through its chromedriver."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.screens import DESKTOP, Screen

_HEIGHT: Final = 900
# What it draws at once.
_MOST_PIXELS: Final = 16_000
_FILL_IN: Final = """
const form = document.querySelector(`form[action="${arguments[0]}"]`);
form.noValidate = true;
window.__sent = true;
for (const [name, value] of Object.entries(arguments[1])) {
  const field = form.elements[name];
  if (field.type === "checkbox") field.checked = true; else field.value = value;
}
"""
_OPTIONS: Final = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    # Nothing but this host is asked for anything, by the browser itself neither.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
_IS_ANOTHER: Final = "return !window.__sent && document.readyState === 'complete'"


def available() -> bool:
    """Whether it is installed."""
    return all(shutil.which(program) for program in ("chromium", "chromedriver"))


class Chromium:
    """See `Driver`; `driver` is Selenium's own, for what only Chromium can."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for option in (*_OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
        self.driver.set_page_load_timeout(60)
        self.driver.set_script_timeout(60)
        self.show_on(DESKTOP)

    def show_on(self, screen: Screen) -> None:
        metrics = {
            "width": screen.width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": screen.width < 500
        }  # fmt: skip
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        preferred = [{"name": "prefers-color-scheme", "value": screen.scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})

    def go(self, address: str) -> None:
        self.driver.get(address)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def become(self, address: str, cookies: Mapping[str, str]) -> None:
        self.go(address)
        self.driver.delete_all_cookies()
        for name, value in cookies.items():
            self.driver.add_cookie({"name": name, "value": value, "path": "/", "httpOnly": True, "sameSite": "Strict"})
        self.said()  # what other pages had to say is not asked about

    def click(self, xpath: str) -> None:
        self._find(xpath).click()

    def click_in_frame(self, selector: str, number: int) -> bool:
        self.driver.switch_to.frame(self.driver.find_element(By.TAG_NAME, "iframe"))
        try:
            there = self.driver.find_elements(By.CSS_SELECTOR, selector)
            if number < len(there):
                with suppress(WebDriverException):  # it is empty, and nobody can click it
                    there[number].click()
            return number < len(there)
        finally:
            self.driver.switch_to.default_content()

    def download(self, address: str) -> None:
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "deny"})
        with suppress(WebDriverException):  # that leads to no page
            self.go(address)

    def enter(self, xpath: str, text: str) -> None:
        element = self._find(xpath)
        element.clear()
        element.send_keys(text)

    def press(self, keys: str) -> None:
        ActionChains(self.driver, duration=0).send_keys(keys).perform()

    def said(self) -> list[str]:
        return [str(line["message"]) for line in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.quit()

    def without_scripts(self, without: bool) -> None:
        """Run no scripts of pages from now on, or run them again; those of tests run always."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": without})

    def send(self, action: str, values: Mapping[str, str]) -> None:
        """Fill in the form that goes to `action`, and press its button, whatever the browser thinks of them. Waits
        for the page that this leads to."""
        self.run(_FILL_IN, action, dict(values))
        self.click(f"(//form[@action='{action}']//button[not(@type) and not(@formaction)])[last()]")
        WebDriverWait(self.driver, 60).until(lambda _: self.run(_IS_ANOTHER))

    def picture(self, file: str) -> None:
        """Write a picture of the whole page, however long it is."""
        self.driver.execute_cdp_cmd("Page.enable", {})
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], _MOST_PIXELS), "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]
        with open(file, "wb") as out:
            out.write(base64.b64decode(data))

    def _find(self, xpath: str) -> WebElement:
        try:
            return self.driver.find_element(By.XPATH, xpath)
        except NoSuchElementException:
            raise AssertionError(f"{self.driver.current_url} has no {xpath}") from None
