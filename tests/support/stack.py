"""A real server on one of the stacks it is made for, with a way to look behind it; on request behind fault proxies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import obstore

from lightmail.config import DatabaseConfig
from tests.integration.servers import MailServer, Sections, mysql_section, s3_section
from tests.support import mariadb
from tests.support.faultproxy import FaultProxy, fault_proxy
from tests.support.seaweedfs import SeaweedFS

EMBEDDED = "embedded"
MARIADB_S3 = "mariadb-s3"
STACKS = (EMBEDDED, MARIADB_S3)
HOST = "127.0.0.1"


@dataclass
class Stack:
    """A server that is not started yet, what it stands on, and the proxies in between."""

    server: MailServer
    s3: SeaweedFS | None = None
    prefix: str = ""
    rows: mariadb.Server | None = None
    database: str = ""
    proxies: dict[str, FaultProxy] = field(default_factory=dict)

    def object_keys(self) -> set[str]:
        """The keys of all blobs' objects that the store has."""
        if self.s3 is None:
            root = self._data / "objects"
            return {str(path.relative_to(root)) for path in (root / "emails").rglob("*") if path.is_file()}
        store, top = self.s3.store(self.s3.bucket), f"{self.prefix}/"
        found = [item["path"] for chunk in obstore.list(store, f"{top}emails") for item in chunk]
        return {path.removeprefix(top) for path in found}

    def rewrite(self, folder: str, change: Callable[[bytes], bytes | None]) -> int:
        """Put what `change` makes of each object below a folder in its place, nothing where it is None; how many."""
        store, top = self._objects()
        found = [item["path"] for chunk in obstore.list(store, f"{top}{folder}") for item in chunk]
        for path in found:
            try:
                octets = change(bytes(obstore.get(store, path).bytes()))
            except FileNotFoundError:
                continue  # a collector was sooner
            if octets is None:
                obstore.delete(store, path)
            else:
                obstore.put(store, path, octets)
        return len(found)

    def _objects(self) -> tuple[Any, str]:
        """The store of objects, and what all its keys begin with."""
        if self.s3 is None:
            return obstore.store.LocalStore(str(self._data / "objects")), ""
        return self.s3.store(self.s3.bucket), f"{self.prefix}/"

    def known_keys(self) -> set[str]:
        """The keys of all objects that have a row."""
        return {row[0].decode() for row in self.select("SELECT object_key FROM objects")}

    def select(self, sql: str) -> list[tuple[bytes, ...]]:
        """What a statement returns."""
        if self.rows is None:
            with closing(sqlite3.connect(self._data / "lightmail.sqlite")) as connection:
                return connection.execute(sql).fetchall()
        with self.rows.connect(database=self.database) as link, link.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def unfinished(self) -> list[Path]:
        """Files of messages that never became objects: in the spool, and in the object directory's anteroom."""
        places = (self._data / "spool", self._data / "objects" / ".incoming")
        return [path for place in places if place.is_dir() for path in place.iterdir()]

    @property
    def _data(self) -> Path:
        return self.server.directory / "data"


@contextmanager
def open_stack(
    kind: str,
    s3: SeaweedFS | None = None,
    *,
    domains: Sequence[str] = ("example.org",),
    users: Sequence[str] = ("ada@example.org", "bob@example.org"),
    sections: Mapping[str, Mapping[str, object]] | None = None,
    rows: mariadb.Server | None = None,
    proxied: bool = False,
) -> Iterator[Stack]:
    """A server with accounts whose passwords are `secret`; `rows` is the MariaDB, otherwise the session's."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="lm-"))  # short: it holds Unix sockets
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        settings: Sections = {}
        behind: dict[str, Any] = {}
        if kind == MARIADB_S3:
            assert s3 is not None
            settings, behind = stack.enter_context(_apart(rows or mariadb.server(), s3, proxied))
        for name, keys in (sections or {}).items():
            settings[name] = {**settings.get(name, {}), **keys}
        made = Stack(MailServer(directory, settings), **behind)
        stack.callback(made.server.kill)
        made.server.cli("migrate")
        for domain in domains:
            made.server.cli("domain", "add", domain)
        for user in users:
            made.server.account(user)
        yield made


@contextmanager
def _apart(rows: mariadb.Server, s3: SeaweedFS, proxied: bool) -> Iterator[tuple[Sections, dict[str, Any]]]:
    """Sections for a fresh database and a fresh prefix in the bucket, and what a `Stack` has to know of them."""
    with ExitStack() as stack:
        database, prefix = rows.fresh_database(), f"t{os.urandom(6).hex()}"
        stack.callback(rows.drop, database)
        config: DatabaseConfig = rows.config(database)
        objects = {**s3_section(s3), "prefix": prefix}
        proxies = {}
        if proxied:
            proxies["database"] = stack.enter_context(fault_proxy((rows.host, rows.port)))
            proxies["objects"] = stack.enter_context(fault_proxy((HOST, s3.ports[0])))
            config = replace(config, socket=None, host=HOST, port=proxies["database"].port)
            objects["endpoint"] = f"http://{HOST}:{proxies['objects'].port}"
        sections: Sections = {"database": mysql_section(config), "storage": {"driver": "s3"}, "s3": objects}
        yield sections, {"s3": s3, "prefix": prefix, "rows": rows, "database": database, "proxies": proxies}
