"""What happens in a calendar, in order: events that happen once, and occurrences of those that recur."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from lightmail.calendars.recurrence import Recurrence, Window
from lightmail.calendars.rules import Budget

# Days that are looked at for one page: some tenths of a second of a thread's time at most.
_DAYS: Final = 200_000


class Position(NamedTuple):
    """Where a page ended: no two occurrences share all three."""

    starts_us: int
    event: int
    recurrence_us: int


class Happening(NamedTuple):
    """One thing that happens. Times are Unix us; `recurrence_us` is when it would begin had that not been changed."""

    starts_us: int
    event: int
    recurrence_us: int
    ends_us: int
    summary: str
    recurs: bool

    @property
    def position(self) -> Position:
        """Its place in the order."""
        return Position(self.starts_us, self.event, self.recurrence_us)


@dataclass(frozen=True, slots=True)
class Recurring:
    """An event that recurs."""

    event: int
    summary: str
    recurrence: Recurrence


def happenings(
    once: Sequence[Happening], recurring: Sequence[Recurring], window: Window, after: Position, limit: int
) -> list[Happening]:
    """The first `limit` of what happens in the window, behind `after`. `once` are in order and behind it.

    Raises TooMuch when recurrences take too many days to look at.
    """
    budget = Budget(_DAYS)
    found = heapq.merge(once, *(_of(each, window, budget) for each in recurring))
    return list(islice((each for each in found if each.position > after), limit))


def _of(event: Recurring, window: Window, budget: Budget) -> Iterator[Happening]:
    for each in event.recurrence.occurrences(window, budget):
        summary = event.summary if each.summary is None else each.summary
        yield Happening(each.starts_us, event.event, each.recurrence_us, each.ends_us, summary, True)
