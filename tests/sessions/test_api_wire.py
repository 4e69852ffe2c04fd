"""What the HTTP listener promises whoever is at the other end: a balancer, a client with a token, or a stranger."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from lightmail.errors import Unavailable
from lightmail.web.api.endpoints import Call, Endpoint, Json, Octets, Query
from lightmail.web.api.schemas import Integer, ListOf, Object, Text
from lightmail.web.api.scopes import Scope
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.http import BODY_OCTETS
from lightmail.web.readiness import Readiness
from tests.support.apikit import TOKEN, Api, serve_api
from tests.support.storekit import fresh_config, open_store

_BODY = Object({"name": Text(20, minimum=1)}, {"sizes": ListOf(Integer(0, 9), 3)}, name="Echoed")
_PIECE = bytes(range(256)) * 256


class Produced:
    """How much an endpoint's pieces were asked for."""

    pieces = 0
    closed = 0


async def _echo(call: Call) -> Json:
    return Json({"body": dict(call.body), "query": dict(call.query), "id": call.path.get("id")})


async def _fail(call: Call) -> Json:
    raise RuntimeError("the cat is on the mat")


async def _stream(call: Call) -> Octets:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            for _ in range(call.query["count"]):
                Produced.pieces += 1
                yield _PIECE
        finally:
            Produced.closed += 1

    return Octets("message/rfc822", 'caf\u00e9 "1".eml', pieces(), call.query["count"] * len(_PIECE))


_COUNT = Query("count", Integer(0, 100_000), required=True)
_ENDPOINTS = (
    *ENDPOINTS,
    Endpoint("POST", "/test/echo", Scope.STATUS_READ, "Echo", _echo, body=_BODY),
    Endpoint("GET", "/test/echo", Scope.STATUS_READ, "Echo", _echo, query=(Query("n", Integer(0, 9)),)),
    Endpoint("GET", "/test/things/{id}", Scope.STATUS_READ, "Echo", _echo),
    Endpoint("POST", "/test/things/sorted", Scope.STATUS_READ, "Echo", _echo),
    Endpoint("GET", "/test/fail", Scope.STATUS_READ, "Fail", _fail),
    Endpoint("GET", "/test/stream", Scope.STATUS_READ, "Stream", _stream, query=(_COUNT,), media="message/rfc822"),
)


class Checks:
    """What /ready asks; `failing` and `hanging` say what is answered."""

    def __init__(self) -> None:
        self.failing = self.hanging = False
        self.asked = 0
        self.readiness = Readiness({"database": self._check, "objects": self._fine}, reactor, 0.2)

    async def _check(self) -> None:
        self.asked += 1
        if self.failing:
            raise Unavailable
        if self.hanging:
            await Deferred()

    async def _fine(self) -> None:
        pass


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with fresh_config("sqlite", tmp_path_factory.mktemp("api")) as config, open_store(config) as store:
        yield store


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def api(store, checks) -> Iterator[Api]:
    with serve_api(store, endpoints=_ENDPOINTS, readiness=checks.readiness) as api:
        yield api


class Connection:
    """A connection on which answers are read one after the other."""

    def __init__(self, api: Api) -> None:
        self.socket = socket.create_connection(("127.0.0.1", api.port), timeout=15)
        self._file = self.socket.makefile("rb")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def makefile(self, mode: str) -> Connection:
        """For HTTPResponse, whose end is not that of the connection."""
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def answer(self) -> HTTPResponse:
        response = HTTPResponse(self)  # type: ignore[arg-type]
        response.begin()
        return response


@contextmanager
def connected(api: Api) -> Iterator[Connection]:
    connection = Connection(api)
    with connection.socket, connection._file:
        yield connection


def ask(method: str, path: str, *fields: str, body: bytes = b"", length: int | None = None) -> bytes:
    """A request's octets."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *fields]
    if body or length is not None:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- public pages ---


def test_health(api):
    found = api.get("/health", token=None)
    assert (found.status, found.headers["content-type"], found.octets) == (200, "text/plain; charset=utf-8", b"OK")


def test_probes_by_head_have_the_length_and_leave_no_line(api):
    with capturedLogs() as records:
        for path in ("/health", "/ready"):
            head, got = api.request("HEAD", path, token=None), api.get(path, token=None)
            assert (head.status, head.octets) == (200, b"")
            assert head.headers["content-length"] == str(len(got.octets))
    assert [formatEvent(record) for record in records] == []


def test_ready(api):
    found = api.get("/ready", token=None)
    assert (found.status, found.json) == (200, {"ready": True, "checks": {"database": "ok", "objects": "ok"}})


def test_not_ready_while_a_check_fails(api, checks):
    checks.failing = True
    found = api.get("/ready", token=None)
    assert (found.status, found.json["checks"]) == (503, {"database": "failed", "objects": "ok"})


def test_a_check_that_hangs_has_failed(api, checks):
    checks.hanging = True
    assert api.get("/ready", token=None).json["checks"]["database"] == "failed"


def test_answers_of_checks_are_kept_for_a_moment(api, checks):
    for _ in range(5):
        api.get("/ready", token=None)
    assert checks.asked == 1


def test_not_ready_while_stopping(api, checks):
    checks.readiness.stop()
    found = api.get("/ready", token=None)
    assert (found.status, found.json) == (503, {"ready": False, "checks": {"server": "stopping"}})


def test_metrics(api):
    found = api.get("/metrics", token=None)
    assert found.status == 200
    assert found.headers["content-type"].startswith("text/plain")
    assert b"lightmail_build_info{version=" in found.octets


def test_the_document_needs_no_token(api):
    assert api.get("/openapi.json", token=None).json["openapi"] == "3.1.0"


# --- one shape of answers ---


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "no_such_page"),
        ("GET", "/healthy", 404, "no_such_page"),
        ("GET", "/health/", 404, "no_such_page"),
        ("GET", "/%ff", 404, "no_such_page"),
        ("GET", "/test/things/a%2Fb", 404, "no_such_page"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("TRACE", "/test/echo", 405, "method_not_allowed"),
        ("GET", "/test/things/x", 422, "invalid_field"),
        ("GET", "/test/things/0", 422, "invalid_field"),
        ("GET", "/test/things/9223372036854775808", 422, "invalid_field"),
        ("GET", "/test/things/" + "9" * 5000, 422, "invalid_field"),
        ("GET", "/test/things/%D9%A1", 422, "invalid_field"),
        ("GET", "/test/echo?n=10", 422, "invalid_field"),
        ("GET", "/test/echo?n=1&n=1", 422, "invalid_field"),
        ("GET", "/test/echo?m=1", 422, "invalid_field"),
        ("GET", "/test/echo?n=%ff", 400, "bad_query"),
        ("GET", "/test/echo?" + "&".join(f"n{i}=" for i in range(60)), 400, "bad_query"),
        ("GET", "/test/fail", 500, "server_bug"),
    ],
)
def test_every_problem_has_the_same_shape(api, method, path, status, code):
    found = api.request(method, path)
    assert (found.status, found.code) == (status, code)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(found.json)
    assert found.headers["cache-control"] == "no-store"


def test_the_field_that_is_wrong_is_named(api):
    assert api.get("/test/things/x").json["field"] == "id"
    assert api.get("/test/echo?n=10").json["field"] == "n"
    for body, field in [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 21}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "x", "sizes": 5}, "sizes"),
        ({"name": "x", "sizes": [1, 2, 10]}, "sizes[2]"),
        ({"name": "x", "sizes": [1, True]}, "sizes[1]"),
        ({"name": "x", "sizes": [0, 0, 0, 0]}, "sizes"),
        ({"name": "x", "siezs": []}, "siezs"),
        ([], "body"),
        (None, "body"),
    ]:
        found = api.request(
            "POST", "/test/echo", json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        assert (found.status, found.json["field"]) == (422, field), body


def test_405_names_the_methods(api):
    assert api.request("DELETE", "/health").headers["allow"] == "GET, HEAD"
    assert api.request("DELETE", "/test/echo").headers["allow"] == "GET, HEAD, POST"


def test_the_path_of_a_page_is_not_the_name_of_a_thing(api):
    found = api.get("/test/things/sorted")
    assert (found.status, found.headers["allow"]) == (405, "POST")


def test_a_bug_says_nothing_of_itself_and_is_logged_with_the_requests_id(api):
    with capturedLogs() as records:
        found = api.get("/test/fail")
    assert b"cat" not in found.octets
    [bug] = [record for record in records if "log_failure" in record]
    assert bug["session"] == found.json["request_id"]
    assert "the cat is on the mat" in str(bug["log_failure"])


def test_every_request_has_a_line_that_forges_none(api):
    with capturedLogs() as records:
        found = api.get("/test/things/%0A2026%20forged?x=secret")
    [line] = [formatEvent(record) for record in records if record.get("session") == found.headers["x-request-id"]]
    assert "[api] token GET /test/things/%0A2026%20forged 422" in line
    assert "secret" not in line


# --- bodies ---


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 415, "not_json"),
        (b"{", 400, "bad_json"),
        (b"\xff", 400, "bad_json"),
        (b'{"name": "x"} {}', 400, "bad_json"),
        (b'{"name": NaN}', 400, "bad_json"),
        (b'{"name": "x", "name": "y"}', 400, "bad_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "bad_json"),
        (b"[" * 500_000, 400, "bad_json"),
        (b"[" * 15_000, 400, "bad_json"),
        (b"[" + b",".join([b"{}"] * 30_000) + b"]", 400, "bad_json"),
        (b'{"name":' * 100_000, 400, "bad_json"),
        (b'{"name": "x"}', 200, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bodies(api, body, status, code):
    headers = {"Content-Type": "application/json"} if body else {}
    found = api.request("POST", "/test/echo", body, headers=headers)
    assert found.status == status
    assert code is None or found.code == code


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_only_json_is_taken(api, kind):
    found = api.request("POST", "/test/echo", b'{"name":"x"}', headers={"Content-Type": kind})
    assert (found.status, found.code) == (415, "not_json")


def test_json_in_utf_8_may_be_called_so(api):
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert api.request("POST", "/test/echo", '{"name":"\u00fc"}'.encode(), headers=headers).json["body"] == {
        "name": "\u00fc"
    }


def test_a_body_that_nobody_asked_for(api):
    found = api.request("POST", "/test/things/sorted", b"{}", headers={"Content-Type": "application/json"})
    assert (found.status, found.json["field"]) == (422, "body")


def test_a_body_that_is_too_big_is_told_so_and_the_connection_lives(api):
    with connected(api) as connection:
        connection.send(ask("POST", "/test/echo", body=b" " * (BODY_OCTETS + 1)))
        found = connection.answer()
        assert (found.status, json.loads(found.read())["code"]) == (413, "body_too_big")
        connection.send(ask("GET", "/health"))
        assert connection.answer().read() == b"OK"


def test_a_body_in_chunks_without_end_is_cut_off(api):
    chunk = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
    with connected(api) as connection:
        connection.send(ask("POST", "/test/echo", "Transfer-Encoding: chunked"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.send(chunk * 2000)


def test_bodies_of_all_connections_together_are_bounded(api):
    """Those who hold them back have them; the others are told to come again, and then may."""
    body = json.dumps({"name": "x", "sizes": []}).encode() + b" " * 100

    def post() -> int:
        return api.request("POST", "/test/echo", body, headers={"Content-Type": "application/json"}).status

    with _held(api, 32):
        assert eventually(lambda: post() == 503)
    assert eventually(lambda: post() == 200)


@contextmanager
def _held(api: Api, count: int) -> Iterator[None]:
    """Connections that have sent a mebibyte less one octet of their bodies."""
    held = [socket.create_connection(("127.0.0.1", api.port), timeout=15) for _ in range(count)]
    try:
        for connection in held:
            connection.sendall(ask("POST", "/test/echo", length=BODY_OCTETS) + b" " * (BODY_OCTETS - 1))
        yield
    finally:
        for connection in held:
            connection.close()


# --- connections ---


def test_pipelined_requests_are_answered_in_order(api):
    with connected(api) as connection:
        connection.send(b"".join(ask("GET", f"/test/things/{number}") for number in range(1, 21)))
        for number in range(1, 21):
            assert json.loads(connection.answer().read())["id"] == number


def test_what_is_no_request_is_refused(api):
    for octets in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nA" + b"a" * 20_000 + b":b\r\n\r\n",
    ):
        with connected(api) as connection:
            connection.send(octets)
            assert connection.socket.recv(100).startswith(b"HTTP/1.1 400") or connection.socket.recv(1) == b""


def test_two_lengths_or_a_length_and_chunks_are_refused(api):
    for fields in (("Content-Length: 1", "Content-Length: 2"), ("Content-Length: 1", "Transfer-Encoding: chunked")):
        with connected(api) as connection:
            connection.send(ask("POST", "/test/echo", *fields) + b"0\r\n\r\n")
            assert connection.socket.recv(100).startswith(b"HTTP/1.1 400")


def test_whatever_name_the_client_gives_the_host(api):
    for host in ("", "x" * 5000, "\u00e4\u00f6", "a..b", "[::1", "xn--\x7f"):
        with connected(api) as connection:
            connection.send(b"GET /health HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
            assert connection.answer().status == 200


def test_connections_are_bounded(store):
    with serve_api(store, connections=3) as api:
        held = [socket.create_connection(("127.0.0.1", api.port), timeout=5) for _ in range(4)]
        assert held[3].recv(1) == b""
        for connection in held:
            connection.close()
        assert eventually(lambda: api.get("/health").status == 200)


# --- large answers ---


def test_pieces_come_as_the_client_reads_them(api):
    """A client that does not read keeps the endpoint from making more than the connection holds."""
    count = 2000  # 128 MiB
    Produced.pieces = Produced.closed = 0
    with connected(api) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(ask("GET", f"/test/stream?count={count}"))
        found = connection.answer()
        assert found.getheader("content-length") == str(count * len(_PIECE))
        assert steady(lambda: Produced.pieces) < count / 2
    assert eventually(lambda: Produced.closed == 1)


def test_pieces_come_whole(api):
    found = api.get("/test/stream", {"count": 40})
    assert found.octets == _PIECE * 40
    assert found.headers["content-type"] == "message/rfc822"
    assert found.headers["content-disposition"] == (
        "attachment; filename=\"caf___1_.eml\"; filename*=UTF-8''caf%C3%A9%20%221%22.eml"
    )
    assert found.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_head_of_pieces_makes_none(api):
    Produced.pieces = Produced.closed = 0
    found = api.request("HEAD", "/test/stream?count=40")
    assert (found.status, found.octets, found.headers["content-length"]) == (200, b"", str(40 * len(_PIECE)))
    assert (Produced.pieces, Produced.closed) == (0, 0)


def eventually(ask: Callable[[], bool]) -> bool:
    """Whether it becomes true within some seconds; a refused connection is not."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            if ask():
                return True
        time.sleep(0.01)
    return False


def steady(value: Callable[[], int]) -> int:
    """A number once it has been the same for a while."""
    before, since = value(), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.02)
        if (now := value()) != before:
            before, since = now, time.monotonic()
    return before
