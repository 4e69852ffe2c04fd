"""The world that pages are looked at in, and the browsers; a test is skipped where its browser is not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web import chromium
from tests.web.chromium import Chromium
from tests.web.worlds import World, inhabited


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Its tests change nothing but who is signed in."""
    with inhabited(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A Chromium with whoever was signed in last."""
    if not chromium.available():
        pytest.skip("no Chromium: install Debian's chromium and chromium-driver")
    started = Chromium()
    yield started
    started.close()
