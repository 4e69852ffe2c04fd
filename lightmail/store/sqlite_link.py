"""A connection to SQLite: how it is made, what store functions run on it, what its errors mean, checks, migrations."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from shutil import disk_usage
from typing import Any, Final

from lightmail.errors import StartupError, Unavailable
from lightmail.store.cursor import Bulk, Cursor, Params, Result, Row, Statement
from lightmail.store.database import Meter
from lightmail.store.faults import AlreadyThere, Conflict, DuplicateKey
from lightmail.store.migrations import apply_txn, check_version, latest_version, version_txn
from lightmail.store.sqltext import for_sqlite

LOCK_WAIT_SECONDS: Final = 3
_OLDEST: Final = (3, 40)
_CACHED_STATEMENTS: Final = 512


def connect_arguments(path: str) -> dict[str, Any]:
    """What `sqlite3.connect` is called with. The pool closes connections from the reactor's thread, at the end."""
    return {
        "database": path,
        "isolation_level": None,
        "check_same_thread": False,
        "timeout": LOCK_WAIT_SECONDS,
        "cached_statements": _CACHED_STATEMENTS,
    }


def _prepare(raw: sqlite3.Connection) -> None:
    raw.create_function("now_us", 0, lambda: time.time_ns() // 1000)
    raw.create_function("UNIX_TIMESTAMP", 0, lambda: int(time.time()))
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA temp_store = MEMORY")
    raw.execute("PRAGMA cache_size = -8000")


def prepare_writer(raw: sqlite3.Connection) -> None:
    """Set up the connection that writes."""
    _prepare(raw)
    raw.execute("PRAGMA synchronous = FULL")


def prepare_reader(raw: sqlite3.Connection) -> None:
    """Set up a connection that only reads."""
    _prepare(raw)
    raw.execute("PRAGMA query_only = ON")


def translated(error: sqlite3.Error) -> Exception:
    """What SQLite's error means to a transaction; the error itself where it can only be a bug."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        return DuplicateKey()
    if code == sqlite3.SQLITE_ERROR and str(error).startswith("duplicate column name"):
        return AlreadyThere()  # it has no code of its own
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Conflict("busy")
    if code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    ):
        return Unavailable()
    return error


@lru_cache(maxsize=64)
def _plain(columns: tuple[str, ...], source: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608


class SqliteCursor:
    """`lightmail.store.cursor.Cursor` on a SQLite connection; the meter counts the statements."""

    def __init__(self, raw: sqlite3.Connection, meter: Meter) -> None:
        self._cursor = raw.cursor()
        self._meter = meter
        self.rowcount = -1

    def execute(self, sql: str, params: Params = (), /) -> int:
        self._run(sql, params)
        return self.rowcount

    def fetchone(self) -> Row | None:
        row: Row | None = self._cursor.fetchone()
        return row

    def fetchall(self) -> Sequence[Row]:
        return self._cursor.fetchall()

    def script(self, statements: Sequence[Statement | Bulk], /) -> list[Result]:
        results = []
        for statement in statements:
            if isinstance(statement, Bulk):
                self._run(_plain(statement.columns, statement.source), statement.params)
            else:
                self._run(*statement)
            rows = self._cursor.fetchall()
            results.append(Result(self.rowcount if self.rowcount >= 0 else len(rows), rows))
        return results

    def first(self, sql: str, params: Params, check: Callable[[int], None], /) -> None:
        self._run(sql, params)
        check(self.rowcount)

    def _run(self, sql: str, params: Params) -> None:
        self._meter.trips += 1
        try:
            self._cursor.execute(for_sqlite(sql), params)
        except sqlite3.Error as error:
            raise translated(error) from error
        self.rowcount = self._cursor.rowcount


def _opened(path: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StartupError(f"SQLite {sqlite3.sqlite_version} is too old, 3.40 is needed.")
    if not path:
        raise StartupError("[database] path: name the SQLite file.")
    try:
        raw: sqlite3.Connection = sqlite3.connect(**connect_arguments(path))
        prepare_writer(raw)
    except sqlite3.Error as error:
        raise _refusal(path, error) from None
    return raw


def _refusal(path: str, error: Exception) -> StartupError:
    """Why the file cannot be used, in SQLite's words, or in plain ones where those say nothing."""
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__
    reason = str(cause or error).rstrip(".")
    # Where there is no room for its files beside the database, SQLite reports no more than an error of the disk.
    directory = Path(path).parent
    if isinstance(cause, sqlite3.OperationalError) and directory.is_dir() and disk_usage(directory).free == 0:
        reason = "no space is left on its disk"
    return StartupError(f"[database] path: {path}: {reason}.")


def _make_private(path: str) -> None:
    """Let the owner alone read a new file, for it holds password hashes. What SQLite puts beside it follows suit."""
    with suppress(OSError):  # SQLite will say what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def check(path: str) -> None:
    """Readable, writable, on our schema; one line of StartupError otherwise. Blocks."""
    if not Path(path).exists():
        raise StartupError(f"[database] path: {path} does not exist: run `lightmail migrate`.")
    with closing(_opened(path)) as raw:
        try:
            cursor = SqliteCursor(raw, Meter())
            if not _store_exists(cursor):
                raise StartupError(f"[database] path: {path} has no LightMail tables: run `lightmail migrate`.")
            check_version(version_txn(cursor), latest_version("sqlite"))
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("DELETE FROM operations WHERE id = x''")
            raw.execute("ROLLBACK")
        except (sqlite3.Error, Conflict, Unavailable) as error:
            raise _refusal(path, error) from None


def migrate(path: str) -> list[str]:
    """Apply the missing migrations in one transaction; their names. Blocks."""
    _make_private(path)
    with closing(_opened(path)) as raw:
        try:
            raw.execute("BEGIN IMMEDIATE")
            applied = apply_txn(SqliteCursor(raw, Meter()), "sqlite", _store_exists)
            raw.execute("COMMIT")
        except (sqlite3.Error, Conflict, Unavailable) as error:
            raise _refusal(path, error) from None
    return applied


def _store_exists(cursor: Cursor) -> bool:
    cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'store'")
    return cursor.fetchone() is not None
