"""MySQL and MariaDB: PyMySQL under Twisted's connection pool.

BEGIN travels with a transaction's first statement and a script is one multi-statement query, so a transaction costs
one round trip per script and one for COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.logger import Logger

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.store import mysql_checks
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database, Meter
from lightmail.store.faults import Conflict, LostLink
from lightmail.store.gate import Gate
from lightmail.store.mysql_link import ANSWER_SECONDS, MySqlCursor, connect_arguments, prepare
from lightmail.store.pool import Link, Pool

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()

# Callers beyond the pool: as many may wait, for as long.
_WAITING = 1000
_WAIT_SECONDS = 10.0
# That the database refuses connections is logged so often.
_REPEAT_SECONDS = 10.0


class MySqlDatabase(Database):
    """Rows in MySQL 8 or MariaDB 10.6+: READ COMMITTED, strict, `pool_size` connections."""

    dialect = "mysql"

    def __init__(self, config: DatabaseConfig, *, reactor: Any, answer_seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(connections=config.pool_size, reactor=reactor)
        self._config = config
        self._arguments = connect_arguments(config, answer_seconds)
        self._gate = Gate(config.pool_size, waiting=_WAITING, wait_seconds=_WAIT_SECONDS, reactor=reactor)
        self._pool: Pool | None = None
        self._refused_at: float | None = None

    async def start(self) -> None:
        self._pool = Pool(
            "pymysql",
            self._arguments,
            connections=self._config.pool_size,
            prepare=prepare,
            reactor=self.reactor,
        )
        self._pool.start()

    async def stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await self._gate.drained()
            await pool.stop()

    async def check(self) -> None:
        await self._aside(mysql_checks.check, self._config)

    async def migrate(self) -> list[str]:
        return await self._aside(mysql_checks.migrate, self._config)

    async def read(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._call(name, _read, lambda cursor: fn(cursor, *args, **kwargs))
        except Conflict:
            raise Unavailable from None

    async def attempt(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(name, _transact, lambda cursor: fn(cursor, *args, **kwargs))

    async def _call(self, name: str, way: _Way[T], body: Callable[[Cursor], T]) -> T:
        began, meter = self.reactor.seconds(), Meter()
        await self._gate.enter()
        try:
            if self._pool is None:
                raise Unavailable
            result = await self._pool.run(_on_link, way, body, meter)
        except mysql_checks.CONNECT_ERRORS as error:
            if not mysql_checks.is_refusal(error):
                raise
            raise self._refused(error) from None
        else:
            self._answered()
            return result
        finally:
            self._gate.leave()
            self._book(name, began, meter)

    def _refused(self, error: Exception) -> Unavailable:
        """The answer while the server takes no connection. Every request comes here then: the log hears of few."""
        reason = f"no connection to the database: {mysql_checks.reason(error)}"
        now = self.reactor.seconds()
        if self._refused_at is None or now - self._refused_at >= _REPEAT_SECONDS:
            self._refused_at = now
            log.error("{reason}", reason=reason)
        return Unavailable(reason=reason)

    def _answered(self) -> None:
        if self._refused_at is not None:
            self._refused_at = None
            log.info("the database answers again")

    async def _aside(self, fn: Callable[[DatabaseConfig, dict[str, Any]], T], config: DatabaseConfig) -> T:
        """Run `fn` in a thread, with a connection that it makes and closes itself."""
        if self._pool is None:
            raise Unavailable
        return await self._pool.aside(fn, config, self._arguments)


_Way = Callable[[MySqlCursor, Callable[[Cursor], T]], T]


def _on_link(link: Link, way: _Way[T], body: Callable[[Cursor], T], meter: Meter) -> T:
    """Run `body` on the thread's connection, once more on a new one when a kept connection turns out to be dead.

    That is no blind retry: COMMIT had not been sent, so the server rolls back whatever it had seen.
    """
    try:
        return way(MySqlCursor(link.raw, meter), body)
    except LostLink as lost:
        if not link.kept or lost.timed_out:
            raise Conflict("lost-link") from None
    link.renew()
    try:
        return way(MySqlCursor(link.raw, meter), body)
    except LostLink:
        raise Conflict("lost-link") from None


def _read(cursor: MySqlCursor, body: Callable[[Cursor], T]) -> T:
    return body(cursor)


def _transact(cursor: MySqlCursor, body: Callable[[Cursor], T]) -> T:
    cursor.begin()
    try:
        result = body(cursor)
    except BaseException:
        # First of all: after a lock wait that ran out (1205) the transaction is still open and holds its locks.
        cursor.rollback()
        raise
    cursor.commit(result)
    return result
