"""A short soak of each stack: everything acknowledged is there once after faults at random, and all is well with it."""

from __future__ import annotations

import pytest

from tests.soak.run import soak
from tests.support.stack import STACKS


@pytest.mark.heavy
@pytest.mark.parametrize("kind", STACKS)
def test_twenty_seconds(kind: str):
    verdict = soak(kind, 20, faults=True)
    assert verdict.good, verdict.problems
    assert verdict.acknowledged > 100
    assert verdict.troubles
