"""What runs jobs: so many at once, ended when asked for by whoever, told of in their rows, and never run twice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from lightmail.config import ApiConfig, Config, GarbageConfig
from lightmail.errors import Cannot, Unavailable
from lightmail.jobs.requested import RUNS, Hands, JobRunner
from lightmail.jobs.requested.work import Run, Work
from lightmail.model import Account
from lightmail.objects.backends import ObjectStore
from lightmail.objects.cloud import memory_store
from lightmail.operations import jobs
from lightmail.operations.jobs import Desk
from lightmail.store.jobs import CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, Job
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, fresh_config, open_store
from tests.support.verifykit import House, open_house
from tests.unit.test_importing_imap import FakeServer, bodies

reactor: Any = installed_reactor
PATIENCE_SECONDS = 20.0


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("rows")
    with (
        fresh_config(request.param, directory) as config,
        open_store(config) as store,
        open_house(store, memory_store(), directory) as house,
    ):
        yield house


@pytest.fixture
def house(opened: House) -> House:
    opened.store.execute("DELETE FROM jobs")
    return opened


@dataclass
class Handwork:
    """A kind of job that tests end by hand."""

    begun: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    async def run(self, hands: Hands, work: Work) -> dict[str, Any]:
        self.begun += 1
        work.told.count("stage", 1, 4)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            self.ended += 1
        return {"secret": work.secret}

    def finish(self, error: Exception | None = None) -> None:
        """Let what runs end, all of it."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                call(each.callback, None) if error is None else call(each.errback, error)


@contextmanager
def running(
    house: House, runs: Mapping[str, Run], *, at_once: int = 2, directory: str = "", process: bytes = b""
) -> Iterator[Desk]:
    """A process that runs jobs."""
    config = Config(api=ApiConfig(job_directory=directory), garbage=GarbageConfig())

    async def may_collect() -> bool:
        return True

    desk = Desk(process or os.urandom(16))
    hands = Hands(config, house.store.tx, house.objects, house.pool, house.blobs, house.spools, may_collect)
    runner = JobRunner(hands, runs, desk, at_once, reactor=reactor, interval_seconds=0.02)
    call(runner.start)
    try:
        yield desk
    finally:
        run(runner.stop())


def start(house: House, kind: str = jobs.GARBAGE, **given: Any) -> Job:
    return run(jobs.start(house.store.tx, OPERATOR, kind, given.pop("arguments", {}), **given))


def now(house: House, job: Job) -> Job:
    return run(jobs.show(house.store.database, OPERATOR, job.id))


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds; AssertionError when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(house: House, job: Job) -> Job:
    until(lambda: now(house, job).ended)
    return now(house, job)


def test_so_many_run_at_once_and_the_others_wait(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.GARBAGE: work.run}, at_once=2):
        made = [start(house) for _ in range(3)]
        until(lambda: [now(house, job).state for job in made] == [RUNNING, RUNNING, QUEUED])
        until(lambda: now(house, made[0]).progress == {"stage": "stage", "done": 1, "total": 4, "percent": 25})
        assert work.begun == 2
        work.finish()
        until(lambda: work.begun == 3)
        work.finish()
        assert [ended(house, job).state for job in made] == [DONE] * 3


def test_two_processes_run_each_job_once(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.GARBAGE: work.run}), running(house, {jobs.GARBAGE: work.run}):
        made = [start(house) for _ in range(4)]
        until(lambda: work.begun == 4)
        work.finish()
        assert {ended(house, job).state for job in made} == {DONE}
    assert work.begun == 4


def test_a_job_is_cancelled_by_who_does_not_run_it(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.GARBAGE: work.run}):
        job = start(house)
        until(lambda: work.begun == 1)
        run(jobs.cancel(house.store.tx, OPERATOR, job.id))
        assert ended(house, job).state == CANCELLED
        assert work.ended == 1


def test_a_cancelled_job_is_cancelled_whatever_its_ending_meets(house: House) -> None:
    work = Handwork()

    async def meets_trouble(hands: Hands, given: Work) -> dict[str, Any]:
        try:
            return await work.run(hands, given)
        finally:
            raise Unavailable

    with running(house, {jobs.GARBAGE: meets_trouble}):
        job = start(house)
        until(lambda: work.begun == 1)
        run(jobs.cancel(house.store.tx, OPERATOR, job.id))
        assert ended(house, job).state == CANCELLED


def test_what_goes_wrong_is_told_and_a_bugs_text_is_not(house: House) -> None:
    for error, text in (
        (Unavailable(reason="the store is away"), "the store is away"),
        (RuntimeError("sesame"), "an unexpected failure; its traceback stands in the server's log"),
    ):
        work = Handwork()
        with running(house, {jobs.GARBAGE: work.run}):
            job = start(house)
            until(lambda work=work: work.begun == 1)
            work.finish(error)
            found = ended(house, job)
            assert (found.state, found.result) == (FAILED, {"error": text})


def test_a_stop_interrupts_what_runs_and_leaves_what_waits(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.GARBAGE: work.run}, at_once=1):
        first, second = start(house), start(house)
        until(lambda: work.begun == 1)
    assert (now(house, first).state, now(house, second).state, work.ended) == (INTERRUPTED, QUEUED, 1)


def test_a_job_that_became_anothers_is_left_alone(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.GARBAGE: work.run}):
        job = start(house)
        until(lambda: work.begun == 1)
        house.store.execute("UPDATE jobs SET process = %s, state = %s", b"x" * 16, INTERRUPTED.encode())
        until(lambda: work.ended == 1)
        assert now(house, job).state == INTERRUPTED


def test_the_answer_to_claiming_it_may_be_lost(house: House) -> None:
    work = Handwork()
    job = start(house)
    run(jobs.claim(house.store.database, job.id, b"p" * 16))
    with running(house, {jobs.GARBAGE: work.run}, process=b"p" * 16):
        until(lambda: work.begun == 1)
        work.finish()
        assert ended(house, job).state == DONE


def test_jobs_of_the_dead_are_called_interrupted(house: House) -> None:
    job = start(house)
    run(jobs.claim(house.store.database, job.id, b"d" * 16))
    house.store.execute("UPDATE jobs SET heartbeat_at = heartbeat_at - %s", 120_000_000)
    with running(house, {}):
        assert ended(house, job).state == INTERRUPTED


def test_a_secret_reaches_the_work_and_no_row(house: House) -> None:
    work = Handwork()
    with running(house, {jobs.IMPORT_IMAP: work.run}) as desk:
        account = house.store.account()
        job = start(house, jobs.IMPORT_IMAP, account=account.id, secret=(desk, "xyzzy"))
        until(lambda: work.begun == 1)
        assert b"xyzzy" not in repr(house.store.rows("SELECT * FROM jobs")).encode()
        work.finish()
        # Only because this kind tells it.
        assert ended(house, job).result == {"secret": "xyzzy"}


# --- what they do ---


def done(house: House, kind: str, account: Account | None, directory: Path | None, **arguments: Any) -> Job:
    """A job of that kind, once it has ended."""
    with running(house, RUNS, directory=str(directory or "")):
        owner = None if account is None else account.id
        return ended(house, start(house, kind, account=owner, arguments=arguments))


@pytest.mark.parametrize("format_", ["maildir", "mbox"])
def test_mail_goes_out_and_comes_in_by_files_of_the_directory(house: House, format_: str, tmp_path: Path) -> None:
    source, target = house.store.account(), house.store.account()
    house.fill(source, count=5)
    out = done(house, f"export-{format_}", source, tmp_path, path="out")
    assert (out.state, out.result["written"]) == (DONE, 5)
    back = done(house, f"import-{format_}", target, tmp_path, path="out")
    assert (back.state, back.result["brought"]) == (DONE, 5)
    assert house.store.usage(target) == house.store.usage(source)
    again = done(house, f"import-{format_}", target, tmp_path, path="out")
    assert (again.result["brought"], again.result["known"]) == (0, 5)


def test_no_job_leaves_its_directory(house: House, tmp_path: Path) -> None:
    top = tmp_path / "jobs"
    top.mkdir()
    os.symlink(tmp_path, top / "up")
    account = house.store.account()
    for kind in (jobs.EXPORT_MAILDIR, jobs.EXPORT_MBOX, jobs.IMPORT_MAILDIR, jobs.IMPORT_MBOX):
        for path in ("../x", "up/x", "/tmp"):
            found = done(house, kind, account, top, path=path)
            assert (found.state, found.result) == (FAILED, {"error": "The path is not below [api] job_directory."})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs"]
    assert done(house, jobs.EXPORT_MBOX, account, None, path="x").state == FAILED


def plain(command: bytes) -> bytes | None:
    """A server elsewhere that is told passwords as they are, and has two messages in each of four mailboxes."""
    answer = bodies(command)
    return answer.replace(b" AUTH=PLAIN", b"") if answer is not None else None


def test_mail_comes_from_another_server_with_a_password_that_no_row_has(house: House, tmp_path: Path) -> None:
    fake = FakeServer(plain)
    told, read, lost = (house.store.account() for _ in range(3))
    (tmp_path / "password").write_text("xyzzy\n")
    elsewhere = {"host": "127.0.0.1", "port": fake.port, "tls": "off", "user": "ada"}
    try:
        with running(house, RUNS, directory=str(tmp_path)) as desk:
            job = start(house, jobs.IMPORT_IMAP, account=told.id, arguments=elsewhere, secret=(desk, "xyzzy"))
            assert ended(house, job).result["brought"] == 8
        found = done(house, jobs.IMPORT_IMAP, read, tmp_path, password_file="password", **elsewhere)
        assert found.result["brought"] == 8
    finally:
        fake.stop()
    assert [each for each in fake.commands if each.startswith(b"LOGIN")] == [b'LOGIN "ada" "xyzzy"'] * 2
    assert b"xyzzy" not in repr(house.store.rows("SELECT * FROM jobs")).encode()
    found = done(house, jobs.IMPORT_IMAP, lost, tmp_path, password_file="none", **elsewhere)
    assert found.result == {"error": "There is no such file or directory below [api] job_directory."}
    found = done(house, jobs.IMPORT_IMAP, lost, tmp_path, **elsewhere)
    assert found.result == {"error": "The password was told to a process that is gone; start the job again."}


def test_verifying_tells_what_it_found(house: House, tmp_path: Path) -> None:
    account = house.store.account()
    mailbox = house.fill(account, count=2)
    assert done(house, jobs.VERIFY, account, tmp_path, deep=True).result["clean"] is True
    _, ref = house.ref(mailbox, 1)
    _delete(house.objects, ref.key)
    found = done(house, jobs.VERIFY, account, tmp_path)
    assert (found.state, found.result["clean"], found.progress["percent"]) == (DONE, False, 100)
    (finding,) = found.result["findings"]
    assert (finding["finding"], finding["key"]) == ("object-absent", ref.key)
    house.store.execute("DELETE FROM messages WHERE mailbox = %s AND uid = 1", mailbox)


def _delete(objects: ObjectStore, key: str) -> None:
    objects.delete([key])


def test_garbage_is_collected(house: House, tmp_path: Path) -> None:
    found = done(house, jobs.GARBAGE, None, tmp_path)
    assert (found.state, found.progress["percent"]) == (DONE, 100)
    assert found.result["passes"] >= 1


def test_an_import_that_is_cancelled_goes_on_when_it_is_started_again(house: House, tmp_path: Path) -> None:
    account = house.store.account()
    source = house.store.account()
    house.fill(source, count=40)
    done(house, jobs.EXPORT_MAILDIR, source, tmp_path, path="out")
    reached: Deferred[None] = Deferred()

    async def slow(hands: Hands, work: Work) -> dict[str, Any]:
        count = work.told.count

        def heard(stage: str, done_: int, total: int) -> None:
            count(stage, done_, total)
            if not reached.called:
                reached.callback(None)

        work.told.count = heard  # type: ignore[method-assign]
        return await RUNS[jobs.IMPORT_MAILDIR](hands, work)

    with running(house, {jobs.IMPORT_MAILDIR: slow}, directory=str(tmp_path)):
        job = start(house, jobs.IMPORT_MAILDIR, account=account.id, arguments={"path": "out"})
        run(_wait(reached))
        if not now(house, job).ended:
            run(_cancelled(house, job))
        assert ended(house, job).state in (CANCELLED, DONE)
    after = done(house, jobs.IMPORT_MAILDIR, account, tmp_path, path="out")
    assert after.result["known"] + after.result["brought"] == 40
    assert house.store.usage(account) == house.store.usage(source)


async def _wait(deferred: Deferred[None]) -> None:
    await deferred


async def _cancelled(house: House, job: Job) -> None:
    with suppress(Cannot):  # it was quicker
        await jobs.cancel(house.store.tx, OPERATOR, job.id)
