"""Garbage in cycles is found when nobody is being served, and what was there at the start is not looked at."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest
from twisted.internet.task import Clock

from lightmail import stalls
from lightmail.cycles import QuietCollector
from lightmail.stalls import StallMeter


class Knot:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The time of a server that has started: its meter of stalls, and its collector."""
    clock = Clock()
    meter = StallMeter(clock, observe=lambda seconds: None, seconds=clock.seconds)
    collector = QuietCollector(clock)
    meter.startService()
    collector.startService()
    yield clock
    collector.stopService()
    meter.stopService()
    assert clock.getDelayedCalls() == []


def grown_old() -> ref[Knot]:
    """What is left of garbage that only a full search finds."""
    knot = Knot()
    for _ in range(6):
        gc.collect(1)
    return ref(knot)


def test_a_quiet_server_is_searched_whole(clock: Clock) -> None:
    garbage = grown_old()
    assert garbage() is not None
    clock.advance(60)
    assert garbage() is None


def test_a_server_at_work_is_not_searched_until_it_rests(clock: Clock) -> None:
    garbage = grown_old()
    for _ in range(10):
        stalls.stirred("a client")
        clock.advance(30)
        stalls.stirred("a client")
    assert garbage() is not None
    clock.pump([0.02] * 3)
    clock.advance(30)
    assert garbage() is None


def test_what_was_there_at_the_start_is_not_looked_at_until_the_end() -> None:
    before, thresholds = gc.get_freeze_count(), gc.get_threshold()
    clock = Clock()
    collector = QuietCollector(clock)
    collector.startService()
    try:
        assert gc.get_freeze_count() > before + 1000
        assert gc.get_threshold()[2] > thresholds[2]
    finally:
        collector.stopService()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
