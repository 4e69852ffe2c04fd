"""What a running server uses, sampled, and whether it grows."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

# How much more may be used at the end than after warming up, and what is noise in small counts.
GROWTH = 0.05
SLACK = 3.0
# A run shorter than this is all warming up.
SHORTEST_SECONDS = 240.0
_WARM = 0.3


@dataclass(frozen=True)
class Sample:
    """One look at a server and its children. Memory is in KiB."""

    seconds: float
    rss: float
    pss: float
    descriptors: float
    threads: float
    connections: float
    spools: float


def take(pid: int, spool: Path, seconds: float, connections: Callable[[], int]) -> Sample:
    """A sample now; ProcessLookupError when the server is gone."""
    processes = [pid, *_children(pid)]
    status = [_status(each) for each in processes]
    links = [link for each in processes for link in _links(each)]
    return Sample(
        seconds,
        sum(each.get("VmRSS", 0) for each in status),
        sum(_pss(each) for each in processes),
        len(links),
        sum(each.get("Threads", 0) for each in status),
        connections(),
        sum(link.startswith(f"{spool}/") for link in links) + sum(1 for _ in spool.iterdir()),
    )


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _status(pid: int) -> dict[str, int]:
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "Threads"):
                found[name] = int(value.split()[0])
    return found


def _pss(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _links(pid: int) -> list[str]:
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(os.readlink(entry))
    return found


@dataclass(frozen=True)
class Trend:
    """How one figure went after warming up: medians of its first and last third, and the slope in units a minute."""

    name: str
    before: float
    after: float
    slope: float

    @property
    def growth(self) -> float:
        return (self.after - self.before) / self.before if self.before else 0.0

    @property
    def grows(self) -> bool:
        """Whether that is more than noise."""
        return self.after - self.before > SLACK and self.growth > GROWTH

    def __str__(self) -> str:
        return f"{self.name}: {self.before:.0f} -> {self.after:.0f} ({self.growth:+.1%}), {self.slope:+.1f} a minute"


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """The trend of every figure; empty when the run was too short to tell."""
    if not samples or samples[-1].seconds < SHORTEST_SECONDS:
        return []
    warm = [each for each in samples if each.seconds >= samples[-1].seconds * _WARM]
    third = max(1, len(warm) // 3)
    times = [each.seconds / 60 for each in warm]
    found = []
    for field in fields(Sample)[1:]:
        values = [getattr(each, field.name) for each in warm]
        slope = statistics.linear_regression(times, values).slope
        found.append(Trend(field.name, statistics.median(values[:third]), statistics.median(values[-third:]), slope))
    return found


def heading() -> str:
    """The table's head."""
    return " ".join(f"{field.name:>11}" for field in fields(Sample))


def row(sample: Sample) -> str:
    """A line of the table."""
    return " ".join(f"{value:>11.0f}" for value in astuple(sample))
