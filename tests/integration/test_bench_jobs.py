"""The cost of each step of what keeps mail can be measured: each of the benchmarks' jobs, on a handful of messages."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import pytest

from bench.jobs import JOBS
from bench.sites import SITES, open_site

SMALL = 25


@pytest.fixture(params=[SITES[0], pytest.param(SITES[1], marks=[pytest.mark.mariadb, pytest.mark.s3])])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("job", JOBS)
def test_each_step_of_a_job_has_its_cost(
    job: str, name: str, stack: contextlib.ExitStack, request: pytest.FixtureRequest
) -> None:
    s3 = request.getfixturevalue("s3_server") if name == "mariadb-s3" else None
    site = open_site(name, stack, s3)
    measured = list(importlib.import_module(JOBS[job]).costs(site, SMALL))
    assert len({cost.step for cost in measured}) == len(measured) > 1
    for cost in measured:
        assert cost.count > 0
        assert cost.ours >= 0
        assert cost.seconds > 0
        assert cost.theirs.keys() == ({"mariadb", "s3"} if s3 is not None else set())
        assert 0 <= cost.stall < cost.seconds
        assert cost.line().count(" | ") == 10
