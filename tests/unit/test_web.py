"""The HTTP pages over a real loopback connection: health, readiness, metrics."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from lightmail.errors import Unavailable
from lightmail.web import Readiness, make_site
from tests.support.reactor import call, run


class Site:
    """The pages on a port of their own; `failing` and `hanging` say what the checks do."""

    def __init__(self) -> None:
        self.failing = self.hanging = False
        self.asked = 0
        self.readiness = Readiness({"database": self._check, "objects": self._fine}, reactor, 0.2)
        self.port = call(reactor.listenTCP, 0, make_site(self.readiness, reactor, 3), 50, "127.0.0.1")

    async def _check(self) -> None:
        self.asked += 1
        if self.failing:
            raise Unavailable
        if self.hanging:
            await Deferred()

    async def _fine(self) -> None:
        pass

    def length(self, path: str) -> tuple[int, str | None]:
        """What HEAD says: the status, and how long GET's body would be."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port.getHost().port, timeout=15)
        try:
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert answer.read() == b""
            return answer.status, answer.getheader("content-length")
        finally:
            connection.close()

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port.getHost().port, timeout=15)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type") or "", answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        async def stop() -> None:
            await self.port.stopListening()

        run(stop())


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def test_health(site):
    assert site.get("/health") == (200, "text/plain; charset=utf-8", b"ok\n")


def test_probes_by_head_leave_no_warning(site):
    with capturedLogs() as records:
        assert site.length("/health") == (200, "3")
        assert site.length("/ready") == (200, str(len(site.get("/ready")[2])))
    assert not [record for record in records if "HEAD" in (formatEvent(record) or "")]


def test_ready(site):
    status, kind, body = site.get("/ready")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"ready": True, "checks": {"database": "ok", "objects": "ok"}}


def test_not_ready_while_a_check_fails(site):
    site.failing = True
    status, _, body = site.get("/ready")
    assert status == 503
    assert json.loads(body)["checks"] == {"database": "failed", "objects": "ok"}


def test_a_check_that_hangs_has_failed(site):
    site.hanging = True
    status, _, body = site.get("/ready")
    assert status == 503
    assert json.loads(body)["checks"]["database"] == "failed"


def test_answers_are_kept_for_a_moment(site):
    for _ in range(5):
        site.get("/ready")
    assert site.asked == 1


def test_not_ready_while_stopping(site):
    site.readiness.stop()
    status, _, body = site.get("/ready")
    assert status == 503
    assert json.loads(body) == {"ready": False, "checks": {"server": "stopping"}}


def test_metrics(site):
    status, kind, body = site.get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b"lightmail_build_info{version=" in body
    assert b"# TYPE lightmail_delivery_stage_seconds histogram" in body


def test_other_pages_and_methods(site):
    assert site.get("/")[0] == 404
    assert site.get("/healthy")[0] == 404
    assert site.get("/health", "POST")[0] == 405


def test_a_big_body_is_cut_off(site):
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        site.get("/health", "POST", **{"Content-Length": str(1 << 30)})


def test_connections_are_bounded(site):
    held = [socket.create_connection(("127.0.0.1", site.port.getHost().port), timeout=5) for _ in range(4)]
    assert held[3].recv(1) == b""
    for connection in held:
        connection.close()
    assert eventually(lambda: site.get("/health")[0] == 200)


def eventually(ask: Callable[[], bool]) -> bool:
    """Whether it becomes true within some seconds; a refused connection is not."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            if ask():
                return True
        time.sleep(0.01)
    return False
