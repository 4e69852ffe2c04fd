"""One way to run store functions, over MySQL, MariaDB or SQLite.

A function runs whole in a thread, with a connection of its own: ``await database.read("name", fn, *args)``. Calls are
timed and counted by name. What a caller sees is the function's own exceptions, or a `MailError`.
"""

from __future__ import annotations

import random
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Concatenate, Final, ParamSpec, TypeVar

from prometheus_client import Counter as Counted
from prometheus_client import Histogram
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.metrics import DATABASE_FAILURES, DATABASE_RETRIES, DATABASE_ROUND_TRIPS, DATABASE_SECONDS
from lightmail.store.cursor import Cursor
from lightmail.store.faults import CommitUnknown, Conflict

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()

# A transaction is run this many times before a conflict becomes Unavailable, and is not begun again later than this.
ATTEMPTS: Final = 5
RETRY_SECONDS: Final = 30.0


def pause_seconds(attempt: int) -> float:
    """How long to wait before a transaction runs again, after that many attempts failed: 10 to 320 ms, jittered."""
    return random.uniform(0.5, 1.0) * 0.02 * 2.0 ** min(attempt - 1, 4)


class Meter:
    """What one call costs; written by the thread that works for it."""

    __slots__ = ("commit_seconds", "trips")

    def __init__(self) -> None:
        self.trips = 0
        self.commit_seconds = 0.0


class Database(ABC):
    """Runs functions against the rows. Methods belong to the reactor's thread, the functions run in others.

    `connections` is how many may work at once; `round_trips` counts the exchanges with the server by name, which is
    what a call costs besides the work itself (SQLite: statements).
    """

    dialect: ClassVar[str]
    # Transactions of one kind that are worth running at once: one that commits while the next gathers and runs.
    groups: ClassVar[int] = 2
    # Whether what became of a COMMIT is always known, so that `attempt` never raises CommitUnknown.
    knows_commits: ClassVar[bool] = False

    def __init__(self, *, connections: int, reactor: Any) -> None:
        self.connections = connections
        self.reactor = reactor
        self.round_trips: Counter[str] = Counter()

    @abstractmethod
    async def start(self) -> None:
        """Open for calls. Connections are made as they are needed."""

    @abstractmethod
    async def stop(self) -> None:
        """Let what runs end, then close the connections."""

    @abstractmethod
    async def check(self) -> None:
        """Whether the database can serve: reached, permitted, on our schema. Raises StartupError, one line."""

    @abstractmethod
    async def migrate(self) -> list[str]:
        """Apply the migrations that are missing; the names of those applied."""

    @abstractmethod
    async def read(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a function that only reads. Each statement sees what was committed before it; there is no
        transaction around them. Raises Unavailable when the database does not answer."""

    @abstractmethod
    async def attempt(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a function run in a write transaction, once: BEGIN, the function, COMMIT.

        An exception of the function rolls back. Raises Conflict (certainly rolled back), CommitUnknown (perhaps
        committed), or Unavailable (never begun, or rolled back).
        """

    async def attempt_after(self, before: Callable[[], None], name: str, fn: Callable[[Cursor], T]) -> T:
        """As `attempt`, in the thread in which `before` has run ahead of BEGIN: one hand-off for both.

        What `before` raises is raised here, with nothing begun. It has the connection's thread to itself meanwhile, so
        it must be as quick as a transaction. It may run twice.
        """

        def after(cursor: Cursor) -> T:
            before()
            return fn(cursor)

        # BEGIN travels with the first statement, so nothing is begun before there is one.
        return await self.attempt(name, after)

    async def run(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `attempt`, run again on a conflict or a lost COMMIT: for writes that may happen twice without harm."""
        until = self.reactor.seconds() + RETRY_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self.attempt(name, fn, *args, **kwargs)
            except Conflict as conflict:
                reason = conflict.reason
            except CommitUnknown:
                reason = "lost-commit"
            DATABASE_RETRIES.labels(name, reason).inc()
            if attempt == ATTEMPTS or self.reactor.seconds() > until:
                break
            await deferLater(self.reactor, pause_seconds(attempt))
        log.warn(
            "{name} gave up after {attempts} attempts, the last one: {reason}",
            name=name,
            attempts=attempt,
            reason=reason,
        )
        raise Unavailable

    def _book(self, name: str, began: float, meter: Meter) -> None:
        """Note what a call cost that ends now, whether it succeeded or not."""
        if isinstance(sys.exception(), Unavailable):
            DATABASE_FAILURES.inc()
        self.round_trips[name] += meter.trips
        trips, seconds, commit_seconds = _series(name)
        trips.inc(meter.trips)
        seconds.observe(self.reactor.seconds() - began)
        if meter.commit_seconds:
            commit_seconds.observe(meter.commit_seconds)


@cache
def _series(name: str) -> tuple[Counted, Histogram, Histogram]:
    """The metrics of calls of a name: round trips, seconds, and seconds of their COMMITs."""
    return (
        DATABASE_ROUND_TRIPS.labels(name),
        DATABASE_SECONDS.labels(name),
        DATABASE_SECONDS.labels(f"{name} COMMIT"),
    )


def open_database(config: DatabaseConfig, *, reactor: Any = None) -> Database:
    """The database that `config` names; nothing is connected yet. Call `start`, then `check`."""
    # Imported here so that each driver's modules are loaded only where it is used.
    if reactor is None:
        from twisted.internet import reactor as default_reactor

        reactor = default_reactor
    if config.driver == "sqlite":
        from lightmail.store.sqlite import SqliteDatabase

        return SqliteDatabase(config, reactor=reactor)
    from lightmail.store.mysql import MySqlDatabase

    return MySqlDatabase(config, reactor=reactor)
