"""Recurrence rules (RFC 5545 section 3.3.10), expanded within bounds.

All times are local ones without a zone. A rule may name days that never come (30 February), or come once in 400 years:
so each day that is looked at is taken from a `Budget`, and who looks for what comes late begins late.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time
from itertools import product
from typing import Any, Final

DAILY: Final = "DAILY"
WEEKLY: Final = "WEEKLY"
MONTHLY: Final = "MONTHLY"
YEARLY: Final = "YEARLY"
FREQUENCIES: Final = (DAILY, WEEKLY, MONTHLY, YEARLY)
_LAST_DAY: Final = date.max.toordinal()


class TooMuch(Exception):
    """More days would have to be looked at than the budget allows."""


class Budget:
    """How many days may be looked at, by all that share it."""

    def __init__(self, days: int) -> None:
        self._left = days

    def spend(self, days: int) -> None:
        """Look at so many days. Raises TooMuch."""
        self._left -= days
        if self._left < 0:
            raise TooMuch


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. Numbers below 0 count from the end; weekdays are (which one, 0 for each; 0 Monday to 6 Sunday).

    `until` is the last moment at which it may begin. Of a rule with `count`, that is all there is.
    """

    frequency: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    week_start: int = 0
    months: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()

    def moments(self, first: datetime, begin: datetime, end: datetime, budget: Budget) -> Iterator[datetime]:
        """The moments of the rule from `begin` on and before `end`, ascending, for an event that is first at `first`.

        Raises TooMuch, at any of them.
        """
        rule = self._completed(first)
        times = rule._times(first)
        counted = 0
        # What is counted is counted from the beginning.
        for days in rule._periods(first, first if rule.count is not None else begin, end, budget):
            for moment in rule._chosen(days, times, budget):
                if moment < first:
                    continue
                if moment >= end or (rule.until is not None and moment > rule.until):
                    return
                counted += 1
                if moment >= begin:
                    yield moment
                if counted == rule.count:
                    return

    def bounded(self, first: datetime, budget: Budget) -> Rule:
        """The same rule with an end in place of a count, so that it can be looked into anywhere. Raises TooMuch."""
        if self.count is None:
            return self
        last = first
        for moment in self.moments(first, first, datetime.max, budget):
            last = moment
        return replace(self, count=None, until=last)

    def document(self) -> dict[str, Any]:
        """The rule as JSON can hold it."""
        found = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {**found, "until": self.until.isoformat()} if self.until is not None else found

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Rule:
        """The rule that `document` gave."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
        }
        values["weekdays"] = tuple((each[0], each[1]) for each in document.get("weekdays", ()))
        if "until" in document:
            values["until"] = datetime.fromisoformat(document["until"])
        return cls(**values)

    # --- what the rule leaves to the first moment ---

    def _completed(self, first: datetime) -> Rule:
        if self.weeks or self.year_days or self.month_days or self.weekdays:
            return self
        if self.frequency == YEARLY:
            return replace(self, months=self.months or (first.month,), month_days=(first.day,))
        if self.frequency == MONTHLY:
            return replace(self, month_days=(first.day,))
        if self.frequency == WEEKLY:
            return replace(self, weekdays=((0, first.weekday()),))
        return self

    def _times(self, first: datetime) -> list[time]:
        parts = (self.hours or (first.hour,), self.minutes or (first.minute,), self.seconds or (first.second,))
        # A leap second is the last one that a datetime knows.
        return sorted({time(hour, minute, min(second, 59)) for hour, minute, second in product(*parts)})

    # --- periods, and the days of each that fit ---

    def _periods(self, first: datetime, begin: datetime, end: datetime, budget: Budget) -> Iterator[list[date]]:
        """The days that fit, period by period, from that of `begin` on to that of `end`."""
        start = max(first, begin).date()
        last = min(end.date().toordinal(), _LAST_DAY)
        if self.frequency == YEARLY:
            return self._years(first.year, start.year, last, budget)
        if self.frequency == MONTHLY:
            return self._months_of(_month(first.date()), _month(start), last, budget)
        days = 7 if self.frequency == WEEKLY else 1
        origin = first.toordinal()
        if self.frequency == WEEKLY:
            origin -= (first.weekday() - self.week_start) % 7
        return self._spans(origin, start.toordinal(), last, days, budget)

    def _years(self, origin: int, start: int, last: int, budget: Budget) -> Iterator[list[date]]:
        for year in range(_aligned(origin, start, self.interval), date.max.year + 1, self.interval):
            if date(year, 1, 1).toordinal() > last:
                return
            days: list[date] = []
            for month in self.months or range(1, 13):
                days += self._days_of(year, month, budget)
            yield sorted(days)

    def _months_of(self, origin: int, start: int, last: int, budget: Budget) -> Iterator[list[date]]:
        for number in range(_aligned(origin, start, self.interval), _month(date.max) + 1, self.interval):
            year, month = divmod(number, 12)
            if date(year, month + 1, 1).toordinal() > last:
                return
            if self.months and month + 1 not in self.months:
                budget.spend(1)
            else:
                yield self._days_of(year, month + 1, budget)

    def _days_of(self, year: int, month: int, budget: Budget) -> list[date]:
        count = monthrange(year, month)[1]
        named = {number if number > 0 else count + 1 + number for number in self.month_days}
        numbers = sorted(number for number in named if 1 <= number <= count) if named else range(1, count + 1)
        budget.spend(max(len(numbers), 1))
        return [day for number in numbers if self._fits(day := date(year, month, number))]

    def _spans(self, origin: int, start: int, last: int, days: int, budget: Budget) -> Iterator[list[date]]:
        """Spans of so many days, `interval` of them apart."""
        step = days * self.interval
        for ordinal in range(_aligned(origin, start - days + 1, step), last + 1, step):
            budget.spend(days)
            within = (date.fromordinal(each) for each in range(ordinal, min(ordinal + days, _LAST_DAY + 1)))
            yield [day for day in within if self._fits(day)]

    def _fits(self, day: date) -> bool:
        """Whether all parts of the rule have the day."""
        if self.months and day.month not in self.months:
            return False
        if self.month_days and not _among(self.month_days, day.day, monthrange(day.year, day.month)[1]):
            return False
        if self.year_days and not _among(self.year_days, day.timetuple().tm_yday, 366 if isleap(day.year) else 365):
            return False
        if self.weeks and not self._is_in_weeks(day):
            return False
        return not self.weekdays or any(self._is_weekday(day, which, weekday) for which, weekday in self.weekdays)

    def _is_weekday(self, day: date, which: int, weekday: int) -> bool:
        if day.weekday() != weekday:
            return False
        if not which or self.frequency in (DAILY, WEEKLY) or self.weeks:
            return True
        if self.frequency == MONTHLY or self.months:
            number, count = day.day, monthrange(day.year, day.month)[1]
        else:
            number, count = day.timetuple().tm_yday, 366 if isleap(day.year) else 365
        return which in ((number - 1) // 7 + 1, -((count - number) // 7 + 1))

    def _is_in_weeks(self, day: date) -> bool:
        """Whether the day is in one of the weeks of its week-year, whose first week has four days of January."""
        for year in (day.year + 1, day.year, day.year - 1):
            start = _first_week(year, self.week_start)
            if start <= day.toordinal():
                number = (day.toordinal() - start) // 7 + 1
                count = (_first_week(year + 1, self.week_start) - start) // 7
                return _among(self.weeks, number, count)
        return False

    def _chosen(self, days: Sequence[date], times: Sequence[time], budget: Budget) -> Iterator[datetime]:
        """The moments of a period, those at the positions where the rule has such."""
        moments = (datetime.combine(day, at) for day in days for at in times)
        if not self.positions:
            return moments
        budget.spend(len(days) * len(times))
        ordered = list(moments)
        count = len(ordered)
        places = {position - 1 if position > 0 else count + position for position in self.positions}
        return (ordered[place] for place in sorted(places) if 0 <= place < count)


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _aligned(origin: int, start: int, step: int) -> int:
    """The first of `origin`, `origin` + `step`, … that is not before `start`; `origin` where that is before it."""
    return origin + max(0, -(-(start - origin) // step)) * step


def _among(numbers: Sequence[int], number: int, count: int) -> bool:
    """Whether the `number`-th of `count` is among numbers that may count from the end."""
    return number in numbers or number - count - 1 in numbers


def _first_week(year: int, week_start: int) -> int:
    """The ordinal of the first day of a week-year."""
    fourth = date(min(year, date.max.year), 1, 4)
    start = fourth.toordinal() - (fourth.weekday() - week_start) % 7
    return start if year <= date.max.year else start + 365
