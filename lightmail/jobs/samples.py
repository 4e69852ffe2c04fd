"""Each minute a process writes down what it did and had: of its metrics, those that the admin web draws.

Only what changed since the minute before is added up, so that the rows of all processes can be summed; and a process
that was started again goes on in rows of its own.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lightmail import metrics
from lightmail.operations import samples as operations
from lightmail.rounds import Rounds
from lightmail.store.database import Database
from lightmail.store.samples import KEPT_SECONDS, MINUTE, Sample

_DEADLINE_SECONDS: Final = 30.0
# Rows that are old are looked for once an hour.
_FORGET_ROUNDS: Final = 60

Labels = Mapping[str, str]


def _any(_: Labels) -> bool:
    return True


def _of(name: str, *values: str) -> Callable[[Labels], bool]:
    return lambda labels: labels[name] in values


@dataclass(frozen=True, slots=True)
class _Sum:
    """A series made of a metric: the sum of those of its samples called `sample` whose labels are wanted."""

    series: str
    metric: Any
    sample: str
    wanted: Callable[[Labels], bool] = _any


_COUNTS: Final = (
    _Sum("delivered", metrics.EMAILS_RECEIVED, "_total", _of("result", "delivered", "duplicate")),
    _Sum("deferred", metrics.EMAILS_RECEIVED, "_total", _of("result", "deferred")),
    _Sum("refused", metrics.EMAILS_RECEIVED, "_total", _of("result", "refused")),
    _Sum("delivery_seconds", metrics.DELIVERY_SECONDS, "_sum"),
    _Sum("deliveries", metrics.DELIVERY_SECONDS, "_count"),
    _Sum("logins", metrics.LOGINS, "_total", _of("result", "ok")),
    _Sum("failed_logins", metrics.LOGINS, "_total", _of("result", "failed", "disabled")),
    _Sum("database_calls", metrics.DATABASE_ROUND_TRIPS, "_total"),
    _Sum("database_failures", metrics.DATABASE_FAILURES, "_total"),
    # Priced alike by those who sell the space: a listing costs as much as a write.
    _Sum("object_writes", metrics.OBJECT_CALLS, "_total", _of("call", "put", "keys")),
    _Sum("object_reads", metrics.OBJECT_CALLS, "_total", _of("call", "read", "size")),
    _Sum("object_failures", metrics.OBJECT_CALLS, "_total", _of("result", "missing", "unavailable", "failed")),
    _Sum("octets_read", metrics.OBJECT_OCTETS, "_total", _of("direction", "read")),
    _Sum("octets_written", metrics.OBJECT_OCTETS, "_total", _of("direction", "written")),
    _Sum("cache_hits", metrics.CACHE_HITS, "_total", _of("result", "hit")),
    _Sum("cache_lookups", metrics.CACHE_HITS, "_total"),
)
_LEVELS: Final = tuple(
    _Sum(f"sessions_{protocol}", metrics.SESSIONS, "", _of("protocol", protocol))
    for protocol in ("imap", "pop3", "lmtp")
)
_PEAKS: Final = (_Sum("garbage", metrics.GARBAGE_BACKLOG, ""),)


@dataclass(slots=True)
class _Span:
    """What was added up of a span so far."""

    began_us: int = -1
    counts: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, float] = field(default_factory=dict)


class Sampler(Rounds):
    """Writes the samples of a process. `clock` gives Unix seconds."""

    def __init__(
        self, database: Database, process: bytes, *, reactor: Any, clock: Callable[[], float] = time.time
    ) -> None:
        # Just after the minute is over, not all processes in the same moment.
        self._lag_seconds = random.uniform(0.5, 5.0)
        super().__init__(
            self.sample,
            reactor=reactor,
            interval_seconds=lambda: MINUTE - (clock() - self._lag_seconds) % MINUTE,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="samples of the metrics cannot be written",
            recovery="samples of the metrics are written again",
        )
        self._database = database
        self._process = process
        self._clock = clock
        self._known = _read(_COUNTS)
        self._spans = {step: _Span() for step in KEPT_SECONDS}
        self._rounds = 0

    async def sample(self) -> None:
        """Add up the minute that is over, and write it down. Raises Unavailable: its minute then has no row."""
        counts = _read(_COUNTS)
        done = {name: value - self._known[name] for name, value in counts.items()}
        self._known = counts
        levels, peaks = _read(_LEVELS), _read(_PEAKS)
        middle = int(self._clock() - MINUTE / 2)
        for step, span in self._spans.items():
            began_us = (middle - middle % step) * 1_000_000
            if span.began_us != began_us:
                span = self._spans[step] = _Span(began_us)
            span.counts.update(done)
            span.levels.update(levels)
            span.peaks = {name: max(value, span.peaks.get(name, 0.0)) for name, value in peaks.items()}
        said = [Sample(step, span.began_us, span.counts, span.levels, span.peaks) for step, span in self._spans.items()]
        await operations.write(self._database, self._process, said)
        self._rounds += 1
        if self._rounds % _FORGET_ROUNDS == 1:
            await operations.forget(self._database)


def _read(sums: Iterable[_Sum]) -> dict[str, float]:
    """The series as they stand."""
    found: dict[str, float] = {}
    collected: dict[int, list[Any]] = {}
    for each in sums:
        if id(each.metric) not in collected:
            collected[id(each.metric)] = list(each.metric.collect())
        families = collected[id(each.metric)]
        found[each.series] = sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == family.name + each.sample and each.wanted(sample.labels)
        )
    return found
