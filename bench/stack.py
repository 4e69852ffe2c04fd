"""Starts what ``compare`` measures: Dovecot, LightMail embedded, and LightMail on MariaDB with an S3 server.

Everything lives in one temporary directory, listens on loopback and is stopped at the end. Passwords are hashed and
credentials cached as in production; durability is each server's own (``docs/performance.md`` names it).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from bench.dovecot import Dovecot
from bench.workloads import Target
from tests.support.mariadb import MariaDB
from tests.support.seaweedfs import SeaweedFS

PASSWORD = "bench-password"
DOMAIN = "bench.example"
SCRATCH = tuple(f"u{k}" for k in range(1, 21))
_BINARIES = Path(sys.executable).parent


class Stacks:
    """A context manager that yields the targets named in `names`, in that order."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> list[Target]:
        try:
            home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lightmail-bench-")))
            os.chmod(home, 0o755)
            return [self._start(name, home / name) for name in self._names]
        except BaseException:
            self._stack.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, name: str, home: Path) -> Target:
        home.mkdir()
        starters: dict[str, Callable[[Path], Target]] = {
            "dovecot": self._dovecot,
            "embedded": self._embedded,
            "mariadb-s3": self._mariadb_s3,
        }
        if name not in starters:
            raise SystemExit(f"--only {name}: unknown, the servers are {', '.join(starters)}")
        target = starters[name](home)
        _wait_for(target.imap, target.name)
        _wait_for(target.lmtp, target.name)
        return target

    def _dovecot(self, home: Path) -> Target:
        imap, pop3, lmtp = _free_ports(3)
        server = Dovecot(home / "d", PASSWORD, imap=imap, pop3=pop3, lmtp=lmtp)
        self._stack.callback(server.stop)
        return _target("dovecot", imap, pop3, lmtp, {"": [server.pid]})

    def _embedded(self, home: Path) -> Target:
        database = f"[database]\ndriver = sqlite\npath = {home}/mail.sqlite\n"
        storage = f"[storage]\ndriver = directory\npath = {home}/objects\n"
        return self._lightmail("embedded", home, database + storage, {})

    def _mariadb_s3(self, home: Path) -> Target:
        mariadb = self._stack.enter_context(MariaDB())
        s3 = self._stack.enter_context(SeaweedFS())
        database = mariadb.configuration(mariadb.new_database())
        storage = f"[storage]\ndriver = s3\ncache_directory = {home}/cache\n" + s3.configuration(s3.new_bucket())
        roles = {"mariadb": [mariadb.pid], "s3": [s3.pid]}
        return self._lightmail("mariadb-s3", home, database + storage, roles)

    def _lightmail(self, name: str, home: Path, stores: str, roles: dict[str, list[int]]) -> Target:
        imap, pop3, lmtp, http = _free_ports(4)
        configuration = home / "config.ini"
        configuration.write_text(
            f"[system]\nhostname = {DOMAIN}\ndata_directory = {home}/data\n{stores}"
            f"[imap]\nbind = 127.0.0.1\nport = {imap}\nssl_port = 0\n"
            f"[pop3]\nbind = 127.0.0.1\nport = {pop3}\nssl_port = 0\n"
            f"[lmtp]\nbind = 127.0.0.1\nport = {lmtp}\n"
            f"[api]\nport = {http}\n"
            "[limits]\nconnections_per_user_and_address = 10000\nconnections_per_address_before_login = 10000\n"
            "[logging]\nlevel = warn\n"
        )
        self._verb(configuration, "migrate")
        self._verb(configuration, "domain", "add", DOMAIN)
        for user in ("bench", *SCRATCH):
            self._verb(configuration, "account", "add", f"{user}@{DOMAIN}", "--password-stdin")
        log = self._stack.enter_context((home / "log").open("wb"))
        server = subprocess.Popen(
            [_BINARIES / "twistd", "-n", f"--pidfile={home}/pid", "lightmail", "--config", configuration],
            cwd=Path(__file__).parent.parent,
            stdout=log,
            stderr=log,
        )
        self._stack.callback(_stop, server)
        return _target(name, imap, pop3, lmtp, {"": [server.pid], **roles})

    def _verb(self, configuration: Path, *words: str) -> None:
        command = [str(_BINARIES / "lightmail"), "--config", str(configuration), *words]
        subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, stdout=subprocess.DEVNULL)


def _target(name: str, imap: int, pop3: int, lmtp: int, pids: dict[str, list[int]]) -> Target:
    host = "127.0.0.1"
    return Target(name, (host, imap), (host, lmtp), (host, pop3), "bench", SCRATCH, PASSWORD, DOMAIN, pids)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(address: tuple[str, int], name: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address, 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{name} does not listen on port {address[1]} after 30 s")
