"""What processes write down of their metrics each minute, for the plots of the admin web."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from lightmail import metrics
from lightmail.jobs.samples import Sampler
from lightmail.operations import samples as operations
from lightmail.store import samples
from lightmail.store.samples import KEPT_SECONDS, MINUTE, QUARTER, TWO_HOURS, Sample
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

# A time at which spans of all lengths begin.
NOW = 1_800_000_000 - 1_800_000_000 % TWO_HOURS


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("rows")
    with fresh_config(request.param, directory) as config, open_store(config) as opened:
        yield opened


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    store.execute("DELETE FROM samples")


def _since(store: Store, step: int, since_us: int = 0) -> list[Sample]:
    return run(store.database.read("test", samples.since_txn, step, since_us))


def test_what_a_process_says_again_replaces_what_it_said(store: Store) -> None:
    for value in (1, 2):
        run(operations.write(store.database, b"a" * 16, [Sample(MINUTE, 60, {"x": value}, {"y": 0}, {"z": 1.23456})]))
    run(operations.write(store.database, b"b" * 16, [Sample(MINUTE, 60, {"x": 5}), Sample(QUARTER, 0, {"x": 6})]))
    first, second = _since(store, MINUTE)
    assert (first.counts, first.levels, first.peaks) == ({"x": 2}, {}, {"z": 1.235})
    assert second.counts == {"x": 5}
    assert [each.counts for each in _since(store, QUARTER)] == [{"x": 6}]
    assert _since(store, MINUTE, 61) == []


def test_rows_are_kept_for_as_long_as_they_are_shown(store: Store) -> None:
    now_us = time.time_ns() // 1000
    for step, seconds in KEPT_SECONDS.items():
        for age in (seconds - 60, seconds + 60):
            run(operations.write(store.database, b"a" * 16, [Sample(step, now_us - age * 1_000_000)]))
    assert run(operations.forget(store.database)) == len(KEPT_SECONDS)
    assert [len(_since(store, step)) for step in KEPT_SECONDS] == [1, 1, 1]


def test_minutes_are_added_up_to_longer_spans(store: Store) -> None:
    now = NOW
    sampler = call(lambda: Sampler(store.database, b"a" * 16, reactor=Clock(), clock=lambda: now))
    for minute in range(1, 17):
        metrics.EMAILS_RECEIVED.labels("delivered").inc(minute)
        metrics.GARBAGE_BACKLOG.labels("objects").set(100 - minute)
        now = NOW + minute * MINUTE + 3
        run(sampler.sample())
    by_minute, quarters, hours = (_since(store, step) for step in (MINUTE, QUARTER, TWO_HOURS))
    assert [each.began_us for each in by_minute] == [(NOW + n * MINUTE) * 1_000_000 for n in range(16)]
    assert [each.counts["delivered"] for each in by_minute] == list(range(1, 17))
    assert [each.counts["delivered"] for each in quarters] == [sum(range(1, 16)), 16]
    assert [each.counts["delivered"] for each in hours] == [sum(range(1, 17))]
    assert [each.peaks["garbage"] for each in hours] == [max(each.peaks["garbage"] for each in by_minute)]


def test_every_series_is_read_of_the_metrics_as_they_are(store: Store) -> None:
    now = NOW
    sampler = call(lambda: Sampler(store.database, b"a" * 16, reactor=Clock(), clock=lambda: now))
    metrics.LOGINS.labels("imap", "ok").inc(2)
    metrics.LOGINS.labels("pop3", "failed").inc(3)
    metrics.DELIVERY_SECONDS.observe(0.5)
    metrics.OBJECT_CALLS.labels("put", "ok").inc(4)
    metrics.OBJECT_CALLS.labels("keys", "failed").inc(1)
    metrics.OBJECT_CALLS.labels("read", "ok").inc(6)
    metrics.OBJECT_OCTETS.labels("read").inc(7)
    metrics.OBJECT_OCTETS.labels("written").inc(8)
    metrics.CACHE_HITS.labels("memory", "hit").inc(9)
    metrics.CACHE_HITS.labels("memory", "miss").inc(1)
    metrics.DATABASE_FAILURES.inc(2)
    now = NOW + MINUTE + 1
    run(sampler.sample())
    (found,) = _since(store, MINUTE)
    wanted = {
        "logins": 2,
        "failed_logins": 3,
        "deliveries": 1,
        "delivery_seconds": 0.5,
        "object_writes": 5,
        "object_failures": 1,
        "object_reads": 6,
        "octets_read": 7,
        "octets_written": 8,
        "cache_hits": 9,
        "cache_lookups": 10,
        "database_failures": 2,
    }
    assert {name: found.counts.get(name) for name in wanted} == wanted


def test_a_span_that_nobody_could_write_is_made_up_for_by_the_longer_ones(store: Store) -> None:
    now = NOW
    sampler = call(lambda: Sampler(store.database, b"a" * 16, reactor=Clock(), clock=lambda: now))
    for minute in (1, 2):
        metrics.EMAILS_RECEIVED.labels("delivered").inc(minute)
        now = NOW + minute * MINUTE + 1
        run(sampler.sample())
        if minute == 1:
            store.execute("DELETE FROM samples")
    assert [each.counts["delivered"] for each in _since(store, QUARTER)] == [3]
