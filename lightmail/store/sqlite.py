"""SQLite: one writer, several readers, WAL, and an fsync per COMMIT (synchronous=FULL).

Writers wait for one another anyway, so those that wait share a COMMIT: each runs in a savepoint of its own, a failure
rolls back that one alone, and all are answered after the one fsync.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.store import sqlite_link
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database, Meter
from lightmail.store.faults import Conflict
from lightmail.store.gate import Gate
from lightmail.store.pool import Link, Pool
from lightmail.store.sqlite_link import SqliteCursor, translated

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()

_READERS: Final = 4
_WAITING: Final = 1000
_WAIT_SECONDS: Final = 10.0
# The most transactions that share one COMMIT: enough to hide the fsync, few enough to answer the first one soon.
_GROUP: Final = 64


class _Job:
    """A write transaction on its way: what to run, and what came of it."""

    __slots__ = ("before", "body", "deadline", "done", "error", "meter", "result")

    def __init__(
        self, body: Callable[[Cursor], Any], deadline: float, before: Callable[[], None] | None = None
    ) -> None:
        self.body = body
        self.before = before
        self.deadline = deadline
        self.done: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: BaseException | None = None
        self.meter = Meter()

    def settle(self) -> None:
        if self.done.called:
            return
        if self.error is not None:
            self.done.errback(self.error)
        else:
            self.done.callback(self.result)


class SqliteDatabase(Database):
    """Rows in one SQLite file, for one process."""

    dialect = "sqlite"
    # There is one writer: a second group would only wait for it, and be smaller than it could be.
    groups = 1
    # It is made in this very process: it has returned or failed, or nobody is left to ask.
    knows_commits = True

    def __init__(self, config: DatabaseConfig, *, reactor: Any) -> None:
        super().__init__(connections=config.pool_size, reactor=reactor)
        self._path = config.path
        self._gate = Gate(_READERS, waiting=_WAITING, wait_seconds=_WAIT_SECONDS, reactor=reactor)
        self._jobs: deque[_Job] = deque()
        self._writing: Deferred[None] | None = None
        self._readers: Pool | None = None
        self._writer: Pool | None = None

    async def start(self) -> None:
        self._writer = self._open(1, sqlite_link.prepare_writer)
        self._readers = self._open(_READERS, sqlite_link.prepare_reader)

    def _open(self, connections: int, prepare: Callable[[sqlite3.Connection], None]) -> Pool:
        arguments = sqlite_link.connect_arguments(self._path)
        pool = Pool("sqlite3", arguments, connections=connections, prepare=prepare, reactor=self.reactor)
        pool.start()
        return pool

    async def stop(self) -> None:
        readers, self._readers = self._readers, None
        writer, self._writer = self._writer, None
        if readers is None or writer is None:
            return
        await self._gate.drained()
        if self._writing is not None:
            await self._writing
        await readers.stop()
        await writer.stop()

    async def check(self) -> None:
        await self._aside(sqlite_link.check)

    async def migrate(self) -> list[str]:
        return await self._aside(sqlite_link.migrate)

    async def read(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        began, meter = self.reactor.seconds(), Meter()
        await self._gate.enter()
        try:
            if self._readers is None:
                raise Unavailable
            return await self._readers.run(_read, lambda cursor: fn(cursor, *args, **kwargs), meter)
        except sqlite3.Error as error:
            raise translated(error) from error
        finally:
            self._gate.leave()
            self._book(name, began, meter)

    async def attempt(self, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._enter(name, lambda cursor: fn(cursor, *args, **kwargs))

    async def attempt_after(self, before: Callable[[], None], name: str, fn: Callable[[Cursor], T]) -> T:
        return await self._enter(name, fn, before)

    async def _enter(self, name: str, body: Callable[[Cursor], T], before: Callable[[], None] | None = None) -> T:
        if self._writer is None or len(self._jobs) >= _WAITING:
            raise Unavailable
        began = self.reactor.seconds()
        job = _Job(body, began + _WAIT_SECONDS, before)
        self._jobs.append(job)
        self._write()
        try:
            result: T = await job.done
        finally:
            self._book(name, began, job.meter)
        return result

    def _write(self) -> None:
        """Have the writer's thread work off the waiting jobs, unless it does already."""
        if self._writing is None and self._jobs and self._writer is not None:
            running = Deferred.fromCoroutine(self._keep_writing(self._writer))
            if not running.called:
                self._writing = running

    async def _keep_writing(self, writer: Pool) -> None:
        # A job may come between the thread's last look and its answer here: hence the loop.
        while self._jobs:
            try:
                _settle(await writer.run(self._work_off))
            except Exception as error:
                # The writer could not even open its connection: nothing was written for those that wait.
                log.error("the SQLite writer failed: {error}", error=error)
                self._refuse_all()
        self._writing = None

    def _refuse_all(self) -> None:
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            job.error = Unavailable()
            job.settle()

    def _work_off(self, link: Link) -> list[_Job]:
        """In the writer's thread: group after group, until nobody waits. The last one, still to be settled."""
        while True:
            group = self._take_group()
            if not group:
                return []
            try:
                _prepare(group)
                _commit_group(link.raw, group)
            except BaseException as error:
                # Even those that were refused: what they saw may have been another's rows, which are gone again.
                for job in group:
                    job.error = error
            if not self._jobs:
                # The answer to this call wakes the reactor anyhow; once is enough.
                return group
            self.reactor.callFromThread(_settle, group)

    def _take_group(self) -> list[_Job]:
        group: list[_Job] = []
        now = self.reactor.seconds()
        while self._jobs and len(group) < _GROUP:
            job = self._jobs.popleft()
            if now > job.deadline:
                job.error = Unavailable()
            group.append(job)
        return group

    async def _aside(self, fn: Callable[[str], T]) -> T:
        if self._readers is None:
            raise Unavailable
        return await self._readers.aside(fn, self._path)


def _settle(group: list[_Job]) -> None:
    for job in group:
        job.settle()


def _prepare(group: list[_Job]) -> None:
    """Run what some want to have done before the transaction begins; those that fail in it take no part."""
    for job in group:
        if job.before is not None and job.error is None:
            try:
                job.before()
            except BaseException as error:
                job.error = error


def _read(link: Link, body: Callable[[Cursor], T], meter: Meter) -> T:
    try:
        return body(SqliteCursor(link.raw, meter))
    except Conflict:
        raise Unavailable from None


def _commit_group(raw: sqlite3.Connection, group: list[_Job]) -> None:
    """Run the jobs in one transaction and fill in what came of each. Raises what made all of them fail."""
    if all(job.error is not None for job in group):
        return
    try:
        raw.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        for job in group:
            if job.error is None:
                _run_job(raw, job, alone=len(group) == 1)
        committing = time.perf_counter()
        # A lone job that failed has rolled back. For one that succeeded there must be something to commit, or it fails.
        if raw.in_transaction or any(job.error is None for job in group):
            raw.execute("COMMIT")
    except BaseException as error:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise translated(error) from error
        raise
    for job in group:
        job.meter.commit_seconds = time.perf_counter() - committing


def _run_job(raw: sqlite3.Connection, job: _Job, *, alone: bool) -> None:
    """Run one job and note what came of it. Raises Conflict when SQLite gave up the whole.

    In a savepoint, for which SQLite copies each page it changes; `alone`, it needs none, and the transaction is
    rolled back when it fails.
    """
    if not alone:
        raw.execute("SAVEPOINT job")
    try:
        job.result = job.body(SqliteCursor(raw, job.meter))
    except BaseException as error:
        job.error = error
        if not raw.in_transaction:
            raise Conflict("busy") from error
        raw.execute("ROLLBACK" if alone else "ROLLBACK TO job")
    if not alone:
        raw.execute("RELEASE job")
