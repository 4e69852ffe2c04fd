"""Mail that means harm, looked at in a real browser: nothing of it runs, and nothing is asked for anywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from tests.support import payloads
from tests.support.apiworld import put_message
from tests.support.seaweedfs import SeaweedFS
from tests.web.screens import DESKTOP, Driver
from tests.web.worlds import World, inhabited


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
def world(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of its own, which mail is put into."""
    with inhabited(tmp_path_factory.mktemp("payloads"), s3) as made:
        yield made


@pytest.fixture(scope="module")
def reader(world: World, driver: Driver) -> Driver:
    """A browser in which the server's administrator is signed in."""
    driver.show_on(DESKTOP)
    world.enter(driver, "server")
    return driver


def put(world: World, text: bytes) -> str:
    """The address of the page of a new message."""
    realm = world.ours
    return f"{world.base}/web/messages/{put_message(world.api, realm.account, realm.mailbox, text)}"


def look(reader: Driver, address: str) -> None:
    """Load a page with its frame, and see that it is still ours."""
    reader.go(address)
    wait(lambda: reader.run("return document.readyState") == "complete")
    assert shown(reader)[0] == address
    assert "LightMail" in shown(reader)[1] or address.endswith("/html")
    assert shown(reader)[1] != payloads.RAN


def shown(reader: Driver) -> tuple[str, str]:
    """The address and the title of what the browser shows."""
    address, title = reader.run("return [location.href, document.title]")
    return address, title


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def click_all(reader: Driver, address: str) -> None:
    """Click every link that the frame has, each on a page that is loaded anew."""
    for number in count():
        if not reader.click_in_frame("a[href], summary", number):
            break
        assert shown(reader)[0] == address
        assert shown(reader)[1] != payloads.RAN
        look(reader, address)


def test_the_trap_hears_what_runs(driver: Driver, trap: Trap) -> None:
    """Without our defences these payloads do run, and fetch: else the other tests would prove nothing."""
    for name, expected in (("script", "/s.js"), ("pictures", "/i.png"), ("styles", "/i.css"), ("frames", "/frame")):
        trap.page = payloads.aimed(payloads.HTML[name], trap.address).encode()
        driver.go(f"{trap.address}/control")
        wait(lambda expected=expected: expected in trap.asked)
        if name == "script":
            assert shown(driver)[1] == payloads.RAN
    driver.go("about:blank")
    trap.page = b""


@pytest.mark.parametrize("name", payloads.HTML)
def test_nothing_runs_and_nothing_is_fetched(world: World, reader: Driver, trap: Trap, name: str) -> None:
    address = put(world, payloads.html_mail(payloads.aimed(payloads.HTML[name], trap.address)))
    trap.asked.clear()
    look(reader, f"{address}?view=html")
    click_all(reader, f"{address}?view=html")
    look(reader, f"{address}/html")
    look(reader, address)
    assert trap.asked == []


def test_nor_of_headers_names_and_types(world: World, reader: Driver, trap: Trap) -> None:
    address = put(world, payloads.header_mail(trap.address))
    trap.asked.clear()
    for path in (f"/web/mailboxes/{world.ours.mailbox}", f"/web/accounts/{world.ours.account}/messages"):
        look(reader, world.base + path)
    look(reader, address)
    for name in payloads.NAMES[:3]:
        look(reader, put(world, payloads.attached_mail("text/html", name, trap.address)))
    assert trap.asked == []


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "text/xml", "text/plain; charset=utf-7"])
def test_an_attachment_is_never_a_page(world: World, reader: Driver, trap: Trap, content_type: str) -> None:
    address = put(world, payloads.attached_mail(content_type, "page.html", trap.address))
    trap.asked.clear()
    look(reader, address)
    for file in (f"{address}/parts/2", f"{address}/raw"):
        reader.download(file)
        assert shown(reader)[0] == address
    assert trap.asked == []
