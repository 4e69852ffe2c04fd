"""A connection to MySQL or MariaDB: how it is made, what store functions run on it, and what its errors mean."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.peers import is_loopback
from lightmail.store.cursor import Bulk, Params, Result, Row, Statement
from lightmail.store.database import Meter
from lightmail.store.faults import AlreadyThere, CommitUnknown, Conflict, DuplicateKey, LostLink

RawConnection: TypeAlias = "Connection[Any]"

LOCK_WAIT_SECONDS: Final = 3
# The longest silence of the server within a statement or a COMMIT; far above what our largest statements take.
ANSWER_SECONDS: Final = 30.0

# So many rows at most become one text: some 100 KiB, far below max_allowed_packet and group_concat_max_len.
_PACKED_ROWS: Final = 1024

# A transaction whose client has vanished behind a dead network holds its locks until the server gives it up: MariaDB
# after so long, MySQL, which knows idle connections only, after six times that. Ours never pause in between.
_IDLE_SECONDS: Final = 10

# One statement list for every new connection. The time zone is UTC because UNIX_TIMESTAMP(NOW(6)) reads local time,
# which is ambiguous once a year elsewhere.
_SESSION: Final = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; "
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', "
    f"time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, group_concat_max_len = 16777216 "
    f"/*M!100300 , idle_transaction_timeout = {_IDLE_SECONDS} */ /*!80000 , wait_timeout = {6 * _IDLE_SECONDS} */"
)

_DUPLICATE: Final = 1062
# A column, an index.
_ALREADY_THERE: Final = (1060, 1061)
# 1467: InnoDB says so, too, when it ends a deadlock at the lock of an AUTO_INCREMENT.
_CONFLICTS: Final = {1213: "deadlock", 1205: "lock-wait", 1020: "deadlock", 1467: "deadlock"}
# Server gone, link lost, server shutting down, connection killed (by us, by timeout, by an operator).
_LOST: Final = frozenset({0, 1053, 1079, 1927, 2006, 2013, 2014, 2055, 4031})
# PyMySQL has no code for a packet that comes out of turn or is malformed; it closes the connection.
_OUT_OF_STEP: Final = -1
# Read-only after a failover, out of connections, disk, memory or log space, or permissions under repair.
_UNAVAILABLE: Final = frozenset(
    {3, 28, 1021, 1030, 1037, 1040, 1041, 1114, 1135, 1142, 1143, 1194, 1203, 1226, 1290, 1317, 1836, 1969, 3024}
)

# What a server says that has become a replica: its place is taken by another, perhaps at the same address.
_READ_ONLY: Final = frozenset({1290, 1836})


def _tls(config: DatabaseConfig) -> dict[str, Any]:
    """The TLS arguments: none on sockets and loopback unless required (a default connect costs 43 ms of CPU).

    ``auto`` encrypts when the server offers it, ``required`` always; neither verifies the certificate's name, as
    MySQL's own ssl-mode of that name.
    """
    if config.tls == "required":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return {"ssl": context}
    if config.tls == "off" or config.socket or config.host == "localhost" or is_loopback(config.host):
        return {"ssl_disabled": True}
    return {}


def connect_arguments(config: DatabaseConfig, answer_seconds: float) -> dict[str, Any]:
    """What `pymysql.connect` is called with. A server silent for `answer_seconds` counts as lost."""
    place: dict[str, Any] = (
        {"unix_socket": config.socket} if config.socket else {"host": config.host, "port": config.port}
    )
    return {
        **place,
        **_tls(config),
        "user": config.user,
        "password": config.password,
        "database": config.database,
        "charset": "utf8mb4",
        "autocommit": True,
        "client_flag": CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
        "connect_timeout": config.connect_timeout_seconds,
        "read_timeout": answer_seconds,
        "write_timeout": answer_seconds,
    }


def prepare(raw: RawConnection) -> None:
    """Set up a new connection's session."""
    cursor = raw.cursor()
    cursor.execute(_SESSION)
    while cursor.nextset():
        pass
    cursor.close()


def translated(error: pymysql.err.Error) -> Exception:
    """What PyMySQL's error means to a transaction; the error itself where it can only be a bug."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else _OUT_OF_STEP
    if code == _DUPLICATE:
        return DuplicateKey()
    if code in _ALREADY_THERE:
        return AlreadyThere()
    if code in _CONFLICTS:
        return Conflict(_CONFLICTS[code])
    if code in _LOST or (code == _OUT_OF_STEP and isinstance(error, pymysql.err.InternalError)):
        return LostLink(timed_out=isinstance(error.__context__, TimeoutError))
    if code in _UNAVAILABLE:
        return Unavailable()
    return error


@lru_cache(maxsize=64)
def _packing(columns: tuple[str, ...], source: str, key: str | None) -> str:
    """The statement that returns rows of integers as texts with commas between all numbers: one a row, or a few."""
    if key is None:
        return f"SELECT CONCAT_WS(',', {', '.join(columns)}) FROM {source}"  # noqa: S608
    return f"SELECT GROUP_CONCAT(CONCAT_WS(',', {', '.join(columns)})) FROM {source} GROUP BY {key} DIV {_PACKED_ROWS}"  # noqa: S608


def _unpacked(result: Result, width: int) -> Result:
    """The rows of integers again."""
    if not result.rows:
        return result
    numbers = map(int, ",".join([row[0] for row in result.rows]).split(","))
    rows = list(zip(*[numbers] * width, strict=True))
    return Result(len(rows), rows)


class MySqlCursor:
    """`lightmail.store.cursor.Cursor` on a PyMySQL connection; the meter counts the round trips."""

    def __init__(self, raw: RawConnection, meter: Meter) -> None:
        self._raw = raw
        self._cursor = raw.cursor()
        self._ahead: list[tuple[str, Callable[[int], None] | None]] = []
        self._rows: deque[Row] = deque()
        self._open = False
        self._meter = meter
        self.rowcount = -1

    def execute(self, sql: str, params: Params = (), /) -> int:
        (result,) = self._exchange([self._cursor.mogrify(sql, tuple(params))])
        self._rows = deque(result.rows)
        self.rowcount = result.rowcount
        return result.rowcount

    def fetchone(self) -> Row | None:
        return self._rows.popleft() if self._rows else None

    def fetchall(self) -> Sequence[Row]:
        rows, self._rows = self._rows, deque()
        return rows

    def script(self, statements: Sequence[Statement | Bulk], /) -> list[Result]:
        results = self._exchange([self._text(statement) for statement in statements])
        return [
            _unpacked(result, len(statement.columns)) if isinstance(statement, Bulk) else result
            for statement, result in zip(statements, results, strict=True)
        ]

    def _text(self, statement: Statement | Bulk) -> str:
        if isinstance(statement, Bulk):
            sql, params = _packing(statement.columns, statement.source, statement.key), statement.params
        else:
            sql, params = statement
        text: str = self._cursor.mogrify(sql, tuple(params))
        return text

    def first(self, sql: str, params: Params, check: Callable[[int], None], /) -> None:
        self._ahead.append((self._cursor.mogrify(sql, tuple(params)), check))

    def begin(self) -> None:
        """Open a transaction, with the next statement."""
        self._ahead.append(("BEGIN", None))

    def commit(self, result: Any) -> None:
        """COMMIT what is open. Raises CommitUnknown with `result` when no clear answer comes."""
        if not self._open:
            return
        self._meter.trips += 1
        began = time.perf_counter()
        try:
            self._raw.commit()
        except pymysql.err.Error as error:
            cause = translated(error)
            if isinstance(cause, Conflict):
                raise cause from None
            if self._raw.open:
                # An error came instead of an answer: with its connection the server lets go of what may be open still.
                self._raw.close()
            raise CommitUnknown(result) from error
        self._meter.commit_seconds = time.perf_counter() - began

    def rollback(self) -> None:
        """ROLLBACK what is open. A connection on which that fails is closed: its server side rolls back then."""
        self._ahead.clear()
        if not self._open or not self._raw.open:
            return
        self._meter.trips += 1
        try:
            self._raw.rollback()
        except pymysql.err.Error:
            if self._raw.open:
                self._raw.close()

    def _exchange(self, texts: list[str]) -> list[Result]:
        """One round trip: what was put ahead, then `texts`; the results of `texts`."""
        ahead, self._ahead = self._ahead, []
        self._open = self._open or bool(ahead)
        self._meter.trips += 1
        try:
            self._cursor.execute("; ".join([*(text for text, _ in ahead), *texts]))
            for _, check in ahead:
                if check is not None:
                    check(self._cursor.rowcount)
                self._cursor.nextset()
            results = [Result(self._cursor.rowcount, self._cursor.fetchall())]
            while self._cursor.nextset():
                results.append(Result(self._cursor.rowcount, self._cursor.fetchall()))
        except pymysql.err.Error as error:
            if error.args and error.args[0] in _READ_ONLY and self._raw.open:
                # The next call connects anew, and may reach the server that writes now.
                self._raw.close()
            raise translated(error) from error
        return results
