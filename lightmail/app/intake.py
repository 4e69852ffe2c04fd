"""The rows, the objects and what makes blobs of messages: what verbs need that bring messages in or out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lightmail.app import Stores, with_stores
from lightmail.config import Config
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.objects.writers import open_writers
from lightmail.operations.recovery import require_whole

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intake(Stores):
    """The stores, with blobs and spools on them."""

    blobs: Blobs
    spools: Spools


async def with_intake(config: Config, work: Callable[[Intake], Awaitable[T]], reactor: Any, *, writing: bool) -> T:
    """As `with_stores`, with blobs and spools; both stores are checked first. Without `writing`, blobs are only read.

    Raises StartupError where a store cannot be used, or is not whole.
    """
    storage, limits = config.storage, config.limits
    writers = open_writers(storage, config.s3, limits.object_threads, reactor=reactor)

    async def with_blobs(stores: Stores) -> T:
        await require_whole(stores.database)
        pool = stores.pool
        spools = Spools(pool, storage.spool_directory, limits.spool_memory_octets, limits.spool_total_octets)
        await pool.run(stores.objects.check)
        if writing:
            await pool.run(spools.check)
            writers.start()
        blobs = Blobs(
            stores.objects,
            pool,
            codec=storage.compression,
            level=storage.level,
            directory=storage.spool_directory,
            writers=writers if writing else None,
        )
        try:
            return await work(Intake(stores.database, stores.transactions, stores.objects, pool, blobs, spools))
        finally:
            if writing:
                await writers.stop()

    return await with_stores(config, with_blobs, reactor)
