"""Jobs beside an API in the test process: run by it, and begun by its pages for less than they are in a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from lightmail.jobs.requested import RUNS, Hands, JobRunner
from lightmail.jobs.requested.work import Run
from lightmail.objects.spool import Spools
from lightmail.web.server import make_site
from tests.support.apikit import Api, reactor
from tests.support.reactor import call, run


@contextmanager
def leaving_to_jobs(api: Api, at_once: int) -> Iterator[Api]:
    """The same API at another port, whose pages leave to a job what is more than `at_once` messages."""
    services = replace(api.services, at_once=at_once)
    listener = call(reactor.listenTCP, 0, call(make_site, services), 50, "127.0.0.1")
    try:
        yield Api(services, api.store, listener.getHost().port)
    finally:
        run(_stop(listener))


@contextmanager
def running_jobs(api: Api, runs: Mapping[str, Run] = RUNS) -> Iterator[None]:
    """Jobs are taken up, by the process that the API is."""
    services = api.services
    spools = Spools(services.pool, None)
    hands = Hands(services.config, api.store.tx, services.objects, services.pool, services.blobs, spools, _may_collect)
    runner = JobRunner(hands, runs, services.desk, 2, reactor=reactor, interval_seconds=0.02)
    call(runner.start)
    try:
        yield
    finally:
        run(runner.stop())


async def _may_collect() -> bool:
    return True


async def _stop(listener: object) -> None:
    await listener.stopListening()  # type: ignore[attr-defined]
