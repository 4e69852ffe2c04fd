"""An owner brings back more deleted mail than one waits for, in a real browser: a job does it, and he follows that."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lightmail.model import AccountId
from lightmail.store import accounts
from tests.support.apikit import Api
from tests.support.bulkmail import fill
from tests.support.jobkit import leaving_to_jobs, running_jobs
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS
from tests.support.storekit import NOW_US
from tests.web.operator import Operator
from tests.web.screens import DESKTOP, Driver
from tests.web.worlds import PASSWORD, World, inhabited

COUNT = 30


@pytest.fixture(scope="module")
def emptied(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world where the owner's INBOX has lost all it had; his job for what he lost elsewhere waits."""
    with inhabited(tmp_path_factory.mktemp("emptied"), s3) as made:
        store = made.api.store
        owner = run(store.database.read("test", accounts.by_id_txn, AccountId(made.ours.account)))
        assert owner is not None
        inbox = store.mailbox(owner).id
        fill(store, owner, inbox, COUNT)
        store.execute("UPDATE messages SET deleted_at = %s, fate = 1 WHERE mailbox = %s", NOW_US, inbox)
        yield made


@pytest.fixture
def hasty(emptied: World) -> Iterator[Api]:
    with leaving_to_jobs(emptied.api, COUNT - 1) as api:
        yield api


def live(world: World) -> int:
    sql = "SELECT COUNT(*) FROM messages WHERE account = %s AND deleted_at = 0"
    return world.api.store.count(sql, world.ours.account)


def test_the_owner_follows_his_job_from_the_click_to_its_end(emptied: World, hasty: Api, driver: Driver) -> None:
    driver.show_on(DESKTOP)
    driver.become(f"http://127.0.0.1:{hasty.port}/web/sign-in", {})
    owner = Operator(driver, f"http://127.0.0.1:{hasty.port}")
    owner.open()
    owner.fill("Administrator's name", "owner@ours.example")
    owner.fill("Password", PASSWORD)
    owner.press("Sign in")
    owner.follow("Deleted mail")
    before = live(emptied)
    job = str(driver.run("return document.querySelector('main a[href*=\"/web/my/jobs/\"]').textContent"))
    owner.follow(job)
    owner.press(f"Cancel job no. {job.rpartition(' ')[2]}")
    owner.sees("cancelled")
    owner.follow("To your deleted mail")
    owner.press("Restore all of them")
    owner.sees("will be whether you stay here or not", "queued")
    with running_jobs(hasty):
        deadline = time.monotonic() + 30
        while "What came of it" not in owner.reads():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    owner.sees("Restored 31", "Over quota 0", "Gone 0")
    owner.follow("To your deleted mail")
    owner.sees("there is nothing to restore", "done")
    assert live(emptied) == before + COUNT + 1
    assert driver.said() == []
