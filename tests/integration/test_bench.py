"""Every workload of the benchmarks runs, and finds the answers of a server right, at a size that takes seconds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bench import report
from bench.figures import Figures
from bench.model import Row, Settings, Target
from bench.stack import Stacks
from bench.workloads import WORKLOADS

SIZES = Settings(
    count=12,
    cycles=3,
    deliveries=4,
    connections=3,
    octets=2_000,
    idle=3,
    crowd=4,
    changes=5,
    huge=30,
    large=1 << 20,
)


async def everything(target: Target) -> list[Row]:
    return [row for workload in WORKLOADS.values() async for row in workload(target, SIZES)]


def test_every_workload_runs_and_is_reported() -> None:
    with Stacks(["embedded"], users=3) as targets:
        rows = asyncio.run(everything(replace(targets[0], tidy_seconds=0.01)))
    named = {row.workload for row in rows}
    for wanted in (
        "SELECT, cold",
        "FETCH header fields, cold",
        "SEARCH FROM SUBJECT",
        "MOVE of 5",
        "POP3 RETR pipelined",
    ):
        assert wanted in named
    assert len(named) == len(rows) >= 30
    # The server's own page was read: work was observed, and deliveries have stages.
    assert [row.workload for row in rows if row.stall is not None]
    assert all(row.stages for row in rows if row.workload.startswith("LMTP"))
    figures = Figures(rows, "embedded")
    assert report.table(figures).count("\n") == len(rows) + 2
    assert figures.trips("STORE of one", "embedded") is not None
    assert "synchronous = FULL" in report.conditions(targets, SIZES, 1)
