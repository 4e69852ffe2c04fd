"""The contract of jobs as rows: who may ask for what, who runs it, and what becomes of one whose process is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from lightmail.errors import Cannot, LimitReached, NoSuchAccount, NoSuchFile, NoSuchJob, NotPermitted
from lightmail.model import Account, AccountId
from lightmail.operations import housekeeping, jobs
from lightmail.operations.actors import Actor
from lightmail.operations.jobpaths import below, existing
from lightmail.operations.jobs import Desk
from lightmail.store.jobs import CANCELLED, DONE, INTERRUPTED, QUEUED, RUNNING, Job
from tests.support.actors import OPERATOR, of_domain
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

ONE, OTHER = b"1" * 16, b"2" * 16
MINUTES_US = 60_000_000


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    opened.execute("DELETE FROM jobs")
    opened.execute("DELETE FROM audit_log")
    return opened


def start(store: Store, kind: str = jobs.GARBAGE, actor: Actor = OPERATOR, **given: Any) -> Job:
    return run(jobs.start(store.tx, actor, kind, given.pop("arguments", {}), **given))


def now(store: Store, job: Job) -> Job:
    return run(jobs.show(store.database, OPERATOR, job.id))


def domain_of(store: Store, account: Account) -> int:
    return store.count("SELECT domain FROM accounts WHERE id = %s", account.id)


def audited(store: Store) -> list[tuple[str, str, int]]:
    rows = store.rows("SELECT action, subject, domain FROM audit_log ORDER BY id")
    found = [(bytes(action).decode(), bytes(subject).decode(), domain) for action, subject, domain in rows]
    return [each for each in found if each[0].startswith("job.")]


def test_a_job_is_queued_with_what_was_asked_and_is_in_the_audit_log(store: Store) -> None:
    account = store.account()
    job = start(store, jobs.EXPORT_MBOX, account=account.id, arguments={"path": "ada"})
    assert (job.kind, job.state, job.process, job.requested_by, job.origin) == (
        jobs.EXPORT_MBOX, QUEUED, None, "operator", "console",
    )  # fmt: skip
    assert job.arguments == {"path": "ada", "account_id": account.id, "address": account.address}
    assert job.domain == domain_of(store, account)
    assert audited(store) == [("job.start", account.address, job.domain)]


def test_an_administrator_of_a_domain_verifies_its_accounts_and_asks_for_nothing_else(store: Store) -> None:
    account = store.account()
    own = of_domain(domain_of(store, account))
    assert start(store, jobs.VERIFY, own, account=account.id).domain == own.domain
    for kind in jobs.KINDS:
        with pytest.raises(NotPermitted):
            start(store, kind, own)
        with pytest.raises(NoSuchAccount):
            start(store, kind, of_domain(99_999), account=account.id)
        if kind not in jobs.OF_A_DOMAIN:
            with pytest.raises(NotPermitted):
                start(store, kind, own, account=account.id)
    with pytest.raises(NoSuchAccount):
        start(store, jobs.VERIFY, account=AccountId(99_999))
    assert store.count("SELECT COUNT(*) FROM jobs") == len(audited(store)) == 1


def test_another_domains_jobs_are_not_there(store: Store) -> None:
    account = store.account()
    mine = start(store, jobs.VERIFY, account=account.id)
    servers = start(store)
    own, stranger = of_domain(domain_of(store, account)), of_domain(99_999)
    assert run(jobs.show(store.database, own, mine.id)).id == mine.id
    for actor, job in ((own, servers), (stranger, mine), (stranger, servers)):
        with pytest.raises(NoSuchJob):
            run(jobs.show(store.database, actor, job.id))
        with pytest.raises(NoSuchJob):
            run(jobs.cancel(store.tx, actor, job.id))

    def seen(actor: Actor) -> tuple[list[int], int]:
        found, total = run(jobs.listed(store.database, actor, before=None, limit=10))
        return [job.id for job in found], total

    assert (seen(own), seen(stranger)) == (([mine.id], 1), ([], 0))
    assert seen(OPERATOR) == ([servers.id, mine.id], 2)


def test_lists_go_by_page_and_by_what_is_wanted(store: Store) -> None:
    made = [start(store, kind).id for kind in (jobs.GARBAGE, jobs.VERIFY) * 3]
    run(jobs.claim(store.database, made[0], ONE))

    def ids(**wanted: Any) -> list[int]:
        found, _ = run(jobs.listed(store.database, OPERATOR, **{"before": None, "limit": 10, **wanted}))
        return [job.id for job in found]

    assert ids() == made[::-1]
    assert ids(limit=2, before=made[4]) == [made[3], made[2]]
    assert ids(limit=2, offset=3) == [made[2], made[1]]
    assert ids(kind=jobs.VERIFY) == made[5::-2]
    assert ids(state=RUNNING) == [made[0]]


def test_only_one_process_runs_a_job(store: Store) -> None:
    job = start(store)
    claims = [jobs.claim(store.database, job.id, process) for process in (ONE, OTHER)]
    assert sorted(together(*claims)) == [False, True]  # type: ignore[type-var]
    assert now(store, job).state == RUNNING


def test_a_secret_stays_at_the_desk_and_the_job_with_its_process(store: Store) -> None:
    desk = Desk(ONE)
    account = store.account()
    job = start(store, jobs.IMPORT_IMAP, account=account.id, arguments={"host": "h"}, secret=(desk, "xyzzy"))
    assert job.process == ONE
    assert not run(jobs.claim(store.database, job.id, OTHER))
    assert run(jobs.claim(store.database, job.id, ONE))
    for table in ("jobs", "audit_log"):
        assert b"xyzzy" not in repr(store.rows(f"SELECT * FROM {table}")).encode()  # noqa: S608
    assert (desk.take(job.reference), desk.take(job.reference)) == ("xyzzy", None)


def test_a_secret_is_not_kept_for_a_job_that_was_refused(store: Store) -> None:
    desk = Desk(ONE)
    held: list[bytes] = []
    hold = desk.hold

    class Watched(Desk):
        def hold(self, secret: str) -> bytes:
            held.append(hold(secret))
            return held[0]

        def take(self, reference: bytes) -> str | None:
            return desk.take(reference)

    with pytest.raises(NoSuchAccount):
        start(store, jobs.IMPORT_IMAP, account=AccountId(99_999), secret=(Watched(ONE), "xyzzy"))
    assert desk.take(held[0]) is None


def test_a_queued_job_is_cancelled_at_once_and_never_runs(store: Store) -> None:
    job = start(store)
    assert run(jobs.cancel(store.tx, OPERATOR, job.id)).state == CANCELLED
    assert not run(jobs.claim(store.database, job.id, ONE))
    with pytest.raises(Cannot):
        run(jobs.cancel(store.tx, OPERATOR, job.id))
    assert [action for action, _, _ in audited(store)] == ["job.start", "job.cancel"]


def test_a_running_job_is_told_that_nobody_wants_it(store: Store) -> None:
    job, kept = start(store), start(store)
    for each in (job, kept):
        run(jobs.claim(store.database, each.id, ONE))
    assert run(jobs.cancel(store.tx, OPERATOR, job.id)).state == RUNNING
    beat = run(jobs.beat(store.database, ONE, {job.id: {"percent": 7}, kept.id: {}}, []))
    assert (beat.unwanted, beat.lost) == ({job.id}, set())
    assert now(store, job).progress == {"percent": 7}
    assert run(jobs.end(store.database, job.id, ONE, CANCELLED, {}, {"x": 1}))
    assert (now(store, job).state, now(store, job).result, now(store, job).ended) == (CANCELLED, {"x": 1}, True)


def test_jobs_of_a_process_that_fell_silent_are_interrupted(store: Store) -> None:
    desk = Desk(OTHER)
    running, alive, waiting = start(store), start(store), start(store)
    held = start(store, jobs.IMPORT_IMAP, account=store.account().id, secret=(desk, "s"))
    run(jobs.claim(store.database, running.id, OTHER))
    run(jobs.claim(store.database, alive.id, ONE))
    store.execute("UPDATE jobs SET heartbeat_at = heartbeat_at - %s", 2 * MINUTES_US)
    run(jobs.beat(store.database, ONE, {alive.id: {}}, []))
    assert run(jobs.interrupt_abandoned(store.database)) == 2
    states = [now(store, job).state for job in (running, alive, waiting, held)]
    assert states == [INTERRUPTED, RUNNING, QUEUED, INTERRUPTED]
    # What it says when it comes back changes nothing any more.
    assert run(jobs.beat(store.database, OTHER, {running.id: {}}, [])).lost == {running.id}
    assert not run(jobs.end(store.database, running.id, OTHER, DONE, {}, {}))
    assert now(store, running).state == INTERRUPTED


def test_who_holds_a_queued_job_keeps_it_by_saying_so(store: Store) -> None:
    held = start(store, jobs.IMPORT_IMAP, account=store.account().id, secret=(Desk(ONE), "s"))
    store.execute("UPDATE jobs SET heartbeat_at = heartbeat_at - %s", 2 * MINUTES_US)
    run(jobs.beat(store.database, ONE, {}, [held.id]))
    assert run(jobs.interrupt_abandoned(store.database)) == 0


def test_a_crowd_of_queued_jobs_is_refused(store: Store) -> None:
    for _ in range(jobs.QUEUED_BOUND):
        start(store)
    with pytest.raises(LimitReached):
        start(store)


def test_jobs_that_ended_are_forgotten_after_a_month(store: Store) -> None:
    ended, recent, waiting = start(store), start(store), start(store)
    for job in (ended, recent):
        run(jobs.cancel(store.tx, OPERATOR, job.id))
    store.execute("UPDATE jobs SET finished_at = finished_at - %s WHERE id = %s", 31 * 24 * 60 * MINUTES_US, ended.id)
    store.execute("UPDATE jobs SET created_at = 1 WHERE id = %s", waiting.id)
    run(housekeeping.forget(store.database))
    with pytest.raises(NoSuchJob):
        now(store, ended)
    assert (now(store, recent).state, now(store, waiting).state) == (CANCELLED, QUEUED)


def test_secrets_of_jobs_that_never_came_are_dropped() -> None:
    desk = Desk(ONE)
    kept = desk.hold("a")
    desk.drop_all_but([])
    assert desk.take(kept) == "a"  # it may be on its way into a row


def test_paths_stay_below_the_directory(tmp_path: Any) -> None:
    top = tmp_path / "jobs"
    (top / "ada").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path, top / "out")
    os.symlink(top / "ada", top / "in")
    assert existing(str(top), "ada") == existing(str(top), str(top / "in")) == str(top / "ada")
    assert below(str(top), "new/one") == str(top / "new" / "one")
    for path in ("..", "../secret", "out/secret", "out", "/etc", "ada/../../secret", f"{top}2", "a\0b"):
        with pytest.raises(NoSuchFile):
            below(str(top), path)
    with pytest.raises(NoSuchFile):
        existing(str(top), "none")
    with pytest.raises(Cannot):
        below("", "ada")


def test_rows_hold_json(store: Store) -> None:
    job = start(store, jobs.IMPORT_MBOX, account=store.account().id, arguments={"path": "\udcff\N{SNOWMAN}"})
    (row,) = store.rows("SELECT arguments FROM jobs WHERE id = %s", job.id)
    assert json.loads(row[0]) == dict(job.arguments)
