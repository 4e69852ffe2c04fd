"""Debian's Firefox without a window, through Marionette: the protocol that a geckodriver, which Debian has not, speaks
with it. A message is its length, a colon, and JSON: [0, id, command, parameters] and [1, id, error, result]."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.web.screens import DESKTOP, Screen

_OPTIONS: Final = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote")
_START_SECONDS: Final = 60
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name of a reference to an element
_NARROWEST: Final = 500  # a window; what it shows can be narrower
_SHOW_ON: Final = """
    const browser = gBrowser.selectedBrowser;
    browser.style.cssText = `width: ${arguments[0]}px; min-width: 0; max-width: ${arguments[0]}px`;
    browser.browsingContext.top.prefersColorSchemeOverride = arguments[1];
"""
_SHOWN: Final = "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light']"
_PREFERENCES: Final = {
    "marionette.port": 0,  # a free one, which it writes into its profile
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.prefs.recommended": True,
    "browser.download.folderList": 2,  # the one that is named beside them
    "browser.download.alwaysOpenPanel": False,
}


def available() -> bool:
    """Whether it is installed."""
    return shutil.which("firefox-esr") is not None


class Firefox:
    """See `Driver`."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="lm-firefox-"))
        preferences = {**_PREFERENCES, "browser.download.dir": str(self._profile / "downloads")}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        (self._profile / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            ["firefox-esr", *_OPTIONS, "--profile", str(self._profile)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
        )
        self._number = 0
        try:
            self._socket = socket.create_connection(("127.0.0.1", self._port()), timeout=120)
            self._file = self._socket.makefile("rb")
            self._read()  # its greeting
            self._ask("WebDriver:NewSession", {"pageLoadStrategy": "normal"})
        except BaseException:
            self._end()
            raise
        self.show_on(DESKTOP)

    def show_on(self, screen: Screen) -> None:
        self._ask("WebDriver:SetWindowRect", {"width": max(screen.width, _NARROWEST), "height": 900})
        self._ask("Marionette:SetContext", {"value": "chrome"})
        self.run(_SHOW_ON, screen.width, screen.scheme)
        self._ask("Marionette:SetContext", {"value": "content"})
        deadline = time.monotonic() + 10
        while self.run(_SHOWN) != [screen.width, screen.scheme]:  # the page's process hears of it a little later
            assert time.monotonic() < deadline, f"Firefox does not show {screen}: {self.run(_SHOWN)}"
            time.sleep(0.05)

    def go(self, address: str) -> None:
        self._ask("WebDriver:Navigate", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._ask("WebDriver:ExecuteScript", {"script": script, "args": list(arguments), "sandbox": None})

    def become(self, address: str, cookies: Mapping[str, str]) -> None:
        self.go(address)
        self._ask("WebDriver:DeleteAllCookies", {})
        for name, value in cookies.items():
            cookie = {"name": name, "value": value, "path": "/", "httpOnly": True, "sameSite": "Strict"}
            self._ask("WebDriver:AddCookie", {"cookie": cookie})

    def click(self, xpath: str) -> None:
        self._ask("WebDriver:ElementClick", {"id": self._find(xpath)})

    def click_in_frame(self, selector: str, number: int) -> bool:
        frame = self._ask("WebDriver:FindElement", {"using": "css selector", "value": "iframe"})
        self._ask("WebDriver:SwitchToFrame", {"element": frame[_ELEMENT]})
        try:
            there = self._ask("WebDriver:FindElements", {"using": "css selector", "value": selector})
            if number < len(there):
                with suppress(AssertionError):  # it is empty, and nobody can click it
                    self._ask("WebDriver:ElementClick", {"id": there[number][_ELEMENT]})
            return number < len(there)
        finally:
            self._ask("WebDriver:SwitchToFrame", {})

    def download(self, address: str) -> None:
        # It waits for a page, where it is told to navigate, until it gives up.
        before = self._downloads()
        self.run("location.assign(arguments[0])", address)
        deadline = time.monotonic() + 20
        while self._downloads() == before:
            assert time.monotonic() < deadline, f"{address} is no file"
            time.sleep(0.02)

    def enter(self, xpath: str, text: str) -> None:
        element = self._find(xpath)
        self._ask("WebDriver:ElementClear", {"id": element})
        self._ask("WebDriver:ElementSendKeys", {"id": element, "text": text})

    def press(self, keys: str) -> None:
        acts = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("WebDriver:PerformActions", {"actions": [{"type": "key", "id": "keyboard", "actions": acts}]})

    def said(self) -> list[str]:
        return []  # Marionette does not tell

    def close(self) -> None:
        try:
            self._ask("Marionette:Quit", {"flags": ["eForceQuit"]})
        finally:
            self._end()

    def _downloads(self) -> set[str]:
        """The files that are downloaded."""
        return {file.name for file in (self._profile / "downloads").glob("*") if file.suffix != ".part"}

    def _find(self, xpath: str) -> str:
        try:
            found = self._ask("WebDriver:FindElement", {"using": "xpath", "value": xpath})
        except AssertionError:
            where = self._ask("WebDriver:GetCurrentURL", {})
            raise AssertionError(f"{where} has no {xpath}") from None
        return str(found[_ELEMENT])

    def _port(self) -> int:
        """Where it listens, once it does."""
        file = self._profile / "MarionetteActivePort"
        deadline = time.monotonic() + _START_SECONDS
        while not file.exists() or not file.read_text().strip():
            assert self._process.poll() is None, "Firefox did not start"
            assert time.monotonic() < deadline, "Firefox takes too long to start"
            time.sleep(0.05)
        return int(file.read_text())

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        octets = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(octets), octets))
        _, number, error, result = self._read()
        assert number == self._number
        assert error is None, f"{command}: {error}"
        return result["value"] if isinstance(result, dict) and result.keys() == {"value"} else result

    def _read(self) -> Any:
        digits = b""
        while (octet := self._file.read(1)) != b":":
            assert octet, "Firefox has gone"
            digits += octet
        return json.loads(self._file.read(int(digits)))

    def _end(self) -> None:
        for name in ("_file", "_socket"):
            if hasattr(self, name):
                getattr(self, name).close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)
