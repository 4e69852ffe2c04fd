"""What a MySQL or MariaDB server is like, asked for an operator who wants to know. Blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import pymysql

from lightmail.config import DatabaseConfig
from lightmail.errors import StartupError
from lightmail.store.mysql_checks import CONNECT_ERRORS, reason
from lightmail.store.mysql_link import connect_arguments, prepare
from lightmail.store.sqltext import NOW_US

_ANSWER_SECONDS: Final = 15.0
_VARIABLES: Final = (
    "version",
    "innodb_flush_log_at_trx_commit",
    "log_bin",
    "sync_binlog",
    "read_only",
    "max_connections",
    "max_allowed_packet",
    "innodb_buffer_pool_size",
)
_PRIVILEGES: Final = (
    "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {me}"
    " UNION SELECT privilege_type FROM information_schema.schema_privileges"
    " WHERE grantee = {me} AND DATABASE() LIKE table_schema"
).replace("{me}", "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')")


@dataclass(frozen=True, slots=True)
class Facts:
    """Its settings by name, what the user may do (upper case), by how much its clock is ahead of ours, and how long an
    exchange takes."""

    variables: Mapping[str, str]
    privileges: frozenset[str]
    ahead_seconds: float
    trip_seconds: float


def ask(config: DatabaseConfig) -> Facts:
    """Connect and ask. Raises StartupError, one line."""
    try:
        with closing(pymysql.connect(**connect_arguments(config, _ANSWER_SECONDS))) as raw:
            prepare(raw)
            with closing(raw.cursor()) as cursor:
                variables = {name: str(_one(cursor, f"SELECT @@{name}")) for name in _VARIABLES}
                cursor.execute(_PRIVILEGES)
                privileges = frozenset(str(row[0]).upper() for row in cursor.fetchall())
                before = time.time()
                now_us = int(_one(cursor, f"SELECT {NOW_US}"))
                after = time.time()
    except CONNECT_ERRORS as error:
        raise StartupError(f"{reason(error)}") from None
    return Facts(variables, privileges, now_us / 1e6 - (before + after) / 2, after - before)


def _one(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    row = cursor.fetchone()
    return None if row is None else row[0]
