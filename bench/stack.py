"""Starts what ``compare`` measures: Dovecot, LightMail embedded, and LightMail on MariaDB with an S3 server.

Everything lives in one temporary directory, listens on loopback and is stopped at the end. Passwords are hashed and
credentials cached as in production; durability is each server's own (``docs/performance.md`` names it).
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType

from bench.dovecot import Dovecot
from bench.workloads import Target
from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS, free_ports

PASSWORD = "bench-password"
DOMAIN = "bench.example"
SCRATCH = tuple(f"u{k}" for k in range(1, 21))
# No writer process, which is the default where a server has one core.
_THREADS: dict[str, object] = {"writer_processes": 0}
# One benchmark machine is every user's address at once.
_LIMITS = {"connections_per_user_and_address": 10_000, "connections_per_address_before_login": 10_000}


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
        starters: dict[str, Callable[[Path], Target]] = {
            "dovecot": self._dovecot,
            "embedded": self._embedded,
            "mariadb-s3": self._mariadb_s3,
            "embedded-threads": lambda home: self._embedded(home, _THREADS),
            "mariadb-s3-threads": lambda home: self._mariadb_s3(home, _THREADS),
            "embedded-1core": lambda home: _pinned(self._embedded(home, _THREADS)),
            "mariadb-s3-1core": lambda home: _pinned(self._mariadb_s3(home, _THREADS)),
        }
        if name not in starters:
            raise SystemExit(f"--only {name}: unknown, the servers are {', '.join(starters)}")
        home.mkdir()
        target = replace(starters[name](home), name=name)
        _wait_for(target.imap, target.name)
        return target

    def _dovecot(self, home: Path) -> Target:
        imap, pop3, lmtp = free_ports(3)
        server = Dovecot(home / "d", PASSWORD, imap=imap, pop3=pop3, lmtp=lmtp)
        self._stack.callback(server.stop)
        return _target("dovecot", imap, pop3, lmtp, {"": [server.pid]})

    def _embedded(self, home: Path, storage: Mapping[str, object] = MappingProxyType({})) -> Target:
        return self._lightmail("embedded", home, {"storage": dict(storage)}, {})

    def _mariadb_s3(self, home: Path, storage: Mapping[str, object] = MappingProxyType({})) -> Target:
        rows = mariadb.server()
        s3 = SeaweedFS(Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="weed-"))))
        s3.start()
        self._stack.callback(s3.stop)
        assert rows.pid is not None
        assert s3.process is not None
        sections = {
            "database": mysql_section(rows.config(rows.fresh_database())),
            "storage": {"driver": "s3", "cache_directory": home / "cache", **storage},
            "s3": s3_section(s3),
        }
        return self._lightmail("mariadb-s3", home, sections, {"mariadb": [rows.pid], "s3": [s3.process.pid]})

    def _lightmail(
        self, name: str, home: Path, sections: dict[str, dict[str, object]], roles: dict[str, list[int]]
    ) -> Target:
        server = MailServer(home, {"limits": _LIMITS, "logging": {"level": "warn"}, **sections})
        server.cli("migrate")
        server.cli("domain", "add", DOMAIN)
        for user in ("bench", *SCRATCH):
            server.account(f"{user}@{DOMAIN}", PASSWORD)
        server.start()
        self._stack.callback(server.stop)
        assert server.process is not None
        target = _target(name, server.imap, server.pop3, server.lmtp, {"": [server.process.pid], **roles})
        return replace(target, metrics=(HOST, server.http))


def _target(name: str, imap: int, pop3: int, lmtp: int, pids: dict[str, list[int]]) -> Target:
    return Target(name, (HOST, imap), (HOST, lmtp), (HOST, pop3), "bench", SCRATCH, PASSWORD, DOMAIN, pids)


def _pinned(target: Target) -> Target:
    """The same server on one core: its threads take turns at the interpreter's lock, which is cheaper without a
    second core to wake up each time."""
    core = {max(os.sched_getaffinity(0))}
    for thread in os.listdir(f"/proc/{target.pids[''][0]}/task"):
        os.sched_setaffinity(int(thread), core)
    return target


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
