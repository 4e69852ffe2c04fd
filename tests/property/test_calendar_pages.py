"""What happens in a calendar: in order, nothing twice, and the same by pages of any size, across changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.calendars.occurrences import Happening, Position, Recurring, happenings
from lightmail.calendars.recurrence import EVER_US, Change, Length, Recurrence, Window
from lightmail.calendars.rules import DAILY, MONTHLY, WEEKLY, Rule

HOUR_US = 3_600_000_000
# Clocks change in this time in all of the zones, in Samoa a day is left out, and in Lord Howe it is half an hour.
BEGIN = datetime(2011, 12, 20)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe")
EVER = Position(EVER_US, 0, 0)


def us(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000


@st.composite
def recurrences(draw: Any) -> Recurrence:
    first = BEGIN + timedelta(minutes=30 * draw(st.integers(0, 48 * 120)))
    rule = Rule(
        draw(st.sampled_from([DAILY, WEEKLY, MONTHLY])),
        draw(st.integers(1, 3)),
        until=draw(st.none() | st.just(first + timedelta(days=40))),
        hours=draw(st.sampled_from([(), (1, 2, 3), (2,)])),
    )
    length = draw(st.sampled_from([Length(), Length(0, HOUR_US), Length(1), Length(2, HOUR_US)]))
    dates = {
        first + timedelta(days=day): draw(st.none() | st.just(length))
        for day in draw(st.sets(st.integers(0, 60), max_size=3))
    }
    without = frozenset(first + timedelta(days=day) for day in draw(st.sets(st.integers(0, 60), max_size=3)))
    changes = {}
    for day in draw(st.sets(st.integers(0, 60), max_size=2)):
        starts_us = us(first + timedelta(days=day, hours=draw(st.integers(-48, 48))))
        changes[first + timedelta(days=day)] = Change(
            starts_us, starts_us + HOUR_US, draw(st.none() | st.just("changed"))
        )
    return Recurrence(draw(st.sampled_from(ZONES)), first, length, (rule,), dates, without, changes)


def test_two_times_of_one_moment_are_one_occurrence() -> None:
    """At two the clock says three: who comes at two and at three comes once."""
    first = datetime(2012, 3, 11)
    found = Recurrence("America/New_York", first, Length(), (Rule(DAILY, hours=(2, 3), minutes=(0, 30)),))
    day = happenings([], [Recurring(1, "event", found)], Window(us(first), us(first) + 28 * HOUR_US), EVER, 100)
    assert [(each.starts_us - us(first)) / HOUR_US for each in day] == [5, 7, 7.5]


@settings(max_examples=60, deadline=None)
@given(st.lists(recurrences(), min_size=1, max_size=4), st.integers(1, 7), st.integers(0, 150), st.integers(0, 60))
def test_pages_of_any_size_come_to_the_same(found: list[Recurrence], limit: int, late: int, days: int) -> None:
    recurring = [Recurring(number + 1, f"event {number}", each) for number, each in enumerate(found)]
    begin = us(BEGIN + timedelta(days=late))
    window = (begin, begin + days * 24 * HOUR_US)
    whole = happenings([], recurring, Window(*window), EVER, 100_000)
    assert whole == sorted(whole)
    assert len({each.position for each in whole}) == len(whole)
    assert all(Window(*window).has(each.starts_us, each.ends_us) for each in whole)
    pages: list[Happening] = []
    while True:
        after = pages[-1].position if pages else EVER
        page = happenings([], recurring, Window(*window, after.starts_us), after, limit)
        pages += page
        if len(page) < limit:
            break
    assert pages == whole


@settings(max_examples=60, deadline=None)
@given(recurrences(), st.integers(0, 150), st.integers(1, 60))
def test_a_window_has_what_all_of_time_has_of_it(found: Recurrence, late: int, days: int) -> None:
    recurring = [Recurring(1, "event", found)]
    begin = us(BEGIN + timedelta(days=late))
    window = Window(begin, begin + days * 24 * HOUR_US)
    ever = happenings([], recurring, Window(0, us(BEGIN + timedelta(days=400))), EVER, 100_000)
    assert happenings([], recurring, window, EVER, 100_000) == [
        each for each in ever if window.has(each.starts_us, each.ends_us)
    ]


@settings(max_examples=60, deadline=None)
@given(recurrences())
def test_the_span_holds_all_occurrences(found: Recurrence) -> None:
    starts_us, ends_us = found.span()
    for each in happenings([], [Recurring(1, "event", found)], Window(0, us(BEGIN + timedelta(days=400))), EVER, 1000):
        assert starts_us <= each.starts_us
        assert ends_us is None or each.ends_us <= ends_us
