"""The report of a run: where its figures come from, what each row came to, and where deliveries spent their time."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.figures import Figures
from bench.model import Row, Settings, Target
from bench.stages import STAGES

_HEAD = (
    "| workload | target | µs CPU an operation | × CPU | × sum | operations/s | × rate | stall ms | also |\n"
    "| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n"
)

# Of what asks its database seldom, nobody wants to know how often.
_TOLD_TRIPS = 0.05


def table(figures: Figures) -> str:
    """A Markdown table; ratios are against the first target, which was measured in the same round.

    "× CPU" is of the mail server's processes alone, "× sum" counts the database and the object store too. "stall ms" is
    the longest time of all rounds that the reactor kept somebody waiting, as the upper edge of its bucket.
    """
    lines = []
    for workload in figures.workloads:
        for target in figures.targets:
            if figures.rows(workload, target):
                lines.append("| " + " | ".join([workload, target, *_cells(figures, workload, target)]) + " |\n")
    return _HEAD + "".join(lines)


def stage_table(rows: list[Row]) -> str:
    """Where deliveries spent their time, mean milliseconds, as a Markdown table; "" where no server told."""
    told = [row for row in rows if row.stages]
    if not told:
        return ""
    lines = [
        "| delivery | target | " + " | ".join(f"{name} ms" for name in STAGES) + " |",
        "| --- | --- |" + " --: |" * len(STAGES),
    ]
    for workload, target in dict.fromkeys((row.workload, row.target) for row in told):
        own = [row.stages for row in told if (row.workload, row.target) == (workload, target)]
        cells = (f"{median(each.get(name, 0.0) for each in own):.2f}" for name in STAGES)
        lines.append(f"| {workload} | {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def conditions(targets: Sequence[Target], settings: Settings, rounds: int) -> str:
    """Where the figures come from: the machine, how much was done, each server's version and durability."""
    lines = [f"- {_machine()}", f"- {settings.count} messages in the mailbox, rounds: {rounds}"]
    lines += [f"- {target.name}: {target.about}" for target in targets if target.about]
    return "\n".join(lines) + "\n"


def _cells(figures: Figures, workload: str, target: str) -> list[str]:
    own = figures.rows(workload, target)
    longest = figures.stall_ms(workload, target)
    last = [f"≤ {longest:g}" if longest is not None else "", _also(figures, workload, target)]
    if not own[0].cpu:
        return ["", "", "", "", "", *last]
    roles = "; ".join(
        f"{role or 'server'} {median(row.cpu[role] for row in own) / own[0].operations * 1e6:.1f}"
        for role in own[0].cpu
    )
    return [
        roles,
        _ratio(figures.cpu_ratio(workload, target)),
        _ratio(figures.sum_ratio(workload, target)),
        f"{median(row.operations / row.wall for row in own):.0f}",
        _ratio(figures.rate_ratio(workload, target)),
        *last,
    ]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _also(figures: Figures, workload: str, target: str) -> str:
    said = []
    for unit in figures.rows(workload, target)[0].also:
        value = figures.also(workload, target, unit)
        said.append(f"{value:.1f} {unit}" if unit == "ms" else f"{value:.0f} {unit}")
    trips = figures.trips(workload, target)
    if trips is not None and trips >= _TOLD_TRIPS:
        said.append(f"{trips:.1f} trips")
    return ", ".join(said)


def _machine() -> str:
    """One line about the machine and what the servers of ours run on."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    parts = [
        f"{len(os.sched_getaffinity(0))} CPUs" + (f" ({model.group(1)})" if model else ""),
        f"{int(memory.group(1)) >> 20} GiB" if memory else "",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"Twisted {version('twisted')}",
    ]
    return ", ".join(part for part in parts if part)
