"""Rows of several rounds to one table: medians, and ratios from each round's own pair."""

from __future__ import annotations

import platform
import subprocess
from statistics import median

from bench.stages import STAGES
from bench.workloads import Row


def table(rows: list[Row], first: str) -> str:
    """A Markdown table; ratios are against the target named `first`, which was measured in the same round."""
    names = list(dict.fromkeys(row.target for row in rows))
    lines = [
        "| workload | target | µs CPU an operation | × CPU | operations/s | × rate | KiB |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for workload in dict.fromkeys(row.workload for row in rows):
        base = [row for row in rows if row.workload == workload and row.target == first]
        for name in names:
            own = [row for row in rows if row.workload == workload and row.target == name]
            if own:
                lines.append(_line(workload, name, own, base))
    return "\n".join(lines) + "\n"


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


def _line(workload: str, name: str, own: list[Row], base: list[Row]) -> str:
    if own[0].kib is not None and not own[0].cpu:
        return f"| {workload} | {name} | | | | | {median(row.kib or 0 for row in own):.0f} |"
    roles = "; ".join(
        f"{role or 'server'} {median(row.cpu[role] for row in own) / own[0].operations * 1e6:.1f}"
        for role in own[0].cpu
    )
    rate = median(row.operations / row.wall for row in own)
    pairs = list(zip(own, base, strict=False))
    cpu_ratio = _ratio([(_total(a) / a.operations, _total(b) / b.operations) for a, b in pairs])
    rate_ratio = _ratio([(a.operations / a.wall, b.operations / b.wall) for a, b in pairs])
    kib = f"{median(row.kib or 0 for row in own):.0f}" if own[0].kib is not None else ""
    return f"| {workload} | {name} | {roles} | {cpu_ratio} | {rate:.0f} | {rate_ratio} | {kib} |"


def _total(row: Row) -> float:
    """CPU seconds of all roles: a database or an object store that a server needs is part of its price."""
    return sum(row.cpu.values())


def _ratio(pairs: list[tuple[float, float]]) -> str:
    ratios = [a / b for a, b in pairs if b]
    return f"{median(ratios):.2f}" if ratios else ""


def machine() -> str:
    """One line about where the figures come from."""
    cpus = subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{cpus} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
