"""Mail that means harm, looked at in a real browser: nothing of it runs, and nothing is asked for anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import payloads
from tests.support.apiworld import put_message
from tests.web.chromium import Chromium
from tests.web.screens import DESKTOP
from tests.web.worlds import World

_SETTLED = "return document.readyState === 'complete'"


@dataclass
class Trap:
    """A web server that takes anything and remembers what it was asked for; `page` is what it answers."""

    address: str = ""
    page: bytes = b""
    asked: list[str] = field(default_factory=list)


@contextmanager
def trapping() -> Iterator[Trap]:
    trap = Trap()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            trap.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(trap.page)

        do_POST = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    trap.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield trap
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    with trapping() as made:
        yield made


@pytest.fixture(scope="module")
def reader(world: World, browser: Chromium) -> Chromium:
    """A browser in which the server's administrator is signed in; it keeps no files."""
    browser.show_on(DESKTOP)
    world.enter(browser, "server")
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "deny"})
    return browser


def put(world: World, text: bytes) -> str:
    """The address of the page of a new message."""
    realm = world.ours
    return f"{world.base}/web/messages/{put_message(world.api, realm.account, realm.mailbox, text)}"


def look(reader: Chromium, address: str) -> None:
    """Load a page with its frame, and see that it is still ours."""
    reader.go(address)
    WebDriverWait(reader.driver, 20).until(lambda driver: driver.execute_script(_SETTLED))
    assert reader.driver.current_url == address
    assert "LightMail" in reader.driver.title or address.endswith("/html")
    assert reader.driver.title != payloads.RAN


def click_all(reader: Chromium, address: str) -> None:
    """Click every link that the frame has."""
    frame = reader.driver.find_element(By.TAG_NAME, "iframe")
    reader.driver.switch_to.frame(frame)
    links = len(reader.driver.find_elements(By.CSS_SELECTOR, "a[href], summary"))
    reader.driver.switch_to.default_content()
    for number in range(links):
        look(reader, address)
        reader.driver.switch_to.frame(reader.driver.find_element(By.TAG_NAME, "iframe"))
        with suppress(WebDriverException):  # it is empty, and nobody can click it
            reader.driver.find_elements(By.CSS_SELECTOR, "a[href], summary")[number].click()
        reader.driver.switch_to.default_content()
        assert reader.driver.current_url == address
        assert reader.driver.title != payloads.RAN


def test_the_trap_hears_what_runs(browser: Chromium, trap: Trap) -> None:
    """Without our defences these payloads do run, and fetch: else the other tests would prove nothing."""
    for name, expected in (("script", "/s.js"), ("pictures", "/i.png"), ("styles", "/i.css"), ("frames", "/frame")):
        trap.page = payloads.aimed(payloads.HTML[name], trap.address).encode()
        browser.go(f"{trap.address}/control")
        WebDriverWait(browser.driver, 20).until(lambda _, expected=expected: expected in trap.asked)
        if name == "script":
            assert browser.driver.title == payloads.RAN
    browser.go("about:blank")
    trap.page = b""


@pytest.mark.parametrize("name", payloads.HTML)
def test_nothing_runs_and_nothing_is_fetched(world: World, reader: Chromium, trap: Trap, name: str) -> None:
    address = put(world, payloads.html_mail(payloads.aimed(payloads.HTML[name], trap.address)))
    trap.asked.clear()
    look(reader, f"{address}?view=html")
    click_all(reader, f"{address}?view=html")
    look(reader, f"{address}/html")
    look(reader, address)
    assert trap.asked == []


def test_nor_of_headers_names_and_types(world: World, reader: Chromium, trap: Trap) -> None:
    address = put(world, payloads.header_mail(trap.address))
    trap.asked.clear()
    for path in (f"/web/mailboxes/{world.ours.mailbox}", f"/web/accounts/{world.ours.account}/messages"):
        look(reader, world.base + path)
    look(reader, address)
    for name in payloads.NAMES[:3]:
        look(reader, put(world, payloads.attached_mail("text/html", name, trap.address)))
    assert trap.asked == []


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "text/xml", "text/plain; charset=utf-7"])
def test_an_attachment_is_never_a_page(world: World, reader: Chromium, trap: Trap, content_type: str) -> None:
    address = put(world, payloads.attached_mail(content_type, "page.html", trap.address))
    trap.asked.clear()
    look(reader, address)
    for file in (f"{address}/parts/2", f"{address}/raw"):
        with suppress(WebDriverException):  # a download leads to no page
            reader.go(file)
        assert reader.driver.current_url == address
    assert trap.asked == []
