"""What collecting costs: ``python -m bench garbage`` expunges messages and lets the collector take them away.

Batches are as configured by default; the pauses between them are left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from bench.sites import Cost, Site
from lightmail.config import GarbageConfig
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.jobs.garbage.objects import ObjectSteps
from lightmail.jobs.garbage.orphans import OrphanStep
from lightmail.jobs.garbage.rows import RowSteps
from lightmail.jobs.garbage.step import HOUR_US, Moment, Step
from lightmail.model import StoredBlob
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations.append import NewMessage, append
from lightmail.operations.expunge import expunge
from lightmail.store import collection
from tests.support import storekit
from tests.support.reactor import run

_AT_ONCE = 200
_PASSES = 50
_HEADER = b"Subject: a message as long as headers are\r\n" * 20 + b"\r\n"


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of messages that are expunged, purged, and deleted."""
    account = site.store.account()
    mailbox = site.store.mailbox(account).id
    for start in range(0, count, _AT_ONCE):
        new = [NewMessage(_stored(site.objects), (), storekit.NOW_US) for _ in range(min(_AT_ONCE, count - start))]
        run(append(site.store.tx, account, mailbox, new))
    site.store.execute("UPDATE messages SET flags = 8 WHERE mailbox = %s", mailbox)
    config = GarbageConfig(undelete_days=0)
    now_us = run(site.store.database.read("clock", collection.clock_txn))
    rows, objects = RowSteps(site.store.tx), ObjectSteps(site.store.database, site.objects, site.pool)
    orphans = OrphanStep(site.store.database, site.objects, site.pool)
    collector = Collector(config, site.store.database, steps(site.store.tx, site.objects, site.pool), _allowed)

    def at(hours: int, *, everything: bool = False) -> Moment:
        return Moment.of(config, now_us + hours * HOUR_US, everything=everything)

    run(collector.once(now_us))
    known = "look at keys, all known"
    yield site.measure(known, count, "keys", lambda: _all(orphans.look, at(25, everything=True)))
    yield site.measure(
        "expunge, for comparison", count, "messages", lambda: expunge(site.store.tx, account, mailbox, None)
    )
    yield site.measure("purge rows, condemn objects", count, "messages", lambda: _all(rows.messages, at(1)))
    yield site.measure("delete objects and their rows", count, "messages", lambda: _all(objects.delete, at(26)))
    yield site.measure("a pass with nothing to do", _PASSES, "passes", lambda: _passes(collector))


async def _passes(collector: Collector) -> None:
    for _ in range(_PASSES):
        await collector.once()


async def _all(step: Step, moment: Moment) -> None:
    while (await step(moment)).worked:
        pass


async def _allowed() -> bool:
    return True


def _stored(objects: ObjectStore) -> StoredBlob:
    key = object_keys.new_key("zstd", time.time_ns() // 1000)
    objects.put(key, b"x" * 2000)
    return replace(storekit.blob(header=_HEADER), key=key, born_us=object_keys.born_us(key), stored_octets=2000)
