"""A private MariaDB from Debian's packages: its own directory, socket and loopback port, durable as in production.

`server()` starts one per test session and stops it at exit, by its process; `Server.fresh_database` makes a database
for a test module. ``LIGHTMAIL_TEST_DSN=mysql://user:password@host:port/`` names any other server to test against,
which `other()` gives.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pymysql

from lightmail.config import DatabaseConfig

START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """Where a server is and who may create databases on it. `socket` is preferred to the port when it is given."""

    host: str
    port: int
    user: str
    password: str
    socket: str | None = None
    pid: int | None = None

    def connect(self, **more: Any) -> pymysql.connections.Connection[Any]:
        """An administrator's connection."""
        place: dict[str, Any] = {"unix_socket": self.socket} if self.socket else {"host": self.host, "port": self.port}
        return pymysql.connect(
            **place, user=self.user, password=self.password, autocommit=True, ssl_disabled=True, **more
        )

    def fresh_database(self) -> str:
        """Create an empty database; its name."""
        name = f"lm_{uuid4().hex[:12]}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")

    def config(self, database: str, **changes: Any) -> DatabaseConfig:
        """The `[database]` section for a database on this server."""
        settings: dict[str, Any] = {
            "driver": "mysql",
            "host": self.host,
            "port": self.port,
            "socket": self.socket,
            "user": self.user,
            "password": self.password,
            "database": database,
            "pool_size": 8,
            "connect_timeout_seconds": 5,
        }
        return DatabaseConfig(**{**settings, **changes})


def available() -> bool:
    """Whether a private server can be started here."""
    return _program("mariadbd") is not None and _program("mariadb-install-db") is not None


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@cache
def server() -> Server:
    """The session's private server, started on first use and stopped at exit."""
    return Private().server


class Private:
    """A server of one's own, started when it is made. `stop` and `start` keep its data: an outage to test against."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="lightmail-mariadb-"))
        atexit.register(self.remove)
        self._options = [f"--datadir={self.directory}/data", f"--tmpdir={self.directory}"]
        if os.geteuid() == 0:
            # The server refuses to run as root; the directory must be its own, below one that it can reach.
            self._options.append("--user=mysql")
            shutil.chown(self.directory, "mysql", "mysql")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()
        self._install()
        self.start()
        with self._as("root", "").connect() as connection, connection.cursor() as cursor:
            # Debian's root logs in by socket only; tests over TCP need a user of their own.
            cursor.execute("CREATE USER 'lightmail'@'127.0.0.1' IDENTIFIED BY 'lightmail'")
            cursor.execute("GRANT ALL ON *.* TO 'lightmail'@'127.0.0.1' WITH GRANT OPTION")
            cursor.execute("CREATE USER 'lightmail'@'localhost' IDENTIFIED BY 'lightmail'")
            cursor.execute("GRANT ALL ON *.* TO 'lightmail'@'localhost' WITH GRANT OPTION")

    @property
    def server(self) -> Server:
        """Where it is, as the user `lightmail`."""
        return self._as("lightmail", "lightmail")

    def _as(self, user: str, password: str) -> Server:
        pid = self._process.pid if self._process is not None else None
        return Server("127.0.0.1", self._port, user, password, f"{self.directory}/socket", pid)

    def _install(self) -> None:
        program = _program("mariadb-install-db")
        assert program is not None
        installed = subprocess.run(
            [program, "--no-defaults", *self._options, "--auth-root-authentication-method=normal", "--skip-test-db"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert installed.returncode == 0, installed.stdout + installed.stderr

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = _program("mariadbd")
        assert program is not None
        log = self.directory / "error.log"
        self._process = subprocess.Popen(
            [
                program,
                "--no-defaults",
                *self._options,
                f"--socket={self.directory}/socket",
                "--bind-address=127.0.0.1",
                f"--port={self._port}",
                f"--pid-file={self.directory}/pid",
                f"--log-error={log}",
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=64M",
                "--skip-log-bin",
                "--max-connections=100",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait(self._as("root", ""), self._process, log)

    def stop(self, *, crash: bool = False) -> None:
        """Stop it, in order or as a crash would; its data stays."""
        process, self._process = self._process, None
        if process is None:
            return
        if crash:
            process.kill()
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(found: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            # The driver leaves its socket open when nobody listens: a bare one asks first.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(found.socket or "")
            found.connect().close()
            return
        except (OSError, pymysql.err.OperationalError):
            if process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace") if log.exists() else "no log"
                raise RuntimeError(f"MariaDB did not start: {text[-2000:]}") from None
            time.sleep(0.05)


@cache
def other() -> Server | None:
    """The server of LIGHTMAIL_TEST_DSN, if it is set."""
    dsn = os.environ.get("LIGHTMAIL_TEST_DSN")
    if not dsn:
        return None
    parts = urlsplit(dsn)
    return Server(
        parts.hostname or "127.0.0.1",
        parts.port or 3306,
        unquote(parts.username or "root"),
        unquote(parts.password or ""),
    )
