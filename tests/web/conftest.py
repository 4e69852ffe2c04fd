"""The world that pages are looked at in, and the browsers; a test is skipped where its browser is not installed.

Whatever is asked about a server is asked in the quick part of one on SQLite, its objects in memory or a directory, and
in the heavy part of one on MariaDB and S3, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import EMBEDDED, MARIADB_S3
from tests.web import chromium
from tests.web import firefox as firefox_program
from tests.web.chromium import Chromium
from tests.web.firefox import Firefox
from tests.web.screens import Driver
from tests.web.worlds import World, inhabited


@pytest.fixture(
    scope="session",
    params=[
        EMBEDDED,
        pytest.param(MARIADB_S3, marks=[pytest.mark.mariadb, pytest.mark.s3, pytest.mark.heavy]),
    ],
)
def s3(request: pytest.FixtureRequest) -> SeaweedFS | None:
    """The S3 server of the stores that a test's server has, None where these are embedded."""
    return request.getfixturevalue("s3_server") if request.param == MARIADB_S3 else None


@pytest.fixture(scope="session")
def world(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Its tests change nothing but who is signed in."""
    with inhabited(tmp_path_factory.mktemp("world"), s3) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A Chromium with whoever was signed in last."""
    if not chromium.available():
        pytest.skip("no Chromium: install Debian's chromium and chromium-driver")
    started = Chromium()
    yield started
    started.close()


@pytest.fixture(scope="session")
def firefox() -> Iterator[Firefox]:
    """A Firefox with whoever was signed in last."""
    if not firefox_program.available():
        pytest.skip("no Firefox: install Debian's firefox-esr")
    started = Firefox()
    yield started
    started.close()


@pytest.fixture(
    scope="session", params=["browser", pytest.param("firefox", marks=pytest.mark.heavy)], ids=["chromium", "firefox"]
)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each browser; the quick part has Chromium alone."""
    found: Driver = request.getfixturevalue(request.param)
    return found
