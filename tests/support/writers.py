"""Writer processes for tests."""

from __future__ import annotations

import time

from lightmail.objects.writers import Writers
from tests.support.reactor import call


def started(writers: Writers, seconds: float = 30) -> Writers:
    """The same writers, up."""
    call(writers.start)
    return up(writers, seconds)


def up(writers: Writers, seconds: float = 30) -> Writers:
    """The same writers, once all their processes take jobs."""
    deadline = time.monotonic() + seconds
    while not call(lambda: writers.ready):
        assert time.monotonic() < deadline, "a writer process did not come up"
        time.sleep(0.01)
    return writers
