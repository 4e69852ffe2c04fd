"""Starts what ``compare`` measures: Dovecot, LightMail embedded, and LightMail on MariaDB with an S3 server.

Everything lives in one temporary directory, listens on loopback and is stopped at the end. Passwords are hashed and
credentials cached as in production; durability is each server's own (``docs/performance.md`` names it).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType

from bench.dovecot import Dovecot
from bench.model import Target
from lightmail import __version__
from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS, free_ports, weed_program

PASSWORD = "bench-password"
DOMAIN = "bench.example"
# No writer process, which is the default where a server has one core.
_THREADS: dict[str, object] = {"writer_processes": 0}
# One benchmark machine is every user's address at once. Snapshots come soon, so that nobody waits for them long.
_IMAP = {"max_connections": 15_000}
_LIMITS = {
    "connections_per_user_and_address": 10_000,
    "connections_per_address_before_login": 10_000,
    "snapshot_seconds": 1,
}


class Stacks:
    """A context manager that yields the targets named in `names`, in that order."""

    def __init__(self, names: Sequence[str], users: int = 20) -> None:
        self._names = names
        self._scratch = tuple(f"u{k}" for k in range(1, users + 1))
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
            "dovecot": lambda home: self._dovecot(home, forget=False),
            "dovecot-uncached": lambda home: self._dovecot(home, forget=True),
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

    def _dovecot(self, home: Path, *, forget: bool) -> Target:
        imap, pop3, lmtp = free_ports(3)
        server = Dovecot(home / "d", PASSWORD, imap=imap, pop3=pop3, lmtp=lmtp)
        self._stack.callback(server.stop)

        def restart() -> list[int]:
            server.restart(forget=forget)
            _wait_for((HOST, imap), "dovecot")
            return [server.pid]

        about = f"{_said('dovecot', '--version')}; sdbox, mail_fsync = optimized"
        return self._target(imap, pop3, lmtp, {"": [server.pid]}, restart, about)

    def _embedded(self, home: Path, storage: Mapping[str, object] = MappingProxyType({})) -> Target:
        about = f"SQLite {sqlite3.sqlite_version} with synchronous = FULL, each object and its directory synced"
        return self._lightmail(home, {"storage": dict(storage)}, {}, about)

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
        about = (
            f"{_durability(rows)}; SeaweedFS {_weed_version()}, which answers a PUT before it is on disk; disk cache"
        )
        return self._lightmail(home, sections, {"mariadb": [rows.pid], "s3": [s3.process.pid]}, about)

    def _lightmail(
        self, home: Path, sections: dict[str, dict[str, object]], roles: dict[str, list[int]], about: str
    ) -> Target:
        server = MailServer(home, {"imap": _IMAP, "limits": _LIMITS, "logging": {"level": "warn"}, **sections})
        server.cli("migrate")
        server.cli("domain", "add", DOMAIN)
        for user in ("bench", *self._scratch):
            server.account(f"{user}@{DOMAIN}", PASSWORD)
        server.start()
        self._stack.callback(server.stop)
        assert server.process is not None

        def restart() -> list[int]:
            server.stop()
            server.start()
            assert server.process is not None
            return [server.process.pid]

        pids = {"": [server.process.pid], **roles}
        about = f"LightMail {__version__}, {about}"
        return replace(
            self._target(server.imap, server.pop3, server.lmtp, pids, restart, about), metrics=(HOST, server.http)
        )

    def _target(
        self,
        imap: int,
        pop3: int,
        lmtp: int,
        pids: dict[str, list[int]],
        restart: Callable[[], list[int]],
        about: str,
    ) -> Target:
        return Target(
            name="",
            imap=(HOST, imap),
            lmtp=(HOST, lmtp),
            pop3=(HOST, pop3),
            user="bench",
            scratch=self._scratch,
            password=PASSWORD,
            domain=DOMAIN,
            pids=pids,
            restart=restart,
            about=about,
        )


def _pinned(target: Target) -> Target:
    """The same server on one core: its threads take turns at the interpreter's lock, which is cheaper without a
    second core to wake up each time."""
    _pin(target.pids[""])
    assert target.restart is not None
    again = target.restart

    def restart() -> list[int]:
        pids = again()
        _pin(pids)
        return pids

    return replace(target, restart=restart, about=f"{target.about}; on one core")


def _pin(pids: list[int]) -> None:
    core = {max(os.sched_getaffinity(0))}
    for thread in os.listdir(f"/proc/{pids[0]}/task"):
        os.sched_setaffinity(int(thread), core)


def _durability(rows: mariadb.Server) -> str:
    """MariaDB's version and what it does at COMMIT, as it says itself."""
    with rows.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@version, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog")
        found = cursor.fetchone()
    assert found is not None
    number, flush, binlog, sync = found
    log = f"sync_binlog = {sync}" if binlog else "no binary log"
    return f"MariaDB {str(number).partition('-')[0]} with innodb_flush_log_at_trx_commit = {flush}, {log}"


def _weed_version() -> str:
    found = re.search(r"\d+\.\d+", _said(weed_program() or "weed", "version"))
    return found.group(0) if found else "of unknown version"


def _said(program: str, option: str) -> str:
    """The first line that a program prints of itself."""
    said = subprocess.run([program, option], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0] if said else ""


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
