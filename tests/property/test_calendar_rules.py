"""Recurrence rules: the moments that python-dateutil has for any rule, from anywhere, and no more work than allowed."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from dateutil import rrule
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lightmail.calendars.rules import DAILY, FREQUENCIES, MONTHLY, WEEKLY, YEARLY, Budget, Rule, TooMuch

PLENTY = 10_000_000
FIRSTS = st.datetimes(datetime(1990, 1, 1), datetime(2040, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
DATEUTIL = {YEARLY: rrule.YEARLY, MONTHLY: rrule.MONTHLY, WEEKLY: rrule.WEEKLY, DAILY: rrule.DAILY}


def few(*values: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(lambda found: tuple(sorted(found)))


@st.composite
def rules(draw: Any) -> Rule:
    """Any rule on whose meaning all agree."""
    frequency = draw(st.sampled_from(FREQUENCIES))
    ordinal = st.sampled_from([0, 0, 1, 2, -1, 5]) if frequency in (MONTHLY, YEARLY) else st.just(0)
    # Of weekdays with and without a number in one rule, dateutil takes those that are both.
    numbered = draw(ordinal)
    weekdays = tuple((numbered, each) for each in draw(few(0, 1, 2, 3, 4, 5, 6)))
    return Rule(
        frequency,
        draw(st.integers(1, 4)),
        draw(st.none() | st.integers(1, 30)),
        week_start=draw(st.sampled_from([0, 6])),
        months=draw(few(1, 2, 3, 6, 11, 12)),
        weeks=draw(few(1, 2, 20, 52, 53)) if frequency == YEARLY and not numbered else (),
        year_days=draw(few(1, 59, 60, 100, 366, -1, -366)) if frequency == YEARLY else (),
        month_days=draw(few(1, 13, 29, 30, 31, -1, -31)) if frequency != WEEKLY else (),
        weekdays=weekdays,
        hours=draw(few(0, 9, 23)),
        minutes=draw(few(0, 30)),
        seconds=draw(few(0, 59)),
        # Of its first week, dateutil has only what is not before the first moment.
        positions=draw(few(1, 2, -1)) if frequency in (MONTHLY, YEARLY) else (),
    )


def theirs(rule: Rule, first: datetime) -> rrule.rrule:
    weekdays = [rrule.weekday(day, which) if which else rrule.weekday(day) for which, day in rule.weekdays]
    return rrule.rrule(
        DATEUTIL[rule.frequency],
        dtstart=first,
        interval=rule.interval,
        count=rule.count,
        until=rule.until,
        wkst=rule.week_start,
        bymonth=rule.months or None,
        byweekno=rule.weeks or None,
        byyearday=rule.year_days or None,
        bymonthday=rule.month_days or None,
        byweekday=weekdays or None,
        byhour=rule.hours or None,
        byminute=rule.minutes or None,
        bysecond=rule.seconds or None,
        bysetpos=rule.positions or None,
    )


def ours(rule: Rule, first: datetime, begin: datetime, end: datetime) -> list[datetime]:
    return list(rule.moments(first, begin, end, Budget(PLENTY)))


@settings(max_examples=60, deadline=None)
@given(rules(), FIRSTS)
def test_the_moments_are_those_of_dateutil(rule: Rule, first: datetime) -> None:
    end = first + timedelta(days=800)
    found = ours(rule, first, first, end)
    # What never comes is looked for by dateutil until the year 9999.
    assume(found)
    assert found == theirs(rule, first).between(first, end - timedelta(seconds=1), inc=True)


@settings(max_examples=60, deadline=None)
@given(rules(), FIRSTS, st.integers(0, 9000), st.integers(0, 400))
def test_who_begins_late_finds_what_who_began_early_finds(rule: Rule, first: datetime, late: int, days: int) -> None:
    begin = first + timedelta(days=late)
    end = begin + timedelta(days=days)
    whole = ours(rule, first, first, end)
    assert ours(rule, first, begin, end) == [moment for moment in whole if moment >= begin]


@settings(max_examples=40, deadline=None)
@given(rules(), FIRSTS)
def test_an_end_in_place_of_a_count_changes_nothing(rule: Rule, first: datetime) -> None:
    assume(rule.count is not None)
    try:
        bounded = rule.bounded(first, Budget(20_000))
    except TooMuch:
        assume(False)
        return
    end = first + timedelta(days=3_000)
    assert bounded.count is None
    assert ours(bounded, first, first, end) == ours(rule, first, first, end) or not ours(rule, first, first, end)


@settings(max_examples=100)
@given(rules(), FIRSTS)
def test_json_gives_a_rule_back(rule: Rule, first: datetime) -> None:
    for each in (rule, Rule(DAILY, until=first)):
        assert Rule.of(json.loads(json.dumps(each.document()))) == each


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_days_that_never_come_are_not_waited_for(frequency: str) -> None:
    never = Rule(frequency, months=(2,), year_days=(366,))
    first = datetime(2026, 1, 1)
    with pytest.raises(TooMuch):
        list(never.moments(first, first, datetime.max, Budget(10_000)))
    # To its end the calendar is not endless.
    assert ours(never, first, datetime(9000, 1, 1), datetime.max) == []


def test_a_budget_is_shared_and_a_late_beginning_costs_no_more() -> None:
    daily, first = Rule(DAILY), datetime(1990, 1, 1)
    budget = Budget(40)
    begin = datetime(2026, 5, 1)
    assert len(list(daily.moments(first, begin, begin + timedelta(days=30), budget))) == 30
    with pytest.raises(TooMuch):
        list(daily.moments(first, begin, begin + timedelta(days=30), budget))


def test_the_last_days_of_the_calendar() -> None:
    for frequency in FREQUENCIES:
        first = datetime(9999, 12, 20)
        found = ours(Rule(frequency), first, first, datetime.max)
        assert found[0] == first
        assert all(moment.date() <= date.max for moment in found)


def test_what_stands_in_the_rfc() -> None:
    """Examples of RFC 5545 section 3.8.5.3."""

    def days(rule: Rule, first: datetime, count: int) -> list[str]:
        return [
            each.strftime("%Y%m%d") for each in islice(rule.moments(first, first, datetime.max, Budget(PLENTY)), count)
        ]

    september = datetime(1997, 9, 2, 9)
    friday_13 = Rule(MONTHLY, weekdays=((0, 4),), month_days=(13,))
    assert days(friday_13, september, 3) == ["19980213", "19980313", "19981113"]
    last_workday = Rule(MONTHLY, weekdays=tuple((0, day) for day in range(5)), positions=(-1,))
    assert days(last_workday, datetime(1997, 9, 29, 9), 3) == ["19970930", "19971031", "19971128"]
    week_20 = Rule(YEARLY, weeks=(20,), weekdays=((0, 0),))
    assert days(week_20, datetime(1997, 5, 12, 9), 3) == ["19970512", "19980511", "19990517"]
    president = Rule(YEARLY, 4, months=(11,), weekdays=((0, 1),), month_days=(2, 3, 4, 5, 6, 7, 8))
    assert days(president, datetime(1996, 11, 5, 9), 3) == ["19961105", "20001107", "20041102"]
    for start, expected in ((0, ["19970805", "19970810", "19970819"]), (6, ["19970805", "19970817", "19970819"])):
        rule = Rule(WEEKLY, 2, week_start=start, weekdays=((0, 1), (0, 6)))
        assert days(rule, datetime(1997, 8, 5, 9), 3) == expected
