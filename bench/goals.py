"""What is wanted of LightMail beside Dovecot, and whether a run has it: the second table of the report.

A goal is a bound on one figure of one row. "× CPU", "× sum" and "× rate" are against the first target of the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Figures


@dataclass(frozen=True)
class Goal:
    """`row` is a regular expression of the whole name; the figure must be `how` ("≤", "<", "≥") the `bound`."""

    row: str
    figure: str
    how: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return {"≤": value <= self.bound, "<": value < self.bound, "≥": value >= self.bound}[self.how]


def _trips(figures: Figures, workload: str, target: str) -> float | None:
    """Round trips, where the database is a process of its own; what it is asked once a second does not count."""
    trips = figures.trips(workload, target)
    apart = "mariadb" in figures.rows(workload, target)[0].cpu
    return round(trips, 1) if trips is not None and apart else None


_FIGURES: dict[str, Callable[[Figures, str, str], float | None]] = {
    "× CPU": Figures.cpu_ratio,
    "× sum": Figures.sum_ratio,
    "× rate": Figures.rate_ratio,
    "stall ms": Figures.stall_ms,
    "trips": _trips,
    "wall ms": Figures.wall_ms,
    "ms": lambda figures, workload, target: figures.also(workload, target, "ms"),
    "MB": lambda figures, workload, target: figures.also(workload, target, "MB"),
}

_HALF = (
    "login, SELECT, logout",
    "FETCH header fields.*",
    "FETCH ENVELOPE.*",
    "SEARCH SENTSINCE.*",
    "SEARCH FROM SUBJECT.*",
)
_READING = (
    "SELECT(, cold)?",
    r"FETCH 1:\* \(UID FLAGS\).*",
    r"FETCH BODY\[\].*",
    "FETCH 64 KiB.*",
    "SEARCH (UNSEEN|LARGER|BODY).*",
    "POP3 .*",
)
_CHANGING = ("COPY of .*", "MOVE of .*", "EXPUNGE of .*")

GOALS = (
    *(Goal(row, "× CPU", "≤", 0.5) for row in (*_HALF, r"LMTP, \d+ connections, 10 recipients")),
    *(Goal(row, "× CPU", "<", 1.0) for row in (*_READING, *_CHANGING)),
    *(Goal(row, "× sum", "≤", 1.5) for row in _CHANGING),
    Goal("STORE of one", "trips", "≤", 3),
    Goal("STORE of one", "× CPU", "≤", 2.5),
    Goal("STORE of one", "× sum", "≤", 7),
    Goal("STORE of all", "× CPU", "<", 1.0),
    Goal("STORE of all", "× sum", "≤", 6),
    *(Goal(row, "× CPU", "<", 1.0) for row in ("APPEND, one connection", r"LMTP, \d+ connections, 1 recipients")),
    *(Goal(row, "× rate", "≥", 1.0) for row in (*_HALF, *_READING)),
    Goal("SELECT and FETCH FLAGS of 100000, cold", "wall ms", "<", 300),
    Goal("EXISTS to an idle client", "ms", "≤", 20),
    Goal("10000 idle sessions", "MB", "≤", 400),
    Goal("SEARCH .*", "stall ms", "≤", 20),
    Goal(".*", "stall ms", "≤", 50),
)


def goal_table(figures: Figures, first: str) -> str:
    """What was wanted of each row and what each target reached, misses bold, as a Markdown table."""
    ours = [name for name in figures.targets if name != first]
    if not ours:
        return ""
    lines = ["| row | wanted | " + " | ".join(ours) + " |", "| --- | --- |" + " --: |" * len(ours)]
    for workload in figures.workloads:
        goals = _goals_of(workload)
        cells = [_reached(figures, workload, target, goals) for target in ours]
        if any(cell.strip("–, ") for cell in cells):
            wanted = ", ".join(f"{goal.figure} {goal.how} {goal.bound:g}" for goal in goals)
            lines.append(f"| {workload} | {wanted} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _goals_of(workload: str) -> list[Goal]:
    """The goals of a row, one for each figure: the first that names the row."""
    found: dict[str, Goal] = {}
    for goal in GOALS:
        if re.fullmatch(goal.row, workload):
            found.setdefault(goal.figure, goal)
    return list(found.values())


def _reached(figures: Figures, workload: str, target: str, goals: list[Goal]) -> str:
    """What a target reached of each goal, in their order; "" where it was not measured."""
    if not figures.rows(workload, target):
        return ""
    said = []
    for goal in goals:
        value = _FIGURES[goal.figure](figures, workload, target)
        if value is None:
            said.append("–")
        else:
            text = f"{value:.2f}" if goal.figure.startswith("×") else f"{value:.3g}"
            said.append(text if goal.met(value) else f"**{text}**")
    return ", ".join(said)
