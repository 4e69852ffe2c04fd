"""The pulse beats while there is work, observes how late each beat is, and rests when there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent, globalLogPublisher

from lightmail import stalls
from lightmail.stalls import BEAT_SECONDS, TOLD_SECONDS, StallMeter
from tests.support.reactor import run


class Held:
    """A reactor that can be held: time passes, and nothing runs until it comes round again."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.observed: list[float] = []
        self.passed = 0.0
        self.meter = StallMeter(self.clock, observe=self.observed.append, seconds=self.now)

    def now(self) -> float:
        return self.clock.seconds() + self.passed

    def hold(self, seconds: float) -> None:
        """Work for so long without letting anything else run, and then let it."""
        self.passed += seconds
        self.clock.advance(0)

    def beats(self, seconds: float) -> int:
        """How often the process is woken within a time."""
        before = len(self.observed)
        for _ in range(round(seconds * 1000)):
            self.clock.advance(0.001)
        return len(self.observed) - before


@pytest.fixture
def held() -> Iterator[Held]:
    holder = Held()
    holder.meter.startService()
    yield holder
    holder.meter.stopService()
    assert holder.clock.getDelayedCalls() == []


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []

    def hear(event: dict[str, object]) -> None:
        if event.get("log_namespace") == "lightmail.stalls":
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(hear)
    yield lines
    globalLogPublisher.removeObserver(hear)


def test_a_quiet_server_is_never_woken(held: Held) -> None:
    assert held.beats(60) == 0


def test_after_its_last_work_it_rests_within_a_beat(held: Held) -> None:
    stalls.stirred("imap")
    held.clock.advance(0)  # in the turn that works anyway
    assert held.beats(1) == 1
    assert held.beats(60) == 0


def test_it_beats_as_long_as_there_is_work(held: Held) -> None:
    woken = 0
    for _ in range(100):
        stalls.stirred("imap")
        woken += held.beats(0.010)
    assert 40 <= woken <= 55


def test_the_first_work_after_a_quiet_time_is_measured_whole(held: Held) -> None:
    stalls.stirred("imap")
    held.hold(0.080)
    assert held.observed == [pytest.approx(0.080)]


def test_later_work_is_measured_but_for_less_than_one_beat(held: Held) -> None:
    stalls.stirred("imap")
    held.beats(0.005)
    stalls.stirred("imap")
    held.passed += 0.080
    held.beats(0.1)
    assert 0.080 - BEAT_SECONDS < max(held.observed) <= 0.081


def test_a_long_stall_is_told_once_in_a_while_with_what_began_last(held: Held, said: list[str]) -> None:
    stalls.stirred("imap")
    held.hold(TOLD_SECONDS / 2)
    assert said == []
    for _ in range(3):
        held.beats(1)
        stalls.stirred("database")
        held.hold(TOLD_SECONDS * 2)
    assert len(said) == 1
    assert "500 ms" in said[0]
    assert "database" in said[0]
    held.beats(11)
    stalls.stirred("imap")
    held.hold(TOLD_SECONDS * 2)
    assert len(said) == 2
    assert "2 more" in said[1]


def test_a_held_reactor_is_seen() -> None:
    observed: list[float] = []

    async def hold() -> None:
        meter = StallMeter(reactor, observe=observed.append)
        meter.startService()
        stalls.stirred("a test")
        time.sleep(0.080)  # noqa: ASYNC251
        await deferLater(reactor, 0.001)
        meter.stopService()

    run(hold())
    assert observed[0] >= 0.080


def test_nobody_needs_a_meter() -> None:
    stalls.stirred("imap")


def test_a_stopped_meter_hears_nothing() -> None:
    held = Held()
    held.meter.startService()
    stalls.stirred("imap")
    held.meter.stopService()
    assert held.clock.getDelayedCalls() == []
    stalls.stirred("imap")
    assert held.clock.getDelayedCalls() == []
