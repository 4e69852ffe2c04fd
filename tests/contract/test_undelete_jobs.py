"""The contract of jobs that restore deleted messages: who may ask for one, what it restores, and how it ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred

from lightmail.config import ApiConfig, Config
from lightmail.errors import Cannot, LimitReached, NoSuchAccount, NoSuchJob, NotPermitted, OverQuota
from lightmail.jobs.requested import RUNS, Hands, JobRunner
from lightmail.jobs.requested.restoring import undelete
from lightmail.jobs.requested.work import Told, Work
from lightmail.model import Account, MailboxId
from lightmail.objects.cloud import memory_store
from lightmail.operations import jobs, mailboxes
from lightmail.operations.actors import Actor
from lightmail.operations.append import NewMessage, append
from lightmail.operations.jobs import Desk
from lightmail.operations.outcome import Changed
from lightmail.operations.restoring import Restored, restore_txn
from lightmail.operations.undelete import BATCH
from lightmail.operations.undelete_choice import arguments, choice
from lightmail.store.cursor import Cursor
from lightmail.store.jobs import CANCELLED, DONE, FAILED, Job
from lightmail.store.undelete import FOR_EVER_US, Filters
from tests.support.actors import OPERATOR, of_domain
from tests.support.bulkmail import fill
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store
from tests.support.verifykit import House, open_house

reactor: Any = installed_reactor
PATIENCE_SECONDS = 30.0
COUNT = 2 * BATCH + 7
ALL = Filters()


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory: Path = tmp_path_factory.mktemp("rows")
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


@pytest.fixture
def store(house: House) -> Store:
    return house.store


@dataclass(frozen=True)
class Emptied:
    """An account whose INBOX had so many messages, and has none any more."""

    store: Store
    account: Account
    inbox: MailboxId

    @property
    def domain(self) -> int:
        return self.store.count("SELECT domain FROM accounts WHERE id = %s", self.account.id)

    @property
    def owner(self) -> Actor:
        """Whose account it is, as the web has him."""
        return Actor(self.account.address, "192.0.2.9", -1, account=self.account.id)

    def live(self) -> int:
        sql = "SELECT COUNT(*) FROM messages WHERE account = %s AND deleted_at = 0"
        return self.store.count(sql, self.account.id)

    def audited(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Who did what: actor, action, and what is told of it."""
        sql = "SELECT actor, action, detail FROM audit_log WHERE subject = %s ORDER BY id"
        rows = self.store.rows(sql, self.account.address.encode())
        return [(bytes(row[0]).decode(), bytes(row[1]).decode(), json.loads(row[2])) for row in rows]


def emptied(store: Store, count: int = 3) -> Emptied:
    account = store.account()
    inbox = store.mailbox(account).id
    fill(store, account, inbox, count)
    store.execute("UPDATE messages SET deleted_at = %s, fate = 1 WHERE mailbox = %s", NOW_US, inbox)
    store.execute("UPDATE account_usage SET octets = 0, messages = 0 WHERE account = %s", account.id)
    return Emptied(store, account, inbox)


def hands(house: House) -> Hands:
    async def may_collect() -> bool:
        return True

    config = Config(api=ApiConfig())
    return Hands(config, house.store.tx, house.objects, house.pool, house.blobs, house.spools, may_collect)


@contextmanager
def running(house: House) -> Iterator[None]:
    """A process that runs jobs."""
    runner = JobRunner(hands(house), RUNS, Desk(os.urandom(16)), 2, reactor=reactor, interval_seconds=0.02)
    call(runner.start)
    try:
        yield
    finally:
        run(runner.stop())


def start(store: Store, of: Emptied, actor: Actor = OPERATOR, filters: Filters = ALL, **given: Any) -> Job:
    return run(jobs.start(store.tx, actor, jobs.UNDELETE, arguments(filters, **given), account=of.account.id))


def ended(store: Store, job: Job) -> Job:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := run(jobs.show(store.database, OPERATOR, job.id))).ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def done(house: House, of: Emptied, actor: Actor = OPERATOR, filters: Filters = ALL, **given: Any) -> Job:
    with running(house):
        return ended(house.store, start(house.store, of, actor, filters, **given))


# --- who may ask for it, and see it ---


def test_an_owner_restores_his_own_and_sees_no_job_but_those_he_asked_for(store: Store) -> None:
    mine, others = emptied(store), emptied(store)
    for kind in jobs.KINDS:
        with pytest.raises((NotPermitted, NoSuchAccount)):
            run(jobs.start(store.tx, mine.owner, kind, {}, account=others.account.id))
        with pytest.raises(NotPermitted):
            run(jobs.start(store.tx, mine.owner, kind, {}))
        if kind != jobs.UNDELETE:
            with pytest.raises((NotPermitted, NoSuchAccount)):
                run(jobs.start(store.tx, mine.owner, kind, {}, account=mine.account.id))
    theirs = start(store, others, others.owner)
    verifying = run(jobs.start(store.tx, OPERATOR, jobs.VERIFY, {}, account=mine.account.id))
    administrators = start(store, mine)
    run(jobs.cancel(store.tx, OPERATOR, administrators.id))
    for job in (theirs, verifying, administrators):
        for attempt in (jobs.show(store.database, mine.owner, job.id), jobs.cancel(store.tx, mine.owner, job.id)):
            with pytest.raises(NoSuchJob):
                run(attempt)
    own = start(store, mine, mine.owner)
    assert run(jobs.show(store.database, mine.owner, own.id)).id == own.id
    assert [job.id for job in run(jobs.restoring(store.database, mine.owner, mine.account.id, mine.domain))] == [own.id]
    assert run(jobs.listed(store.database, mine.owner, before=None, limit=10)) == ([], 0)
    assert run(jobs.cancel(store.tx, mine.owner, own.id)).state == CANCELLED
    asked = [(actor, action) for actor, action, _ in mine.audited() if actor == mine.account.address]
    assert asked == [(mine.account.address, "job.start"), (mine.account.address, "job.cancel")]


def test_a_domains_administrator_restores_and_sees_what_is_its_own(store: Store) -> None:
    of = emptied(store)
    with pytest.raises(NoSuchAccount):
        start(store, of, of_domain(99_999))
    job = start(store, of, of_domain(of.domain))
    assert [each.id for each in run(jobs.restoring(store.database, OPERATOR, of.account.id, of.domain))] == [job.id]
    stranger = of_domain(99_999)
    assert run(jobs.restoring(store.database, stranger, of.account.id, of.domain)) == []
    with pytest.raises(NoSuchJob):
        run(jobs.show(store.database, stranger, job.id))


def test_one_account_s_messages_are_restored_by_one_job_at_a_time(store: Store) -> None:
    of = emptied(store)
    job = start(store, of)
    with pytest.raises(Cannot, match=f"job no. {job.id}"):
        start(store, of, of.owner)
    start(store, emptied(store))
    run(jobs.cancel(store.tx, OPERATOR, job.id))
    start(store, of, of.owner)


def test_owners_leave_places_in_the_queue_to_administrators(store: Store) -> None:
    for _ in range(jobs.OWNERS_BOUND):
        run(jobs.start(store.tx, OPERATOR, jobs.GARBAGE, {}))
    of = emptied(store)
    with pytest.raises(LimitReached):
        start(store, of, of.owner)
    start(store, of)


# --- what it restores ---


def test_it_restores_what_was_chosen_in_batches_that_say_who_asked(house: House) -> None:
    of = emptied(house.store, COUNT)
    job = done(house, of, of.owner)
    assert (job.state, job.progress) == (
        DONE, {"stage": "INBOX", "done": COUNT, "total": COUNT, "percent": 100},
    )  # fmt: skip
    mailboxes_ = [{"mailbox": "INBOX", "restored": COUNT}]
    assert job.result == {"restored": COUNT, "over_quota": 0, "gone": 0, "mailboxes": mailboxes_}
    assert of.live() == COUNT
    restored = [(actor, detail["messages"]) for actor, action, detail in of.audited() if action == "message.restore"]
    assert restored == [(of.account.address, count) for count in (BATCH, BATCH, 7)]
    assert done(house, of).result == {"restored": 0, "over_quota": 0, "gone": 0, "mailboxes": []}


def test_filters_choose_and_a_mailbox_is_made(house: House) -> None:
    store, of = house.store, emptied(house.store, 20)
    assert done(house, of, filters=Filters(sender="no. 7"), into="Back").result["restored"] == 1
    assert "Back" in store.names(of.account)
    store.execute("UPDATE messages SET deleted_at = %s WHERE mailbox = %s AND uid > 10", NOW_US + 5, of.inbox)
    assert done(house, of, filters=Filters(since_us=NOW_US + 5, until_us=NOW_US + 6)).result["restored"] == 10
    assert done(house, of, filters=Filters(mailbox="Other")).result["restored"] == 0
    assert done(house, of, filters=Filters(box=of.inbox, subject="nr. 1 ")).result["restored"] == 1
    run(mailboxes.delete(store.tx, of.account, "Back"))
    assert done(house, of, filters=Filters(whole=True)).result["restored"] == 1
    assert of.live() == 12


def test_what_is_deleted_after_it_was_asked_for_is_left_alone(house: House) -> None:
    store, of = house.store, emptied(house.store)
    job = start(store, of)
    late = "UPDATE messages SET deleted_at = %s WHERE mailbox = %s AND uid = 2"
    store.execute(late, job.created_us + 1, of.inbox)
    with running(house):
        assert ended(store, job).result["restored"] == 2
    assert store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s AND uid = 2 AND fate = 1", of.inbox) == 1


def test_a_job_of_an_account_that_is_gone_or_another_s_by_now_restores_nothing(house: House) -> None:
    store, of = house.store, emptied(house.store)
    job = start(store, of, of_domain(of.domain))
    store.execute("UPDATE accounts SET domain = domain + 1000 WHERE id = %s", of.account.id)
    with running(house):
        assert (ended(store, job).state, of.live()) == (FAILED, 0)


# --- how it ends ---


class Watched(Told):
    """Tells as `Told` does, and does something after the first batch."""

    def __init__(self, after_first: Callable[[], Any]) -> None:
        super().__init__()
        self._after_first = after_first
        self.heard = 0

    def count(self, stage: str, done: int, total: int) -> None:
        super().count(stage, done, total)
        self.heard += 1
        if self.heard == 1:
            self._after_first()


def work(of: Emptied, told: Told) -> Work:
    return Work({"account_id": of.account.id}, None, told, OPERATOR, time.time_ns() // 1000)


def test_one_that_is_cancelled_ends_with_its_batch_and_the_next_does_the_rest(house: House) -> None:
    of = emptied(house.store, COUNT)
    working: list[Deferred[Any]] = []
    told = Watched(lambda: working[0].cancel())

    async def cancelled() -> None:
        working.append(Deferred.fromCoroutine(undelete(hands(house), work(of, told))))
        with pytest.raises(CancelledError):
            await working[0]

    run(cancelled())
    assert of.live() == told.come["restored"] == BATCH
    assert done(house, of).result["restored"] == COUNT - BATCH
    assert of.live() == COUNT
    assert house.store.usage(of.account) == (1000 * COUNT, COUNT)


def test_a_cancelled_job_s_row_says_what_it_restored(house: House) -> None:
    of = emptied(house.store, COUNT)
    store = house.store
    told: list[Told] = []

    async def slow(given: Hands, work: Work) -> dict[str, Any]:
        told.append(work.told)
        result = await undelete(given, work)
        await Deferred()  # until it is cancelled
        return result

    runner = JobRunner(hands(house), {jobs.UNDELETE: slow}, Desk(b"1" * 16), 2, reactor=reactor, interval_seconds=0.02)
    call(runner.start)
    try:
        job = start(store, of)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (told and told[0].document().get("percent") == 100):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run(jobs.cancel(store.tx, OPERATOR, job.id))
        found = ended(store, job)
    finally:
        run(runner.stop())
    assert (found.state, found.result["restored"]) == (CANCELLED, COUNT)


def test_where_not_all_fits_nothing_comes_back(house: House) -> None:
    of = emptied(house.store, 3)
    house.store.execute("UPDATE accounts SET quota_messages = 2 WHERE id = %s", of.account.id)
    job = done(house, of)
    assert (job.state, job.result["restored"], job.result["over_quota"], of.live()) == (FAILED, 0, 3, 0)
    assert "3 messages of 3000 octets do not fit" in job.result["error"]


def test_mail_that_comes_meanwhile_takes_the_room(house: House) -> None:
    of = emptied(house.store, COUNT)
    store = house.store
    store.execute("UPDATE accounts SET quota_messages = %s WHERE id = %s", COUNT, of.account.id)
    comes = append(store.tx, of.account, of.inbox, [NewMessage(blob(), (), NOW_US) for _ in range(COUNT - BATCH)])
    arriving: list[Deferred[Any]] = []
    told = Watched(lambda: arriving.append(Deferred.fromCoroutine(comes)))
    with pytest.raises(OverQuota, match="not all was restored"):
        run(undelete(hands(house), work(of, told)))
    assert (told.come["restored"], told.come["over_quota"], told.come["gone"]) == (BATCH, COUNT - BATCH, 0)
    assert of.live() == COUNT


def test_what_others_restore_meanwhile_is_called_gone(house: House) -> None:
    of = emptied(house.store, COUNT)
    store = house.store

    def theirs(cursor: Cursor) -> Changed[Restored]:
        return restore_txn(cursor, of.account.id, [(of.inbox, uid) for uid in range(COUNT - 2, COUNT + 1)], of.inbox)

    def begin() -> None:
        commit = store.tx.commit("test", theirs, account=of.account.id, mailboxes={of.inbox})
        restoring.append(Deferred.fromCoroutine(commit))

    restoring: list[Deferred[Any]] = []
    result = run(undelete(hands(house), work(of, Watched(begin))))
    assert (result["restored"], result["gone"], result["over_quota"]) == (COUNT - 3, 3, 0)
    assert of.live() == COUNT


# --- what its row says ---


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(mailbox="Work/2026", since_us=1, until_us=1_790_000_000_123_456, sender="a", subject="b", whole=True),
        Filters(mailbox="", box=7),
        Filters(since_us=NOW_US, until_us=FOR_EVER_US - 1),
    ],
)
@pytest.mark.parametrize("into", [None, "Back"])
def test_a_row_keeps_what_was_chosen(filters: Filters, into: str | None) -> None:
    if filters.until_us == FOR_EVER_US - 1:
        filters = replace(filters, until_us=NOW_US + 1)
    given = json.loads(json.dumps(arguments(filters, into)))
    assert choice(given) == (filters, into)
