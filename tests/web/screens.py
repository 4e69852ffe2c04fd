"""A real browser as tests drive it, and the screens that pages are looked at on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol


@dataclass(frozen=True, slots=True)
class Screen:
    """How wide a window is, in CSS pixels, and which colours its reader prefers."""

    width: int
    scheme: str

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}"


DESKTOP: Final = Screen(1280, "light")
PHONE: Final = Screen(390, "dark")
SCREENS: Final = (DESKTOP, Screen(1280, "dark"), Screen(390, "light"), PHONE)


class Driver(Protocol):
    """A browser with one window. Elements are found by XPath, the first one is meant; AssertionError without one."""

    def show_on(self, screen: Screen) -> None:
        """Take that width and those colours from now on."""

    def go(self, address: str) -> None:
        """Load a page, and wait for it."""

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function gives, called in the page; a promise's result where it returns one."""

    def become(self, address: str, cookies: Mapping[str, str]) -> None:
        """Be signed in, at the server whose page is at `address`, as whoever has these cookies; nobody has none."""

    def click(self, xpath: str) -> None:
        """Click an element as people do: it must be there to be seen. Waits for the page that this leads to."""

    def click_in_frame(self, selector: str, number: int) -> bool:
        """Click one, counted from 0, of what a CSS selector names in the page's frame, if it can be clicked; whether it
        is there."""

    def download(self, address: str) -> None:
        """Go where a file is, and no page: the one that is shown stays."""

    def enter(self, xpath: str, text: str) -> None:
        """Type into a field, in the place of what stands there."""

    def press(self, keys: str) -> None:
        """Press keys, wherever the focus is."""

    def said(self) -> list[str]:
        """What the browser has put into its console since it was asked last."""

    def close(self) -> None:
        """Stop the browser."""
