"""Rows of several rounds to one table: medians, and ratios from each round's own pair."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.model import Row, Settings, Target
from bench.stages import STAGES

_HEAD = (
    "| workload | target | µs CPU an operation | × CPU | × sum | operations/s | × rate | stall ms | also |\n"
    "| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n"
)


def table(rows: list[Row], first: str) -> str:
    """A Markdown table; ratios are against the target named `first`, which was measured in the same round.

    "× CPU" is of the mail server's processes alone, "× sum" counts the database and the object store too. "stall ms" is
    the longest time of all rounds that the reactor kept somebody waiting, as the upper edge of its bucket.
    """
    names = list(dict.fromkeys(row.target for row in rows))
    lines = []
    for workload in dict.fromkeys(row.workload for row in rows):
        base = [row for row in rows if row.workload == workload and row.target == first]
        for name in names:
            own = [row for row in rows if row.workload == workload and row.target == name]
            if own:
                lines.append("| " + " | ".join([workload, name, *_cells(own, base)]) + " |\n")
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


def _cells(own: list[Row], base: list[Row]) -> list[str]:
    stalls = [row.stall for row in own if row.stall is not None]
    stall = f"≤ {max(stalls):g}" if stalls else ""
    if not own[0].cpu:
        return ["", "", "", "", "", stall, _also(own)]
    roles = "; ".join(
        f"{role or 'server'} {median(row.cpu[role] for row in own) / own[0].operations * 1e6:.1f}"
        for role in own[0].cpu
    )
    several = len(own[0].cpu) > 1
    return [
        roles,
        _ratio(own, base, _server_cpu),
        _ratio(own, base, _all_cpu) if several else "",
        f"{median(_rate(row) for row in own):.0f}",
        _ratio(own, base, _rate),
        stall,
        _also(own),
    ]


def _server_cpu(row: Row) -> float:
    return row.cpu[""] / row.operations


def _all_cpu(row: Row) -> float:
    """A database or an object store that a server needs is part of its price."""
    return sum(row.cpu.values()) / row.operations


def _rate(row: Row) -> float:
    return row.operations / row.wall


def _also(own: list[Row]) -> str:
    if own[0].kib is not None:
        return f"{median(row.kib or 0.0 for row in own):.0f} KiB"
    if own[0].ms is not None:
        return f"{median(row.ms or 0.0 for row in own):.1f} ms"
    return ""


def _ratio(own: list[Row], base: list[Row], figure: Callable[[Row], float]) -> str:
    if "" not in own[0].cpu or not base or "" not in base[0].cpu:
        return ""
    ratios = [figure(a) / figure(b) for a, b in zip(own, base, strict=False) if figure(b)]
    return f"{median(ratios):.2f}" if ratios else ""


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
