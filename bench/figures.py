"""What rows of several rounds come to: medians, and ratios from each round's own pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.model import Row


class Figures:
    """The figures of each workload and target; ratios are against the target named `first`.

    All of them are None where the server told nothing, or where there is nothing to compare with.
    """

    def __init__(self, rows: Sequence[Row], first: str) -> None:
        self._first = first
        self._rows: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            self._rows.setdefault((row.workload, row.target), []).append(row)
        self.workloads = list(dict.fromkeys(row.workload for row in rows))
        self.targets = list(dict.fromkeys(row.target for row in rows))

    def rows(self, workload: str, target: str) -> list[Row]:
        """One of each round that measured it."""
        return self._rows.get((workload, target), [])

    def cpu_ratio(self, workload: str, target: str) -> float | None:
        """CPU of the mail server's own processes."""
        return self._ratio(workload, target, lambda row: row.cpu[""] / row.operations)

    def sum_ratio(self, workload: str, target: str) -> float | None:
        """CPU with the database's and the object store's, where a server needs such: they are part of its price."""
        own = self.rows(workload, target)
        if not own or len(own[0].cpu) < 2:
            return None
        return self._ratio(workload, target, lambda row: sum(row.cpu.values()) / row.operations)

    def rate_ratio(self, workload: str, target: str) -> float | None:
        """Operations in a second."""
        return self._ratio(workload, target, lambda row: row.operations / row.wall)

    def stall_ms(self, workload: str, target: str) -> float | None:
        """The longest stall of all rounds, as the upper edge of its bucket."""
        return max((row.stall for row in self.rows(workload, target) if row.stall is not None), default=None)

    def trips(self, workload: str, target: str) -> float | None:
        """Round trips to the database an operation."""
        return _median([row.trips for row in self.rows(workload, target)])

    def also(self, workload: str, target: str, unit: str) -> float | None:
        """What else was seen, in this unit."""
        return _median([row.also.get(unit) for row in self.rows(workload, target)])

    def wall_ms(self, workload: str, target: str) -> float | None:
        """Milliseconds of an operation by the clock."""
        return _median([row.wall / row.operations * 1000 for row in self.rows(workload, target)])

    def _ratio(self, workload: str, target: str, figure: Callable[[Row], float]) -> float | None:
        own, base = self.rows(workload, target), self.rows(workload, self._first)
        if not own or not base or "" not in own[0].cpu or "" not in base[0].cpu:
            return None
        return _median([figure(a) / figure(b) for a, b in zip(own, base, strict=False) if figure(b)])


def _median(found: Sequence[float | None]) -> float | None:
    known = [each for each in found if each is not None]
    return median(known) if known else None
