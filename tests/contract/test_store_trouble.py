"""What happens to operations when the database fails under them (DESIGN section 5, P1, P6, P8)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from lightmail.errors import MailError, OverQuota, Unavailable
from lightmail.model import FlagMode, MailboxId
from lightmail.operations.append import Appended, NewMessage, append
from lightmail.operations.deliver import Delivered, Recipient, deliver
from lightmail.operations.flags import store_flags
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import messages
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database, open_database
from lightmail.store.faults import CommitUnknown, Conflict
from lightmail.store.messages import OwnChange
from lightmail.store.mysql import MySqlDatabase
from tests.support import mariadb
from tests.support.faultproxy import COMMIT, DOWN, UP, Direction, Effect, Fault, FaultProxy, fault_proxy
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Heard, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
LOSSES = 10


class Troubled(Database):
    """A database whose next attempts end as `plan` says, one entry each: what befalls them, or None."""

    def __init__(self, inner: Database) -> None:
        super().__init__(connections=inner.connections, reactor=inner.reactor)
        self.inner = inner
        self.plan: list[Callable[[Callable[..., Any]], Any] | None] = []
        self.attempts: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def check(self) -> None: ...

    async def migrate(self) -> list[str]:
        return []

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        return await self.inner.read(*args, **kwargs)

    async def attempt(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.attempts.append(name)
        trouble = self.plan.pop(0) if self.plan else None

        async def go() -> Any:
            return await self.inner.attempt(name, *args, **kwargs)

        return await (go() if trouble is None else trouble(go))


async def committed_but_lost(go: Callable[[], Any]) -> None:
    raise CommitUnknown(await go())


async def lost_before_commit(go: Callable[[], Any]) -> None:
    raise CommitUnknown(Changed(["what the function returned"]))


async def conflict(go: Callable[[], Any]) -> None:
    raise Conflict("deadlock")


async def unavailable(go: Callable[[], Any]) -> None:
    raise Unavailable


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def troubled(store: Store, *plan: Any) -> tuple[Transactions, Troubled]:
    database = Troubled(store.database)
    database.plan = list(plan)
    return Transactions(database, store.heard), database


# --- a fault at the driver's interface ---


@pytest.mark.parametrize(
    ("plan", "attempts"),
    [
        ([committed_but_lost], ["append", "settle"]),
        ([lost_before_commit], ["append", "settle", "append"]),
        ([committed_but_lost, conflict, unavailable], ["append", "settle", "settle", "settle"]),
        ([lost_before_commit, None, lost_before_commit], ["append", "settle", "append", "settle", "append"]),
        ([conflict, conflict, committed_but_lost], ["append", "append", "append", "settle"]),
        ([conflict] * 4, ["append"] * 5),
    ],
)
def test_what_is_answered_is_stored_exactly_once(store: Store, plan: list[Any], attempts: list[str]) -> None:
    account = store.account()
    inbox = store.mailbox(account)
    tx, database = troubled(store, *plan)
    appended = run(append(tx, account, inbox.id, [NewMessage(blob(), NONE, NOW_US)]))
    assert appended == Appended(inbox.uidvalidity, [1])
    assert store.uids(inbox.id) == [1]
    assert store.usage(account) == (1000, 1)
    assert database.attempts == attempts
    assert store.heard.hints[-1] == (inbox.id, store.snapshot(inbox.id).highest_modseq)


@pytest.mark.parametrize(
    ("plan", "attempts"),
    [([committed_but_lost], 2), ([lost_before_commit], 2), ([conflict, committed_but_lost, conflict], 4)],
)
def test_a_change_of_flags_is_made_again_when_its_answer_is_lost(store: Store, plan: list[Any], attempts: int) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 3)
    tx, database = troubled(store, *plan)
    run(store_flags(tx, account, inbox, [1, 2], FlagMode.ADD, [b"\\Seen", b"word"]))
    assert store.flags(inbox) == {1: {b"\\Seen", b"word"}, 2: {b"\\Seen", b"word"}, 3: set()}
    assert database.attempts == ["flags"] * attempts, "there is nothing to be settled"
    assert store.heard.hints[-1] == (inbox, store.snapshot(inbox).highest_modseq), "whichever of the two was committed"


def test_what_others_change_before_it_is_made_again_comes_first(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE])

    async def overtaken(go: Callable[[], Any]) -> None:
        done = await go()
        await store_flags(store.tx, account, inbox, [1], FlagMode.REPLACE, [b"\\Draft"])
        raise CommitUnknown(done)

    tx, _ = troubled(store, overtaken)
    change = run(store_flags(tx, account, inbox, [1], FlagMode.ADD, [b"\\Seen"]))
    assert store.flags(inbox) == {1: {b"\\Draft", b"\\Seen"}}
    assert (change.modseq, change.changed) == (store.snapshot(inbox).highest_modseq, 1)


def test_a_change_of_flags_that_cannot_be_committed_is_a_transient_answer(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE])
    tx, _ = troubled(store, *[lost_before_commit] * 5)
    with pytest.raises(Unavailable):
        run(store_flags(tx, account, inbox, [1], FlagMode.ADD, [b"\\Seen"]))


@pytest.mark.parametrize(
    "plan",
    [
        [conflict] * 5,
        [unavailable],
        [lost_before_commit, *[unavailable] * 8],
        [committed_but_lost, *[conflict] * 8],
        [committed_but_lost, lost_before_commit],
    ],
)
def test_what_cannot_be_known_is_a_transient_answer_and_never_done_twice(store: Store, plan: list[Any]) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    to = Recipient(account, inbox, "user@example.org")
    tx, database = troubled(store, *plan)
    with pytest.raises(Unavailable):
        run(deliver(tx, blob(), "s", b"d" * 32, [to], NOW_US))
    assert database.plan == []
    assert len(store.uids(inbox)) <= 1
    outcome = run(deliver(store.tx, blob(), "s", b"d" * 32, [to], NOW_US))
    assert [isinstance(each, MailError) for each in outcome] == [False]
    assert store.uids(inbox) == [1], "the message that came again found out what became of the first"


def test_a_bug_in_one_of_a_group_is_its_own(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    bad = blob()
    object.__setattr__(bad, "octets", "no number")
    good = [append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]) for _ in range(4)]
    outcomes = together(*good, append(store.tx, account, inbox, [NewMessage(bad, NONE, NOW_US)]))
    assert [type(outcome) for outcome in outcomes[:4]] == [Appended] * 4
    assert isinstance(outcomes[4], Exception)
    assert not isinstance(outcomes[4], MailError)
    assert len(store.uids(inbox)) == 4


# --- many at once ---


def two_processes(store: Store) -> tuple[Transactions, Transactions]:
    """What two processes on one store have: nothing in common but the database. SQLite has one process only."""
    if store.database.dialect == "sqlite":
        return store.tx, store.tx
    return store.tx, Transactions(store.database, Heard())


def test_no_reader_sees_a_uid_and_later_a_lower_new_one(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    writers = two_processes(store)
    seen: list[list[int]] = []

    async def write() -> None:
        for number in range(40):
            await append(writers[number % 2], account, inbox, [NewMessage(blob(), NONE, NOW_US)])

    async def watch(done: list[bool]) -> None:
        watermark = 0
        while not done:
            changes = await store.database.read("watch", messages.changes_txn, inbox, watermark)
            watermark = changes.highest_modseq
            seen.append([row[1] for row in changes.rows])

    async def scenario() -> None:
        done: list[bool] = []
        watching = [Deferred.fromCoroutine(watch(done))]
        await gatherResults([Deferred.fromCoroutine(write()) for _ in range(6)])
        done.append(True)
        await gatherResults(watching)
        await watch_once()

    async def watch_once() -> None:
        changes = await store.database.read("watch", messages.changes_txn, inbox, 0)
        seen.append([row[1] for row in changes.rows])

    run(scenario())
    highest = 0
    known: set[int] = set()
    for uids in seen:
        new = set(uids) - known
        assert all(uid > highest for uid in new)
        known |= new
        highest = max(known, default=0)
    assert known == set(range(1, 241))
    modseqs = [row[2] for row in store.snapshot(inbox).rows]
    assert modseqs == sorted(modseqs)


def test_concurrent_flags_all_hold(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 3)
    writers = two_processes(store)
    names = [b"\\Seen", b"\\Flagged", b"\\Answered", b"\\Draft", *[b"key%d" % number for number in range(20)]]
    outcomes = together(
        *(
            store_flags(writers[number % 2], account, inbox, [1, 2, 3], FlagMode.ADD, [name])
            for number, name in enumerate(names)
        )
    )
    assert all(isinstance(outcome, OwnChange) for outcome in outcomes)
    assert store.flags(inbox) == {uid: set(names) for uid in (1, 2, 3)}


def test_quota_is_exact_under_concurrency(store: Store) -> None:
    account = store.account(quota_octets=10_500)
    boxes = [store.mailbox(account, name).id for name in ("INBOX", "Archive", "Sent")]
    writers = two_processes(store)
    outcomes = together(
        *(
            append(writers[number % 2], account, boxes[number % 3], [NewMessage(blob(), NONE, NOW_US)])
            for number in range(30)
        )
    )
    assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, OverQuota) for outcome in outcomes) == 20
    assert store.usage(account) == (10_000, 10)
    assert sum(len(store.uids(box)) for box in boxes) == 10


def test_deliveries_and_deletes_of_many_accounts_cross_without_loss(store: Store) -> None:
    accounts = [store.account() for _ in range(4)]
    places = [Recipient(account, store.mailbox(account).id, account.address) for account in accounts]
    writers = two_processes(store)
    outcomes = together(
        *(
            deliver(writers[number % 2], blob(), "s", None, places if number % 2 else places[::-1], NOW_US)
            for number in range(20)
        )
    )
    assert all(isinstance(each, Delivered) for outcome in outcomes for each in outcome)  # type: ignore[union-attr]
    for place in places:
        assert store.uids(place.mailbox) == list(range(1, 21))
        assert store.usage(place.account) == (20_000, 20)


# --- a full disk under SQLite ---


def test_a_full_disk_is_transient_and_harms_nothing(tmp_path: Path) -> None:
    with fresh_config("sqlite", tmp_path) as config, open_store(config) as store:
        account = store.account()
        inbox = store.fill(account, "INBOX", [NONE])
        pages = store.count("PRAGMA page_count")
        store.execute(f"PRAGMA max_page_count = {pages}")
        heavy = [NewMessage(blob(header=os.urandom(200_000)), NONE, NOW_US)]
        light = store_flags(store.tx, account, inbox, [1], FlagMode.ADD, [b"\\Seen"])
        outcomes = together(*(append(store.tx, account, inbox, heavy) for _ in range(3)), light)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes[:3])
        assert store.uids(inbox) == [1]
        assert store.usage(account) == (1000, 1)
        store.execute("PRAGMA max_page_count = 1000000")
        assert run(append(store.tx, account, inbox, heavy)).uids == [2]


def test_a_transaction_that_is_gone_is_not_taken_for_committed(tmp_path: Path) -> None:
    """SQLite rolls back on its own for want of disk; here the body does it, unseen by the one that commits."""

    def write(cursor: Cursor) -> str:
        cursor.execute("INSERT INTO domains (name, created_at) VALUES (%s, 1)", (b"lost.example",))
        cursor.execute("ROLLBACK")
        return "done"

    with fresh_config("sqlite", tmp_path) as config, open_store(config) as store:
        outcomes = together(store.database.run("test", write))
        assert isinstance(outcomes[0], Exception)
        assert store.count("SELECT COUNT(*) FROM domains WHERE name = %s", b"lost.example") == 0
        assert run(store.database.run("test", lambda cursor: "next")) == "next"


# --- a real MariaDB in trouble ---


@pytest.fixture(scope="module")
def maria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config("mariadb", tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def test_a_deadlock_is_retried(maria: Store) -> None:
    account = maria.account()
    ids = [maria.mailbox(account, name).id for name in ("INBOX", "Sent")]
    both = threading.Barrier(2)
    runs = []

    def crossing(cursor: Cursor, order: list[MailboxId]) -> str:
        runs.append(order)
        cursor.execute("UPDATE mailboxes SET recent_uid = recent_uid + 1 WHERE id = %s", (order[0],))
        if len(runs) <= 2:
            both.wait(10)
        cursor.execute("UPDATE mailboxes SET recent_uid = recent_uid + 1 WHERE id = %s", (order[1],))
        return "done"

    outcomes = together(
        maria.database.run("crossing", crossing, ids), maria.database.run("crossing", crossing, ids[::-1])
    )
    assert outcomes == ["done", "done"]
    assert len(runs) == 3
    assert [maria.mailbox(account, name).recent_uid for name in ("INBOX", "Sent")] == [2, 2]


def test_a_lock_that_is_held_too_long_is_waited_for_again(maria: Store) -> None:
    account = maria.account()
    inbox = maria.mailbox(account).id
    with mariadb.server().connect(database=maria_name(maria)) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM mailboxes WHERE id = %s FOR UPDATE", (inbox,))

        async def scenario() -> Appended:
            appending = Deferred.fromCoroutine(append(maria.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
            # innodb_lock_wait_timeout is 3 s: the first attempt ends by then, and gives up all its locks.
            await deferLater(reactor, 3.3)
            holder.rollback()
            return await appending

        assert run(scenario()).uids == [1]
    assert maria.uids(inbox) == [1]


def maria_name(store: Store) -> str:
    def read(cursor: Cursor) -> str:
        cursor.execute("SELECT DATABASE()")
        row = cursor.fetchone()
        assert row is not None
        return str(row[0])

    return run(store.database.read("test", read))


def kill_connections(store: Store) -> int:
    name = maria_name(store)
    with mariadb.server().connect() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        ids = [row[0] for row in cursor.fetchall()]
        for each in ids:
            cursor.execute(f"KILL {each}")
    return len(ids)


def test_connections_that_died_while_idle_are_replaced_unseen(maria: Store) -> None:
    account = maria.account()
    for _ in range(2):
        together(*(maria.database.read("test", lambda cursor: cursor.execute("SELECT SLEEP(0.05)")) for _ in range(8)))
        assert kill_connections(maria) == 8
        assert store_uid(maria, account) > 0
        assert kill_connections(maria) >= 1
        assert maria.usage(account)[1] > 0


def store_uid(store: Store, account: Any) -> int:
    return run(append(store.tx, account, store.mailbox(account).id, [NewMessage(blob(), NONE, NOW_US)])).uids[0]


def test_a_connection_killed_within_a_transaction_runs_it_again(maria: Store) -> None:
    runs: list[int] = []

    def write(cursor: Cursor) -> int:
        cursor.execute("SELECT CONNECTION_ID()")
        row = cursor.fetchone()
        assert row is not None
        runs.append(row[0])
        cursor.execute("INSERT INTO domains (name, created_at) VALUES (%s, 1)", (b"killed",))
        if len(runs) == 1:
            with mariadb.server().connect() as admin, admin.cursor() as other:
                other.execute(f"KILL {row[0]}")
        cursor.execute("SELECT COUNT(*) FROM domains WHERE name = %s", (b"killed",))
        counted = cursor.fetchone()
        assert counted is not None
        return int(counted[0])

    assert run(maria.database.run("test", write)) == 1
    assert len(set(runs)) == 2


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Store, FaultProxy]]:
    """A store on MariaDB behind a proxy."""
    with (
        fresh_config("mariadb", tmp_path, socket=None, pool_size=4) as config,
        fault_proxy((config.host, config.port)) as proxy,
        open_store(replace(config, port=proxy.port)) as store,
    ):
        yield store, proxy


@pytest.mark.parametrize("lost", [UP, DOWN], ids=["the COMMIT", "its answer"])
def test_a_connection_cut_at_commit_is_settled(proxied: tuple[Store, FaultProxy], lost: Direction) -> None:
    store, proxy = proxied
    account = store.account()
    inbox = store.mailbox(account).id
    for number in range(1, LOSSES + 1):
        proxy.meet(Fault(lost, Effect.CLOSE, at=COMMIT, times=1))
        assert run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)])).uids == [number]
        assert proxy.befallen == 1
    assert store.uids(inbox) == list(range(1, LOSSES + 1))
    assert store.usage(account) == (1000 * LOSSES, LOSSES)
    assert store.trips("settle") > 0


def test_a_commit_that_never_arrived_blocks_its_settlement_until_the_server_gives_up(
    proxied: tuple[Store, FaultProxy],
) -> None:
    store, proxy = proxied
    account = store.account()
    inbox = store.mailbox(account).id
    proxy.meet(Fault(UP, Effect.ABANDON, at=COMMIT, times=1))

    async def scenario() -> Appended:
        appending = Deferred.fromCoroutine(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
        await deferLater(reactor, 1.0)
        # Nothing may have been done a second time while the first may still commit.
        assert not appending.called
        proxy.drop()
        return await appending

    assert run(scenario()).uids == [1]
    assert store.uids(inbox) == [1]


def test_an_outage_is_transient_and_over_when_it_is_over(proxied: tuple[Store, FaultProxy]) -> None:
    store, proxy = proxied
    account = store.account()
    inbox = store.mailbox(account).id
    events: list[LogEvent] = []
    call(globalLogPublisher.addObserver, events.append)
    try:
        proxy.refuse()
        with pytest.raises(Unavailable):
            run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
        for _ in range(5):
            with pytest.raises(Unavailable):
                store.usage(account)
        proxy.heal()
        assert run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)])).uids == [1]
    finally:
        call(globalLogPublisher.removeObserver, events.append)
    lines = [formatEvent(event) for event in events if event["log_namespace"] == "lightmail.store.mysql"]
    assert [line.split(":")[0] for line in lines] == ["no connection to the database", "the database answers again"]


def test_a_server_that_falls_silent_is_waited_for_so_long_and_no_longer(proxied: tuple[Store, FaultProxy]) -> None:
    store, proxy = proxied
    account = store.account()
    inbox = store.mailbox(account).id
    config = replace(mariadb.server().config(maria_name(store)), socket=None, port=proxy.port)
    impatient = MySqlDatabase(config, reactor=reactor, answer_seconds=0.3)

    def write(cursor: Cursor) -> None:
        cursor.execute("UPDATE mailboxes SET recent_uid = 1 WHERE id = %s", (inbox,))
        proxy.meet(Fault(UP, Effect.SWALLOW))

    async def scenario() -> None:
        await impatient.start()
        began = time.monotonic()
        with pytest.raises(CommitUnknown):
            await impatient.attempt("test", write)
        for way in (impatient.read, impatient.attempt):
            with pytest.raises((Unavailable, Conflict)):
                await way("test", lambda cursor: cursor.execute("SELECT 1"))
        assert time.monotonic() - began < 5
        proxy.heal()
        assert await impatient.read("test", lambda cursor: cursor.execute("SELECT 1")) == 1
        await impatient.stop()

    run(scenario())


def test_a_second_database_on_the_same_rows(tmp_path: Path) -> None:
    with fresh_config("mariadb", tmp_path) as config, open_store(config) as first:
        account = first.account()
        inbox = first.mailbox(account).id
        other = open_database(config)

        async def scenario() -> None:
            await other.start()
            try:
                tx = Transactions(other, Heard())
                both = [
                    append(each, account, inbox, [NewMessage(blob(), NONE, NOW_US)])
                    for each in (tx, first.tx)
                    for _ in range(20)
                ]
                await gatherResults([Deferred.fromCoroutine(each) for each in both])
            finally:
                await other.stop()

        run(scenario())
        assert first.uids(inbox) == list(range(1, 41))
