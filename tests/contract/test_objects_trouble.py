"""Stores in trouble: what may pass is Unavailable in bounded time, what stops a start is one line."""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from twisted.internet import reactor

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import ConfigError, Corruption, StartupError, Unavailable
from lightmail.model import BlobRef
from lightmail.objects.backends import ObjectMissing, ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.cloud import CloudStore, Deadlines, endpoint_url, s3_store
from lightmail.objects.directory import DirectoryStore
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.seaweedfs import SeaweedFS, s3_config

SHORT = Deadlines(connect_seconds=0.3, read_seconds=0.4, request_seconds=1, retries=1, retry_seconds=0.5)
CALLS: list[Callable[[ObjectStore], object]] = [
    lambda store: store.put("emails/aa/one", b"x"),
    lambda store: store.put("emails/aa/large", BytesIO(bytes(6 << 20))),
    lambda store: store.read("emails/aa/one", 0, 1),
    lambda store: store.size("emails/aa/one"),
    lambda store: store.delete(["emails/aa/one"]),
    lambda store: store.keys("emails"),
]


def s3_at(endpoint: str) -> CloudStore:
    config = S3Config(endpoint=endpoint, bucket="mail", access_key="key", secret_key="secret", use_ssl=False)
    return s3_store(config, SHORT)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """An HTTP server that gives every request the same answer; its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("ask", CALLS)
def test_a_server_that_never_answers_is_unavailable_in_bounded_time(ask: Callable[[ObjectStore], object]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        store = s3_at(f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Unavailable):
            ask(store)
        assert time.monotonic() - began < 5


def test_many_reads_from_a_server_that_never_answers_cost_one_deadline() -> None:
    pool = BoundedPool("objects", threads=4, queue=10, reactor=reactor)
    call(pool.start)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        blobs = Blobs(s3_at(f"127.0.0.1:{silent.getsockname()[1]}"), pool)
        refs = [BlobRef(bytes(16), f"emails/aa/{n}", 10, 100, "zstd", bytes(32), b"") for n in range(100)]
        began = time.monotonic()
        results = run(blobs.read_many([(ref, 0, 10) for ref in refs]))
        assert time.monotonic() - began < 5
    run(pool.stop())
    assert [type(result) for result in results] == [Unavailable] * 100


@pytest.mark.parametrize("ask", CALLS)
def test_a_server_that_is_not_there_is_unavailable(ask: Callable[[ObjectStore], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        endpoint = f"127.0.0.1:{gone.getsockname()[1]}"
    with pytest.raises(Unavailable) as raised:
        ask(s3_at(endpoint))
    assert str(raised.value) == raised.value.text == Unavailable.text, "no client is told where it is"
    assert raised.value.reason is not None
    assert raised.value.reason.endswith(f"in bucket 'mail' at http://{endpoint}: Connection refused")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (404, b"<html>no such page</html>"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>"),
        (403, b"<Error><Code>AccessDenied</Code></Error>"),
        (500, b""),
        (503, b"<Error><Code>SlowDown</Code></Error>"),
    ],
)
def test_only_the_store_s_own_word_makes_an_object_missing(status: int, body: bytes) -> None:
    with answering(status, body) as endpoint:
        store = s3_at(endpoint)
        with pytest.raises(Unavailable):
            store.read("emails/aa/one", 0, 1)
        with pytest.raises(Unavailable):
            store.size("emails/aa/one")
        with pytest.raises(Unavailable):
            store.put("emails/aa/one", b"x")


def test_no_such_key_is_the_store_s_own_word() -> None:
    with answering(404, b"<Error><Code>NoSuchKey</Code></Error>") as endpoint:
        with pytest.raises(ObjectMissing):
            s3_at(endpoint).read("emails/aa/one", 0, 1)
        assert s3_at(endpoint).size("emails/aa/one") is None


def startup_line(store: ObjectStore) -> str:
    with pytest.raises(StartupError) as caught:
        store.check()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 300
    return line


@pytest.mark.s3
def test_what_is_wrong_at_the_start_is_one_clear_line(s3_server: SeaweedFS) -> None:
    good = s3_config(s3_server)
    place = f"at {s3_server.endpoint}"
    assert startup_line(open_s3(dataclasses.replace(good, bucket="absent"))) == (
        f"The bucket 'absent' {place} does not exist: create it, or correct [s3] bucket (NoSuchBucket, 404 Not Found)."
    )
    refused = f"The bucket 'mail' {place} refuses us: correct [s3] access_key and secret_key, or its rights"
    assert startup_line(open_s3(dataclasses.replace(good, secret_key="wrong"))) == (
        f"{refused} (SignatureDoesNotMatch, 403 Forbidden)."
    )
    assert startup_line(open_s3(dataclasses.replace(good, access_key="wrong"))) == (
        f"{refused} (InvalidAccessKeyId, 403 Forbidden)."
    )
    open_s3(dataclasses.replace(good, use_ssl=True)).check()  # the URL's scheme wins


@pytest.mark.s3
def test_secrets_stay_out_of_messages(s3_server: SeaweedFS) -> None:
    wrong = dataclasses.replace(s3_config(s3_server), secret_key="very-secret")
    assert "very-secret" not in startup_line(open_s3(wrong))


def open_s3(config: S3Config) -> ObjectStore:
    return open_store(StorageConfig(driver="s3"), config)


def test_an_unreachable_server_at_the_start_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert startup_line(s3_at(f"127.0.0.1:{port}")) == (
        f"The bucket 'mail' at http://127.0.0.1:{port} cannot be used: Connection refused."
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert startup_line(s3_at(f"127.0.0.1:{port}")).endswith("cannot be used: no answer in time.")
    with answering(400, b"plain HTTP here") as endpoint:
        assert startup_line(s3_at(f"https://{endpoint}")).endswith("cannot be used: it does not speak TLS.")


@pytest.mark.parametrize(
    ("endpoint", "use_ssl", "url"),
    [
        ("s3.example.org:9000", True, "https://s3.example.org:9000"),
        ("s3.example.org:9000", False, "http://s3.example.org:9000"),
        ("http://s3.example.org:9000", True, "http://s3.example.org:9000"),
        ("https://s3.example.org/", False, "https://s3.example.org"),
        ("[::1]:8333", False, "http://[::1]:8333"),
    ],
)
def test_the_scheme_of_an_endpoint_wins_over_use_ssl(endpoint: str, use_ssl: bool, url: str) -> None:
    assert endpoint_url(endpoint, use_ssl) == url


@pytest.mark.parametrize(
    "endpoint", ["ftp://s3.example.org", "http://", "host:port", "host:99999", "http://user@host", "http://host?x=y"]
)
def test_a_bad_endpoint_is_a_configuration_error(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[s3\] endpoint must be host:port or an http or https URL"):
        endpoint_url(endpoint, True)


def test_a_configuration_that_names_no_place_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"\[s3\]"):
        open_store(StorageConfig(driver="s3"), None)
    with pytest.raises(ConfigError, match=r"\[storage\] path"):
        open_store(StorageConfig(driver="directory", path=""), None)


def test_a_directory_is_for_the_owner_alone_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "deep" / "objects"))
    store.check()
    store.put("emails/aa/one", b"x" * 100)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep" / "objects").rglob("*")}
    assert modes == {0o600, 0o700}

    class Failing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable):
        store.put("emails/aa/two", Failing())
    assert store.keys("") == ["emails/aa/one"]
    assert os.listdir(tmp_path / "deep" / "objects" / ".incoming") == []


def test_a_start_sweeps_what_an_old_crash_left_and_nothing_in_progress(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path))
    store.check()
    for name, age in (("old", 7200), ("new", 5)):
        (tmp_path / ".incoming" / name).write_bytes(b"x")
        os.utime(tmp_path / ".incoming" / name, (time.time() - age,) * 2)
    store.check()
    assert os.listdir(tmp_path / ".incoming") == ["new"]


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "emails/../../outside", "emails//one", "", ".incoming/x"])
def test_no_key_leads_out_of_the_directory(tmp_path: Path, key: str) -> None:
    store = DirectoryStore(str(tmp_path / "objects"))
    store.check()
    for ask in (lambda: store.put(key, b"x"), lambda: store.read(key, 0, 1), lambda: store.delete([key])):
        with pytest.raises(Corruption):
            ask()


def test_a_directory_that_is_gone_is_no_empty_store(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "objects"))
    store.check()
    (tmp_path / "objects").rename(tmp_path / "unmounted")
    (tmp_path / "objects").mkdir()
    for ask in CALLS:
        if ask is not CALLS[4]:  # a deletion has nothing to do
            with pytest.raises(Unavailable):
                ask(store)
    assert list((tmp_path / "objects").iterdir()) == []


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    line = startup_line(DirectoryStore(str(tmp_path / "file" / "objects")))
    assert line == f"The object directory {tmp_path}/file/objects cannot be written: Not a directory."
