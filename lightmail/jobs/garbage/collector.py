"""A pass: one batch of each step, if the collector may collect at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from twisted.logger import Logger

from lightmail.config import GarbageConfig
from lightmail.errors import Unavailable
from lightmail.jobs.garbage.calendars import CalendarSteps
from lightmail.jobs.garbage.objects import ObjectSteps
from lightmail.jobs.garbage.orphans import OrphanStep
from lightmail.jobs.garbage.rows import RowSteps
from lightmail.jobs.garbage.snapshots import SnapshotSteps
from lightmail.jobs.garbage.step import Done, Moment, Step
from lightmail.metrics import GARBAGE_BACKLOG, GARBAGE_COLLECTED, GARBAGE_LAST_PASS, GARBAGE_OCTETS
from lightmail.objects.backends import ObjectStore
from lightmail.operations import housekeeping, progress
from lightmail.operations.transactions import Transactions
from lightmail.store import collection, ledger
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

log = Logger()

LAST_PASS: Final = "garbage"
_HOUSEKEEPING_SECONDS: Final = 600.0


@dataclass(slots=True)
class Pass:
    """What a pass did: how many of each kind, octets freed; `more` says that another should follow soon."""

    frozen: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    octets: int = 0
    more: bool = False

    def add(self, done: Done) -> None:
        """Count what a step did."""
        self.counts.update({kind: count for kind, count in done.counts.items() if count})
        self.octets += done.octets
        self.more = self.more or done.worked


def steps(tx: Transactions, store: ObjectStore, pool: BoundedPool) -> list[Step]:
    """The steps of a pass, in order: what one drops is seen by the next."""
    rows = RowSteps(tx)
    objects = ObjectSteps(tx.database, store, pool)
    orphans = OrphanStep(tx.database, store, pool)
    snapshots = SnapshotSteps(tx.database, store, pool)
    calendars = CalendarSteps(tx.database, store, pool)
    return [
        rows.messages,
        rows.mailboxes,
        rows.keywords,
        objects.sweep,
        objects.quarantined,
        objects.delete,
        snapshots.dropped,
        orphans.look,
        snapshots.leftovers,
        calendars.purge,
        calendars.dropped,
    ]


class Collector:
    """Runs passes. `may_collect` is asked before each, and counts it (`jobs.epochs`).

    `clock` tells this machine's time, Unix seconds, against which the database's is checked.
    """

    def __init__(
        self,
        config: GarbageConfig,
        database: Database,
        steps: Sequence[Step],
        may_collect: Callable[[], Awaitable[bool]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._database = database
        self._steps = steps
        self._may_collect = may_collect
        self._clock = clock
        self._kept_house: float | None = None

    async def once(self, now_us: int | None = None, *, everything: bool = False) -> Pass:
        """Run a pass, at `now_us` (Unix us) instead of the database's own time where that is given.

        Raises Unavailable when database or store do not answer, or the clocks are apart; what was done stays done.
        """
        began = self._database.reactor.seconds()
        done = Pass()
        # What only made old writes repeatable is forgotten in a frozen store, too.
        await self._keep_house(done)
        if not await self._may_collect():
            done.frozen = True
        else:
            if now_us is None:
                now_us = await self._now()
            moment = Moment.of(self._config, now_us, everything=everything)
            for step in self._steps:
                await self._run(step, moment, done)
            await self._tell_backlog(moment)
        await self._note(done, self._database.reactor.seconds() - began)
        return done

    async def _keep_house(self, done: Pass) -> None:
        now: float = self._database.reactor.seconds()
        if self._kept_house is not None and now - self._kept_house < _HOUSEKEEPING_SECONDS:
            return
        self._kept_house = now
        forgotten = await housekeeping.forget(self._database)
        GARBAGE_COLLECTED.labels("old mark").inc(forgotten)
        done.counts["old mark"] += forgotten

    async def _now(self) -> int:
        now_us = await self._database.read("clock", collection.clock_txn)
        apart_us = abs(now_us - int(self._clock() * 1_000_000))
        if apart_us > ledger.CLOCK_TOLERANCE_US:
            log.error(
                "the database's clock is {hours:.1f} hours away from this machine's: nothing is collected",
                hours=apart_us / 3_600_000_000,
            )
            raise Unavailable("The database's clock is not this machine's.")
        return now_us

    async def _run(self, step: Step, moment: Moment, done: Pass) -> None:
        began = self._database.reactor.seconds()
        batch = await step(moment)
        done.add(batch)
        GARBAGE_OCTETS.inc(batch.octets)
        counts = {kind: count for kind, count in batch.counts.items() if count}
        for kind, count in counts.items():
            GARBAGE_COLLECTED.labels(kind).inc(count)
        if counts:
            log.info(
                "collected {counts}; {octets} octets freed, in {seconds:.2f} s",
                counts=text(counts),
                octets=batch.octets,
                seconds=self._database.reactor.seconds() - began,
            )

    async def _tell_backlog(self, moment: Moment) -> None:
        backlog = await self._database.read("backlog", collection.backlog_txn, moment.undelete_us, moment.grace_us)
        for kind, count in asdict(backlog).items():
            GARBAGE_BACKLOG.labels(kind).set(count)

    async def _note(self, done: Pass, seconds: float) -> None:
        state: dict[str, Any] = {
            "at_us": int(self._clock() * 1_000_000),
            "seconds": round(seconds, 3),
            "frozen": done.frozen,
            "counts": {kind: count for kind, count in done.counts.items() if count},
            "octets": done.octets,
        }
        await progress.write(self._database, LAST_PASS, state)
        GARBAGE_LAST_PASS.set(self._clock())


def text(counts: Mapping[str, int]) -> str:
    """Counts for people: ``messages 100, objects condemned 98``."""
    return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count) or "nothing"
