"""When an event recurs (RFC 5545 section 3.8.5): rules and dates, without exceptions, with changes of single ones.

Occurrences are computed in the event's own zone, where nine o'clock stays nine o'clock, and told in Unix us UTC.
Times without a zone, and whole days, are taken as UTC.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from lightmail.calendars.rules import Budget, Rule

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = (datetime(9998, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_US: Final = timedelta(microseconds=1)
# Zones are less than a day apart, and so is what a clock that is put forward passes over.
_DAY: Final = timedelta(days=1)
_DAY_US: Final = 86_400_000_000


# Before all that anything can be.
EVER_US: Final = -(1 << 62)


class Occurrence(NamedTuple):
    """One time that an event happens; it would begin at `recurrence_us` had it not been changed. No two share both."""

    starts_us: int
    recurrence_us: int
    ends_us: int
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Length:
    """How long it lasts: whole days by the calendar, and then so many microseconds by the clock."""

    days: int = 0
    us: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one occurrence. `summary` is None where that stayed."""

    starts_us: int
    ends_us: int
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: occurrences that touch the time from `begin_us` to `end_us`, of those only the ones that
    begin at `from_us` or later."""

    begin_us: int
    end_us: int
    from_us: int = EVER_US

    def has(self, starts_us: int, ends_us: int) -> bool:
        """Whether something that lasts for that time is asked for; what begins where it ends lasts for no time."""
        touches = starts_us < self.end_us and (ends_us > self.begin_us or starts_us >= self.begin_us)
        return touches and starts_us >= self.from_us


@dataclass(frozen=True, slots=True)
class Recurrence:
    """An event that recurs, first at `first`, a local time of the zone of that name.

    `dates` are further beginnings with their own lengths, None: as the first's; `without` those that do not happen;
    `changes` what became of single ones, by when they would have begun. Rules have no counts (`Rule.bounded`).
    """

    zone: str
    first: datetime
    length: Length
    rules: tuple[Rule, ...] = ()
    dates: Mapping[datetime, Length | None] = field(default_factory=dict)
    without: frozenset[datetime] = frozenset()
    changes: Mapping[datetime, Change] = field(default_factory=dict)

    def span(self) -> tuple[int, int | None]:
        """From when to when it goes on, Unix us; an end of None: for ever."""
        place = Place(self.zone)
        begins = [place.us(self.first), *map(place.us, self.dates), *(each.starts_us for each in self.changes.values())]
        ends = [place.end_us(each, length or self.length) for each, length in self.dates.items()]
        ends += [place.end_us(self.first, self.length), *(each.ends_us for each in self.changes.values())]
        if any(rule.until is None for rule in self.rules):
            return min(begins), None
        ends += [place.end_us(rule.until, self.length) for rule in self.rules if rule.until is not None]
        return min(begins), max(ends)

    def occurrences(self, window: Window, budget: Budget) -> Iterator[Occurrence]:
        """What of it is in the window, in the order of `Occurrence`. Raises TooMuch, at any of them."""
        place = Place(self.zone)
        changed = (
            Occurrence(change.starts_us, place.us(begin), change.ends_us, change.summary)
            for begin, change in self.changes.items()
        )
        found = heapq.merge(
            _in_order(self._regular(place, window, budget)), sorted(changed, key=_position), key=_position
        )
        before = None
        for each in found:
            if _position(each) != before and window.has(each.starts_us, each.ends_us):
                before = _position(each)
                yield each

    def _regular(self, place: Place, window: Window, budget: Budget) -> Iterator[Occurrence]:
        """What was not changed, by the local time of its beginning; a little before and after the window, too."""
        begin_us = window.begin_us - self.length.days * _DAY_US - self.length.us - _DAY_US
        begin = place.local(min(max(begin_us, window.from_us), _LAST_US)) - _DAY
        end = place.local(min(window.end_us, _LAST_US)) + _DAY
        dates = sorted(each for each in {self.first, *self.dates} if each < end)
        ruled = (rule.moments(self.first, begin, end, budget) for rule in self.rules)
        before = None
        for moment in heapq.merge(dates, *ruled):
            if moment == before or moment in self.without or moment in self.changes:
                continue
            before = moment
            starts_us = place.us(moment)
            yield Occurrence(starts_us, starts_us, place.end_us(moment, self.dates.get(moment) or self.length))

    def document(self) -> dict[str, Any]:
        """It as JSON can hold it."""
        return {
            "zone": self.zone,
            "first": self.first.isoformat(),
            "length": [self.length.days, self.length.us],
            "rules": [rule.document() for rule in self.rules],
            "dates": [
                [each.isoformat(), *([length.days, length.us] if length is not None else [])]
                for each, length in sorted(self.dates.items())
            ],
            "without": [each.isoformat() for each in sorted(self.without)],
            "changes": [
                [begin.isoformat(), change.starts_us, change.ends_us, change.summary]
                for begin, change in sorted(self.changes.items())
            ],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Recurrence:
        """What `document` gave."""
        moment = datetime.fromisoformat
        return cls(
            document["zone"],
            moment(document["first"]),
            Length(*document["length"]),
            tuple(Rule.of(each) for each in document["rules"]),
            {moment(begin): Length(*length) if length else None for begin, *length in document["dates"]},
            frozenset(moment(each) for each in document["without"]),
            {moment(begin): Change(*change) for begin, *change in document["changes"]},
        )


class Place:
    """Local times of a zone, and Unix microseconds."""

    def __init__(self, zone: str) -> None:
        self._zone = UTC if zone == "UTC" else ZoneInfo(zone)

    def us(self, moment: datetime) -> int:
        """A local time as Unix us. One that comes twice is the first of both, one that a clock passes over counts by
        the offset from before (RFC 5545 section 3.3.5)."""
        return (moment.replace(tzinfo=self._zone) - _EPOCH) // _US

    def end_us(self, moment: datetime, length: Length) -> int:
        """When what begins at a local time ends."""
        return (self.us(moment + timedelta(days=length.days)) if length.days else self.us(moment)) + length.us

    def local(self, us: int) -> datetime:
        """The local time at a moment."""
        return (_EPOCH + timedelta(microseconds=us)).astimezone(self._zone).replace(tzinfo=None)


def _position(occurrence: Occurrence) -> tuple[int, int]:
    return occurrence.starts_us, occurrence.recurrence_us


def _in_order(found: Iterable[Occurrence]) -> Iterator[Occurrence]:
    """The same in the order of their beginnings, those of one moment once.

    Where a clock is put forward, local times and moments differ in their order, and two times may be one moment.
    """
    before = None
    for each in _sorted_within_a_day(found):
        if each.starts_us != before:
            before = each.starts_us
            yield each


def _sorted_within_a_day(found: Iterable[Occurrence]) -> Iterator[Occurrence]:
    waiting: list[Occurrence] = []
    for each in found:
        heapq.heappush(waiting, each)
        while waiting[0].starts_us < each.starts_us - _DAY_US:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)
