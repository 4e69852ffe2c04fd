"""Plots of what the servers did and had over a while: geometry and words for SVG that the page draws.

A plot is a step line: each span of time is a level piece, so that one span alone is seen, and one of which nobody wrote
anything down is a gap. Each plot can be had as a table, too, by who cannot see it or wants the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lightmail.store.samples import MINUTE, QUARTER, TWO_HOURS, Sample
from lightmail.web.pages.templates import moment, size

WIDTH: Final = 600
HEIGHT: Final = 120
# Edges whose half is easily read, too.
_ROUND: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Range:
    """So many spans of `step` seconds, and what they are called."""

    name: str
    words: str
    step: int
    spans: int


RANGES: Final[Mapping[str, Range]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Range("hour", "last hour", MINUTE, 60),
            Range("day", "last day", QUARTER, 96),
            Range("week", "last week", TWO_HOURS, 84),
        )
    }
)


@dataclass(slots=True)
class Span:
    """What all processes together did in a span of `step` seconds, and had; `minutes` of it are over."""

    began_us: int
    step: int
    minutes: float
    known: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, float] = field(default_factory=dict)

    def per_minute(self, *names: str) -> float:
        """How much of that was done in a minute."""
        return sum(self.counts[name] for name in names) / self.minutes

    def level(self, name: str) -> float:
        """How much of that there was, on average."""
        return self.levels[name] / self.minutes

    def quotient(self, name: str, of: str) -> float | None:
        """The part that one count is of another; None where there was none of that."""
        return self.counts[name] / self.counts[of] if self.counts[of] else None


def since_us(wanted: Range, now_us: int) -> int:
    """Where the first span begins."""
    return _last(wanted, now_us) - (wanted.spans - 1) * wanted.step * 1_000_000


def spans(samples: Sequence[Sample], wanted: Range, now_us: int) -> list[Span]:
    """The spans of a range, the samples of all processes added up in each."""
    first, step_us = since_us(wanted, now_us), wanted.step * 1_000_000
    found = {
        began_us: Span(began_us, wanted.step, max(min(wanted.step, (now_us - began_us) // 1_000_000) / 60, 1))
        for began_us in range(first, first + wanted.spans * step_us, step_us)
    }
    for sample in samples:
        span = found.get(sample.began_us)
        if span is not None:
            span.known = True
            span.counts.update(sample.counts)
            span.levels.update(sample.levels)
            for name, peak in sample.peaks.items():
                span.peaks[name] = max(peak, span.peaks.get(name, 0.0))
    return list(found.values())


def _last(wanted: Range, now_us: int) -> int:
    """Where the last span begins: the one that is not over yet, but the minute before, which is written down by now."""
    step_us = wanted.step * 1_000_000
    began_us = now_us - now_us % step_us
    return began_us - step_us if wanted.step == MINUTE else began_us


Value = Callable[[Span], float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: its name, the path that SVG draws, its value in each span and, in words, the last one known."""

    name: str
    path: str
    last: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: `scale` is what its upper edge, its middle and its lower edge stand for, `ends` are the times of its
    sides, `summary` says it in a line. `spans` are what it was drawn of."""

    name: str
    title: str
    unit: str
    scale: tuple[str, str, str]
    lines: Sequence[Line]
    ends: tuple[str, str]
    summary: str
    spans: Sequence[Span]

    @property
    def known(self) -> bool:
        """Whether anything was written down of any of its spans."""
        return any(span.known for span in self.spans)

    def rows(self) -> list[tuple[str, list[str]]]:
        """The same as a table, the newest row first: when a span began, and the lines' values in words."""
        found = [
            (moment(span.began_us), [_words(line.values[number], self.unit) for line in self.lines])
            for number, span in enumerate(self.spans)
        ]
        return found[::-1]


def plot(
    name: str,
    title: str,
    unit: str,
    over: Sequence[Span],
    lines: Sequence[tuple[str, Value]],
    top: float | None = None,
) -> Plot:
    """The plot of those lines, with their names, over the spans; all values are of `unit`.

    Its upper edge is `top`, or else a round number that is not below the highest value.
    """
    values = {line: [of(span) if span.known else None for span in over] for line, of in lines}
    highest = max((value for each in values.values() for value in each if value is not None), default=0.0)
    edge = top or _edge(highest, unit)
    drawn = [_line(line, each, edge, unit) for line, each in values.items()]
    now = ", ".join(f"{line.name} {line.last}" for line in drawn)
    summary = f"{title}, {unit}: now {now}; at most {_words(highest, unit)}"
    ends = (moment(over[0].began_us), moment(over[-1].began_us + over[-1].step * 1_000_000))
    scale = (_words(edge, unit), _words(edge / 2, unit), _words(0.0, unit))
    return Plot(name, title, unit, scale, drawn, ends, summary, over)


def _line(name: str, values: Sequence[float | None], edge: float, unit: str) -> Line:
    last = next((value for value in reversed(values) if value is not None), None)
    return Line(name, _path(values, edge), _words(last, unit), values)


def _path(values: Sequence[float | None], edge: float) -> str:
    wide = WIDTH / len(values)
    parts, drawing = [], False
    for number, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x, y = number * wide, HEIGHT - min(value / edge, 1.0) * HEIGHT
        parts.append(f"{'V' if drawing else f'M{x:.1f} '}{y:.1f}H{x + wide:.1f}")
        drawing = True
    return "".join(parts)


def _edge(highest: float, unit: str) -> float:
    """A round number that is not below the highest value; of octets, one that is round in K, M or G."""
    factor = 1.0
    while unit.startswith("octets") and highest / factor >= 1024:
        factor *= 1024
    return _round_above(highest / factor) * factor


def _round_above(value: float) -> float:
    """A number of one digit, or 1.5, times a power of ten that is not below the value; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1 if value > 0.1 else 0.01
    return next(power * factor for factor in _ROUND if power * factor >= value or factor == 10)


def _words(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit.startswith("octets"):
        return size(int(value))
    if unit == "%":
        return f"{value:.0f} %"
    number = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return f"{number} ms" if unit == "ms" else number
