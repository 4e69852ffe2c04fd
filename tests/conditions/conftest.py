"""Every test here runs under each condition."""

from __future__ import annotations

import pytest

from tests.support.conditions import CONDITIONS, Condition


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(each, id=each.name, marks=pytest.mark.mariadb if each.processes > 1 else ()) for each in CONDITIONS
    ],
)
def condition(request: pytest.FixtureRequest) -> Condition:
    """What the servers of a test are under."""
    found: Condition = request.param
    return found
