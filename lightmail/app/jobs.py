"""The runner of jobs, on threads of its own: what it does waits for mail, and mail never for it."""

from __future__ import annotations

from typing import Any, Final

from lightmail.app.backends import Backends
from lightmail.app.lifecycle import Part, Parts
from lightmail.config import Config
from lightmail.jobs.requested import RUNS, THREADS, Hands, JobRunner
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.threads import BoundedPool

# Batches of as many imports as may run at once; none of them waits for anybody but the others.
_QUEUE: Final = 4000
_WAIT_SECONDS: Final = 600.0
# A job that is stopped ends the batch that it is at.
_STOP_SECONDS: Final = 20.0


async def start_jobs(config: Config, parts: Parts, backends: Backends, reactor: Any) -> None:
    """Run jobs in this server, if [api] says so."""
    if config.api is None or not config.api.jobs_at_once:
        return
    storage, limits = config.storage, config.limits
    pool = BoundedPool("jobs", THREADS, _QUEUE, reactor=reactor, wait_seconds=_WAIT_SECONDS)
    blobs = Blobs(
        backends.objects, pool, codec=storage.compression, level=storage.level, directory=storage.spool_directory
    )
    spools = Spools(pool, storage.spool_directory, limits.spool_memory_octets, limits.spool_total_octets)
    may_collect = backends.epochs.begin_pass
    hands = Hands(config, backends.transactions, backends.objects, pool, blobs, spools, may_collect)
    runner = JobRunner(hands, RUNS, backends.desk, config.api.jobs_at_once, reactor=reactor)

    async def start() -> None:
        pool.start()
        runner.start()

    async def stop() -> None:
        await runner.stop()
        await pool.stop()

    await parts.start(Part("jobs", start, stop, _STOP_SECONDS))
