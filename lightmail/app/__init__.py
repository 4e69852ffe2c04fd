"""The only place that names concrete backends: what a server is made of (`build`), and the rows for administration."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lightmail.config import Config, DatabaseConfig
from lightmail.errors import StartupError
from lightmail.notify.hints import Notifier
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.operations.events import Events
from lightmail.operations.transactions import Transactions
from lightmail.store.database import Database, open_database
from lightmail.threads import BoundedPool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows without the objects: what administration needs."""

    database: Database
    transactions: Transactions


@dataclass(frozen=True, slots=True)
class Stores(Rows):
    """The rows and the objects, and the threads to call the object store in."""

    objects: ObjectStore
    pool: BoundedPool


async def with_rows(
    config: Config, work: Callable[[Rows], Awaitable[T]], reactor: Any, *, migrating: bool = False
) -> T:
    """The result of `work` on the configured database, which is closed afterwards.

    It is checked first, unless `migrating`. Raises StartupError where it cannot be used.
    """
    make_database_directory(config.database)
    database = open_database(config.database, reactor=reactor)
    await database.start()
    try:
        if not migrating:
            await bring_up(config, database)
        transactions = Transactions(database, Notifier(reactor), reactor=reactor, events=Events(config.webhook.wanted))
        return await work(Rows(database, transactions))
    finally:
        await database.stop()


async def with_stores(config: Config, work: Callable[[Stores], Awaitable[T]], reactor: Any) -> T:
    """As `with_rows`, with the objects; the object store is not checked first."""
    limits = config.limits
    pool = BoundedPool("objects", limits.object_threads, limits.object_queue, reactor=reactor)

    async def with_objects(rows: Rows) -> T:
        pool.start()
        try:
            return await work(Stores(rows.database, rows.transactions, open_store(config.storage, config.s3), pool))
        finally:
            await pool.stop()

    return await with_rows(config, with_objects, reactor)


async def bring_up(config: Config, database: Database) -> None:
    """Check the database; an embedded one migrates itself first. Raises StartupError."""
    if config.embedded and config.database.driver == "sqlite":
        await database.migrate()
    await database.check()


def make_database_directory(config: DatabaseConfig) -> None:
    """SQLite makes its file, not the directory. Raises StartupError."""
    if config.driver == "sqlite":
        make_directory("[database] path", os.path.dirname(config.path))


def make_directory(where: str, path: str) -> None:
    """Make a directory for the server alone, unless it exists. Raises StartupError, which begins with `where`."""
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{where}: {path} cannot be made: {error.strerror}; check its parent's owner") from None
