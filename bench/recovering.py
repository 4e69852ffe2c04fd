"""What recovering costs: ``python -m bench recover`` rebuilds rows from a bucket, first part by part, then as a whole.

Messages are of about 10 KiB, all in one mailbox, and journalled. The parts are done one after another, in one thread;
in the whole, rows are written while objects are read. What the recovery's own processes ask of the store is not
counted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from bench.filling import fill
from bench.journalling import journal_of
from bench.sites import Cost, Site, open_rows
from lightmail.config import StorageConfig
from lightmail.jobs.recover.examine import Examiners, examine
from lightmail.jobs.recover.run import Recovery, Report
from lightmail.jobs.recover.scratch import Scratch
from lightmail.model import StoredBlob
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.keys import PREFIX
from lightmail.operations import recovery as operations
from lightmail.threads import BoundedPool
from tests.support import storekit
from tests.support.garbagekit import reactor
from tests.support.reactor import call, run

_KEYS_AT_ONCE = 1000
# As `jobs.recover.run` has it.
_BATCH = 32
_OBJECT_BOUND = 1 << 20
_PROCESSES = (1, 2)


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of the parts of a recovery, and of all of it with one process that reads and with two."""
    account = site.store.account()
    fill(site, account, site.store.mailbox(account).id, count)
    run(journal_of(site).round(), 600)
    keys: list[str] = []
    yield site.measure("list keys", count, "messages", lambda: site.pool.run(lambda: keys.extend(_keys(site.objects))))
    assert len(keys) == count
    yield site.measure("read objects", count, "messages", lambda: site.pool.run(_read, site.objects, keys))
    held = open_store(StorageConfig(driver="memory"), None)
    for key in keys:
        held.put(key, site.objects.read(key, 0, _OBJECT_BOUND))
    blobs: list[StoredBlob] = []
    yield site.measure(
        "expand, hash and render", count, "messages", lambda: site.pool.run(lambda: blobs.extend(_examined(held, keys)))
    )
    with _empty(site) as rows:
        yield rows.measure("rows of objects", count, "messages", lambda: _add(rows.store, blobs))
    yield _whole(site, "dry run, 1 process", count, 1, lambda recovery, _: recovery.rehearse())
    for processes in _PROCESSES:
        step = f"the whole, {processes} process{'es' if processes > 1 else ''}"
        yield _whole(site, step, count, processes, lambda recovery, store: recovery.run(store.tx))


def _keys(store: ObjectStore) -> Iterator[str]:
    after = ""
    while page := store.keys(PREFIX, after, _KEYS_AT_ONCE):
        yield from page
        after = page[-1]


def _read(store: ObjectStore, keys: Sequence[str]) -> None:
    for key in keys:
        store.read(key, 0, _OBJECT_BOUND)


def _examined(store: ObjectStore, keys: Sequence[str]) -> Iterator[StoredBlob]:
    for key in keys:
        found = examine(store, key)
        assert found.blob is not None
        yield found.blob


async def _add(store: storekit.Store, blobs: Sequence[StoredBlob]) -> None:
    for start in range(0, len(blobs), _BATCH):
        await operations.add_objects(store.tx, blobs[start : start + _BATCH])


@contextlib.contextmanager
def _empty(site: Site) -> Iterator[Site]:
    """The site with another database, in which there is nothing."""
    with contextlib.ExitStack() as stack:
        store = open_rows(site.name, site.home, stack)
        store.execute("DELETE FROM domains")
        yield replace(site, store=store)


def _whole(
    site: Site,
    step: str,
    count: int,
    processes: int,
    work: Callable[[Recovery, storekit.Store], Awaitable[Report]],
) -> Cost:
    scribe = BoundedPool("scratch", 1, 10, reactor=reactor)
    call(scribe.start)
    with _empty(site) as empty, contextlib.closing(Scratch(str(site.home))) as scratch:
        try:
            return empty.measure(step, count, "messages", lambda: _recover(empty, processes, scribe, scratch, work))
        finally:
            run(scribe.stop())


async def _recover(
    site: Site,
    processes: int,
    scribe: BoundedPool,
    scratch: Scratch,
    work: Callable[[Recovery, storekit.Store], Awaitable[Report]],
) -> None:
    examiners = Examiners(site.storage, site.s3, site.objects, site.pool, processes)
    try:
        recovery = Recovery(site.objects, examiners, site.pool, scribe, scratch, lambda *_: None)
        report = await work(recovery, site.store)
        assert report.examined == report.objects
        assert not report.damaged_objects
    finally:
        examiners.close()
        # Their CPU time is known for certain when they are gone.
        await site.pool.run(_wait_for_processes)


def _wait_for_processes() -> None:
    for process in multiprocessing.active_children():
        process.join()
