"""What a server does with MySQL or MariaDB before it serves: reach it, check it, migrate it. All of it blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql
from twisted.logger import Logger

from lightmail.config import DatabaseConfig
from lightmail.errors import StartupError
from lightmail.store.cursor import Cursor
from lightmail.store.database import Meter
from lightmail.store.migrations import apply_txn, check_version, latest_version, version_txn
from lightmail.store.mysql_link import MySqlCursor, RawConnection, prepare
from lightmail.store.sqltext import NOW_US

log = Logger()

CONNECT_ERRORS: Final = (pymysql.err.Error, OSError)

_REASONS: Final = {
    1044: "the user may not use the database",
    1045: "wrong user or password",
    1049: "there is no such database",
    1130: "the server does not admit this host",
    1142: "the user lacks a permission on the tables (SELECT, INSERT, UPDATE and DELETE are needed)",
    1143: "the user lacks a permission on the tables (SELECT, INSERT, UPDATE and DELETE are needed)",
    1290: "the server is read-only",
    1665: "binlog_format=STATEMENT does not work with READ COMMITTED; set binlog_format=ROW",
    1698: "wrong user or password",
    1836: "the server is read-only",
    2003: "the server cannot be reached",
}
# What connecting raises: host, socket, TLS, user, database, too many connections, a link that broke in the handshake.
_REFUSALS: Final = frozenset(
    {0, 1040, 1044, 1045, 1049, 1129, 1130, 1203, 1226, 1698, 2002, 2003, 2005, 2006, 2013, 2026, 2059, 2061}
)
_MIGRATION_LOCK_SECONDS: Final = 60


def reason(error: Exception) -> str:
    """What went wrong, in words for an operator; the server's own message where we have none."""
    code = error.args[0] if error.args else None
    words = _REASONS.get(code) if isinstance(code, int) else None
    detail = str(error.args[1]) if len(error.args) > 1 else str(error)
    return f"{words} ({detail})" if words else detail


def is_refusal(error: Exception) -> bool:
    """Whether `error` came from connecting: no transaction has begun, and the operator may mend it meanwhile."""
    code = error.args[0] if error.args else None
    return isinstance(error, OSError) or code in _REFUSALS


def _place(config: DatabaseConfig) -> str:
    where = config.socket or f"{config.host}:{config.port}"
    return f"database {config.database!r} at {where} as user {config.user!r}"


@contextmanager
def _connection(config: DatabaseConfig, arguments: dict[str, Any]) -> Iterator[RawConnection]:
    """A connection of one's own; every trouble with it becomes one clear line."""
    try:
        raw = pymysql.connect(**arguments)
        try:
            prepare(raw)
            yield raw
        finally:
            if raw.open:
                raw.close()
    except CONNECT_ERRORS as error:
        raise StartupError(f"[database] {_place(config)}: {reason(error)}.") from None


def check(config: DatabaseConfig, arguments: dict[str, Any]) -> None:
    """Reached, permitted, on our schema; warns of settings under which a crash may lose answered mail (P1)."""
    with _connection(config, arguments) as raw:
        cursor = MySqlCursor(raw, Meter())
        if not _store_exists(cursor):
            raise StartupError(f"[database] {_place(config)}: no LightMail tables yet: run `lightmail migrate`.")
        check_version(version_txn(cursor), latest_version("mysql"))
        _check_writing(raw)
        _warn_of_durability(cursor)


def migrate(config: DatabaseConfig, arguments: dict[str, Any]) -> list[str]:
    """Apply the missing migrations, one server at a time; their names."""
    with _connection(config, {**arguments, "read_timeout": None}) as raw:
        cursor = MySqlCursor(raw, Meter())
        cursor.execute("SELECT GET_LOCK('lightmail migrate', %s)", (_MIGRATION_LOCK_SECONDS,))
        row = cursor.fetchone()
        if not row or row[0] != 1:
            raise StartupError("[database] another process is migrating; wait until it has finished.")
        return apply_txn(cursor, "mysql", _store_exists)


def _store_exists(cursor: Cursor) -> bool:
    return cursor.execute("SHOW TABLES LIKE 'store'") > 0


def _check_writing(raw: RawConnection) -> None:
    """Insert, update and delete, then roll back: permissions, read-only servers and binlog formats show here."""
    cursor = raw.cursor()
    cursor.execute("BEGIN")
    cursor.execute(f"INSERT INTO operations (id, committed_at) VALUES (%s, {NOW_US})", (bytes(16),))  # noqa: S608
    cursor.execute("UPDATE operations SET committed_at = 0 WHERE id = %s", (bytes(16),))
    cursor.execute("DELETE FROM operations WHERE id = %s", (bytes(16),))
    cursor.execute("ROLLBACK")


def _warn_of_durability(cursor: Cursor) -> None:
    cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@version")
    row = cursor.fetchone()
    if row is None:
        return
    flush, binlog, sync, version = row
    if int(flush) != 1:
        log.warn(
            "innodb_flush_log_at_trx_commit is {value}, not 1: a crash of {version} may lose mail that was accepted",
            value=flush,
            version=version,
        )
    if int(binlog) and int(sync) != 1:
        log.warn("sync_binlog is {value}, not 1: a crash may lose mail that was accepted", value=sync)
