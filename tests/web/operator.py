"""Somebody at a browser who knows only what he reads: he finds links, fields and buttons by their words."""

from __future__ import annotations

import time
from typing import Final

from tests.web.screens import Driver

_ANSWER_SECONDS: Final = 60


class Operator:
    """He sits at `driver`, at the server whose address is `base`. Each step is an AssertionError where a page does not
    have the words."""

    def __init__(self, driver: Driver, base: str) -> None:
        self._driver = driver
        self._base = base

    def open(self) -> None:
        """Enter the server's address, without a path."""
        self._driver.go(self._base + "/")

    def follow(self, words: str) -> None:
        """Click the link with these words; where there are several, the first."""
        self._leave(f"//a[normalize-space() = {_quoted(words)}]")

    def press(self, words: str) -> None:
        """Click the button with these words."""
        self._leave(f"//button[normalize-space() = {_quoted(words)}]")

    def fill(self, label: str, text: str) -> None:
        """Enter a text in the field whose label begins with these words."""
        self._driver.enter(f"//*[@id = //label[starts-with(normalize-space(), {_quoted(label)})]/@for]", text)

    def tick(self, words: str) -> None:
        """Tick the box in the line of a table that these words are in."""
        self._driver.click(f"//tr[contains(., {_quoted(words)})]//input[@type = 'checkbox']")

    def reads(self) -> str:
        """What stands on the page, in one line."""
        return " ".join(str(self._driver.run("return document.body.innerText")).split())

    def sees(self, *words: str) -> None:
        """These words stand on the page."""
        text = self.reads()
        for each in words:
            assert each in text, f"{each!r} is not in: {text}"

    def copies(self, section: str, name: str) -> str:
        """What a section says that something is, as the port of a server."""
        return str(self._driver.run(_TOLD, section, name))

    def _leave(self, xpath: str) -> None:
        """Click what leads to another page, and wait for that: drivers do where it answers at once."""
        self._driver.run("window.__before = true")
        self._driver.click(xpath)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self._driver.run("return !window.__before && document.readyState === 'complete'"):
            assert time.monotonic() < deadline, f"{xpath} leads nowhere: {self.reads()}"
            time.sleep(0.02)


_TOLD = """
const section = [...document.querySelectorAll("section")]
  .find(each => each.querySelector("h2").textContent.startsWith(arguments[0]));
const names = [...section.querySelectorAll("dt")];
return names.find(each => each.textContent === arguments[1]).nextElementSibling.querySelector("code").textContent;
"""


def _quoted(words: str) -> str:
    assert '"' not in words
    return f'"{words}"'
