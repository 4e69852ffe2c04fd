"""A job's page in a real browser: it moves while the job runs, and ends with it, with scripts and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from lightmail.operations import jobs
from lightmail.store.jobs import DONE
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS
from tests.web.chromium import Chromium
from tests.web.screens import DESKTOP, Driver
from tests.web.worlds import World, inhabited

_PROCESS = b"p" * 16


@pytest.fixture(scope="module")
def busy(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose jobs nobody runs but the test."""
    with inhabited(tmp_path_factory.mktemp("busy"), s3) as made:
        yield made


def _wait(what: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def _begin(world: World) -> int:
    store = world.api.store
    job = run(jobs.start(store.tx, OPERATOR, jobs.GARBAGE, {}))
    assert run(jobs.claim(store.database, job.id, _PROCESS))
    return job.id


def _tell(world: World, job: int, progress: Mapping[str, object]) -> None:
    run(jobs.beat(world.api.store.database, _PROCESS, {job: progress}, []))


def _open(world: World, driver: Driver, path: str) -> None:
    driver.show_on(DESKTOP)
    world.enter(driver, "server")
    driver.go(world.base + path)


def _follow(world: World, driver: Driver) -> bool:
    """Have a job go on and end; whether the page was loaded anew while it ran."""
    job = _begin(world)
    _tell(world, job, {"stage": "pass 1", "percent": 10})
    _open(world, driver, f"/web/jobs/{job}")
    percent = "return document.querySelector('progress').value"
    assert driver.run(percent) == 10
    driver.run("window.kept = true; document.querySelector('.grave').focus()")
    _tell(world, job, {"stage": "pass 2", "percent": 70})
    _wait(lambda: driver.run(percent) == 70)
    anew = not driver.run("return window.kept === true")
    if not anew:
        assert driver.run("return document.activeElement.matches('.grave')")
    run(jobs.end(world.api.store.database, job, _PROCESS, DONE, {"percent": 100}, {"passes": 2}))
    _wait(lambda: "What came of it" in str(driver.run("return document.querySelector('main').innerText")))
    assert not driver.run("return document.querySelector('[data-live]')")
    return anew


def test_progress_moves_in_its_place_and_leaves_the_focus_where_it_is(busy: World, driver: Driver) -> None:
    driver.said()  # what the pages of other tests had to say is not asked about
    assert not _follow(busy, driver)
    assert driver.said() == []


@pytest.mark.heavy
def test_progress_moves_without_scripts(busy: World, browser: Chromium) -> None:
    browser.without_scripts(True)
    try:
        assert _follow(busy, browser)
    finally:
        browser.without_scripts(False)
