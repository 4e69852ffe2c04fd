"""The contract of the collector, over every database: what is past its time goes, what a row refers to never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.task import Clock

from lightmail.config import StorageConfig
from lightmail.errors import MailError, NoSuchMailbox, Unavailable
from lightmail.jobs.garbage.collector import Pass
from lightmail.jobs.garbage.rows import RowSteps
from lightmail.jobs.garbage.service import Garbage
from lightmail.jobs.garbage.step import Done, Moment
from lightmail.model import Account, FlagMode, MailboxId, ObjectState
from lightmail.objects.backends import ObjectStore
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations import accounts, aliases, app_passwords, collect, retire
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete, subscribe
from lightmail.operations.undelete import plan, restore
from lightmail.store import messages
from lightmail.store.faults import Forgotten
from lightmail.store.undelete import Filters
from tests.support.actors import OPERATOR
from tests.support.garbagekit import DAY_US, Yard, open_yard
from tests.support.reactor import call, run
from tests.support.seaweedfs import s3_config
from tests.support.storekit import BACKENDS, NOW_US, Store, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
DELETED = (b"\\Deleted",)


def memory() -> ObjectStore:
    return open_objects(StorageConfig(driver="memory"), None)


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


@pytest.fixture
def yard(store: Store) -> Iterator[Yard]:
    with open_yard(store, memory()) as opened:
        yield opened


def inbox(yard: Yard, count: int = 0, flags: tuple[bytes, ...] = NONE) -> tuple[Account, MailboxId, list[str]]:
    """A new account, its INBOX, and the keys of `count` messages there."""
    account = yard.store.account()
    mailbox = yard.store.mailbox(account).id
    return account, mailbox, [yard.add(account, mailbox, flags) for _ in range(count)]


def tombstones(yard: Yard, mailbox: MailboxId) -> int:
    return yard.store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s AND deleted_at > 0", mailbox)


# --- messages ---


def test_an_expunged_message_goes_after_its_window_and_its_object_a_grace_later(yard: Yard) -> None:
    account, mailbox, keys = inbox(yard, 20, DELETED)
    kept = yard.add(account, mailbox)
    run(expunge(yard.store.tx, account, mailbox, None))
    yard.later(days=29.9)
    assert not yard.collect().counts["message"]
    assert yard.keys() >= {*keys, kept}
    yard.later(days=0.2)
    counts = yard.collect().counts
    assert (counts["message"], counts["object condemned"]) == (20, 20)
    assert tombstones(yard, mailbox) == 0
    assert yard.keys() >= set(keys), "condemned objects are kept for the grace"
    yard.later(hours=23)
    assert not yard.collect().counts["object deleted"]
    yard.later(hours=1.1)
    done = yard.collect()
    assert done.counts["object deleted"] == 20
    assert done.octets == 20 * len(b"octets")
    assert yard.keys() == {kept}
    assert yard.states() == {kept: ObjectState.LIVE.value}
    assert yard.store.count("SELECT COUNT(*) FROM renderings") == 1
    assert yard.store.count("SELECT COUNT(*) FROM condemned") == 0
    assert yard.store.uids(mailbox) == [21]


def test_without_a_window_a_message_goes_with_the_next_pass(store: Store) -> None:
    with open_yard(store, memory(), undelete_days=0, grace_hours=1) as yard:
        account, mailbox, keys = inbox(yard, 3, DELETED)
        run(expunge(store.tx, account, mailbox, None))
        assert yard.collect().counts["message"] == 3
        assert yard.keys() == set(keys)
        yard.later(hours=1.1)
        yard.collect()
        assert yard.keys() == set()


def test_an_object_that_another_message_refers_to_stays(yard: Yard) -> None:
    account, mailbox, keys = inbox(yard, 3, DELETED)
    archive = yard.store.mailbox(account, "Archive").id
    run(copy(yard.store.tx, account, mailbox, [2], archive))
    run(expunge(yard.store.tx, account, mailbox, None))
    for _ in range(3):
        yard.later(days=31)
        yard.collect()
    assert yard.keys() == {keys[1]}
    yard.check_law()
    run(store_flags(yard.store.tx, account, archive, [1], FlagMode.ADD, DELETED))
    run(expunge(yard.store.tx, account, archive, None))
    # What was expunged is as old as the database says: the yard's time has to pass it again.
    yard.collect()
    yard.later(days=2)
    yard.collect()
    assert yard.keys() == set()


def test_tombstones_of_what_was_moved_go_too_and_their_changes_are_forgotten(yard: Yard) -> None:
    account, mailbox, keys = inbox(yard, 4)
    archive = yard.store.mailbox(account, "Archive").id
    run(move(yard.store.tx, account, mailbox, [1, 3], archive))
    before = yard.store.mailbox(account)
    run(store_flags(yard.store.tx, account, mailbox, [2], FlagMode.ADD, [b"\\Seen"]))
    yard.later(days=31)
    yard.collect()
    after = yard.store.mailbox(account)
    assert tombstones(yard, mailbox) == 0
    assert after.forgotten_modseq == before.highest_modseq
    assert after.highest_modseq == before.highest_modseq + 1
    read = yard.store.database.read
    assert [row[1] for row in run(read("test", messages.changes_txn, mailbox, before.highest_modseq)).rows] == [2]
    with pytest.raises(Forgotten):
        run(read("test", messages.changes_txn, mailbox, before.highest_modseq - 1))
    assert yard.keys() == set(keys)
    yard.check_law()


class BetweenStatements:
    """A cursor that does something after the statements of a script that come before `position`."""

    def __init__(self, inner: Any, position: int, act: Any) -> None:
        self._inner = inner
        self._position = position
        self._act = act

    def script(self, statements: Sequence[Any]) -> list[Any]:
        first = self._inner.script(statements[: self._position])
        self._act()
        return [*first, *self._inner.script(statements[self._position :])]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("position", [1, 2])
def test_tombstones_that_go_while_changes_are_read_are_not_missed(yard: Yard, position: int) -> None:
    account, mailbox, _ = inbox(yard, 3, DELETED)
    since = yard.store.mailbox(account).highest_modseq
    run(expunge(yard.store.tx, account, mailbox, [2]))
    yard.later(days=31)

    def read(cursor: Any) -> list[int]:
        between = BetweenStatements(cursor, position, yard.collect)
        return messages.changes_txn(between, mailbox, since).expunged

    with suppress(Forgotten):
        assert run(yard.store.database.read("test", read)) == [2]


# --- mailboxes and accounts ---


def test_a_deleted_mailbox_goes_with_all_that_was_in_it(yard: Yard) -> None:
    account, _, keys = inbox(yard, 1)
    run(create(yard.store.tx, account, "old"))
    run(subscribe(yard.store.tx, account, "old"))
    old = yard.store.mailbox(account, "old")
    for _ in range(10):
        yard.add(account, old.id, (b"project-x",))
    run(delete(yard.store.tx, account, "old"))
    yard.later(days=29)
    yard.collect()
    assert yard.store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s", old.id) == 10
    yard.later(days=2)
    assert yard.collect().counts["mailbox"] == 1
    for table, column in (("mailboxes", "id"), ("messages", "mailbox"), ("keywords", "mailbox")):
        assert yard.store.count(f"SELECT COUNT(*) FROM {table} WHERE {column} = %s", old.id) == 0  # noqa: S608
    assert yard.store.count("SELECT COUNT(*) FROM subscriptions WHERE account = %s", account.id) == 1
    yard.later(days=2)
    yard.collect()
    assert yard.keys() == set(keys)
    run(create(yard.store.tx, account, "old"))
    assert yard.store.mailbox(account, "old").uidvalidity > old.uidvalidity


def test_a_deleted_account_goes_with_all_its_rows_and_leaves_its_successor_alone(yard: Yard) -> None:
    account, _, _ = inbox(yard, 9)
    run(subscribe(yard.store.tx, account, "INBOX"))
    store = yard.store
    store.execute(
        "INSERT INTO deliveries (account, digest, delivered_at) VALUES (%s, %s, %s)", account.id, b"d" * 32, 1 << 60
    )
    run(app_passwords.add_app_password(store.tx, OPERATOR, account.id, "phone"))
    run(accounts.delete_account(store.tx, OPERATOR, account.id))
    successor = run(accounts.add_account(store.tx, OPERATOR, account.address, "hash"))
    alias = f"also-{account.address}"
    run(aliases.add_alias(store.tx, OPERATOR, alias, account.address))
    kept = yard.add(successor, store.mailbox(successor).id)
    yard.later(days=31)
    counts = yard.collect().counts
    assert (counts["account"], counts["mailbox"], counts["message"]) == (1, 6, 9)
    for table in (
        "mailboxes",
        "messages",
        "subscriptions",
        "deliveries",
        "account_usage",
        "former_names",
        "app_passwords",
    ):
        assert store.count(f"SELECT COUNT(*) FROM {table} WHERE account = %s", account.id) == 0  # noqa: S608
    assert store.count("SELECT COUNT(*) FROM accounts WHERE id = %s", account.id) == 0
    assert store.count("SELECT COUNT(*) FROM aliases WHERE address = %s", alias.encode()) == 1
    yard.later(days=2)
    yard.collect()
    assert yard.keys() == {kept}


# --- objects ---


def test_an_orphan_is_quarantined_condemned_and_deleted(yard: Yard) -> None:
    young, old = yard.orphan(hours=20), yard.orphan(hours=30)
    _, _, (known,) = inbox(yard, 1)
    for other in ("journal/1", "indexes/x", "meta/epoch", "emails/ab/notes.txt"):
        yard.objects.put(other, b"not ours to touch")
    assert yard.collect().counts["orphan"] == 1
    assert yard.states() == {known: ObjectState.LIVE.value, old: ObjectState.QUARANTINED.value}
    yard.later(days=31)
    yard.collect()
    assert yard.states()[old] == ObjectState.CONDEMNED.value
    assert yard.states()[young] == ObjectState.QUARANTINED.value
    yard.later(days=1.1)
    yard.collect()
    assert not {old} & yard.keys()
    yard.later(days=40)
    yard.collect()
    yard.later(days=2)
    yard.collect()
    assert set(yard.objects.keys("")) == {known, "journal/1", "indexes/x", "meta/epoch", "emails/ab/notes.txt"}


def test_an_object_whose_append_was_refused_is_found(yard: Yard) -> None:
    account = yard.store.account(quota_messages=1)
    mailbox = yard.store.mailbox(account).id
    kept = yard.add(account, mailbox)
    stored = yard.put()
    with pytest.raises(MailError):
        run(append(yard.store.tx, account, mailbox, [NewMessage(stored, NONE, NOW_US)]))
    assert not yard.collect().counts["orphan"]
    yard.later(hours=25)
    assert yard.collect().counts["orphan"] == 1
    yard.later(days=31)
    yard.collect()
    yard.later(days=2)
    yard.collect()
    assert yard.keys() == {kept}


def test_a_delivery_cannot_refer_to_an_object_that_was_quarantined(yard: Yard) -> None:
    account, mailbox, _ = inbox(yard)
    stored = yard.put()
    run(collect.quarantine(yard.store.database, stored.key, 6, "test"))
    with pytest.raises(Unavailable):
        run(append(yard.store.tx, account, mailbox, [NewMessage(stored, NONE, NOW_US)]))
    assert yard.store.uids(mailbox) == []


def test_the_slow_round_finds_what_nothing_else_noticed(yard: Yard) -> None:
    _, mailbox, keys = inbox(yard, 30)
    yard.store.execute("DELETE FROM messages WHERE mailbox = %s AND uid <= 25", mailbox)
    yard.collect()
    yard.later(days=1.1)
    assert yard.collect().counts["object condemned"] == 25
    yard.store.execute("DELETE FROM condemned")
    yard.later(days=1.1)
    yard.collect()
    yard.check_law()
    yard.later(days=2.1)
    yard.collect()
    assert yard.keys() == set(keys[25:])


def test_a_condemned_object_that_is_referred_to_is_acquitted(yard: Yard) -> None:
    _, _, (key,) = inbox(yard, 1)
    yard.store.execute("UPDATE objects SET state = 3 WHERE object_key = %s", key.encode())
    yard.store.execute(
        "INSERT INTO condemned (object, since_us, reason) SELECT id, 1, object_key FROM objects WHERE state = 3"
    )
    assert yard.collect().counts["object acquitted"] == 1
    yard.check_law()
    yard.later(days=9)
    yard.collect()
    assert yard.keys() == {key}


# --- several at once, trouble ---


def test_two_collectors_at_once_do_what_one_does(yard: Yard) -> None:
    account, mailbox, _ = inbox(yard, 60, DELETED)
    archive = yard.store.mailbox(account, "Archive").id
    run(copy(yard.store.tx, account, mailbox, list(range(1, 21)), archive))
    run(expunge(yard.store.tx, account, mailbox, None))
    orphans = {yard.orphan(hours=30) for _ in range(5)}
    yard.later(days=31)
    for _ in range(4):
        pair = [yard.collector(), yard.collector()]
        more = True
        while more:
            done = together(*(each.once(yard.now_us, everything=True) for each in pair))
            passes = [each for each in done if isinstance(each, Pass)]
            assert len(passes) == 2, done
            more = any(each.more for each in passes)
            yard.check_law()
        yard.later(days=16)
    assert len(yard.keys()) == 20
    assert yard.referred() == yard.keys()
    assert not orphans & yard.keys()


class Brittle:
    """An object store whose calls of one name fail until it is mended; deletions may be done all the same."""

    def __init__(self, inner: ObjectStore, failing: str, *, after: bool = False) -> None:
        self.inner = inner
        self.remote = inner.remote
        self.failing = failing
        self.after = after

    def _call(self, name: str, *args: Any) -> Any:
        if name == self.failing and not self.after:
            raise Unavailable
        result = getattr(self.inner, name)(*args)
        if name == self.failing:
            raise Unavailable
        return result

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self._call("put", key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        data: bytes = self._call("read", key, start, stop)
        return data

    def size(self, key: str) -> int | None:
        found: int | None = self._call("size", key)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        self._call("delete", keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        found: list[str] = self._call("keys", prefix, after, limit)
        return found

    def check(self) -> None:
        self.inner.check()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", ["delete", "keys", "size"])
def test_a_store_that_fails_midway_loses_nothing_and_leaves_nothing(yard: Yard, failing: str, after: bool) -> None:
    account, mailbox, _ = inbox(yard, 10, DELETED)
    kept = yard.add(account, mailbox)
    run(expunge(yard.store.tx, account, mailbox, None))
    yard.orphan(hours=30)
    brittle = Brittle(yard.objects, failing, after=after)
    for _ in range(4):
        yard.later(days=16)
        with suppress(Unavailable):  # not every time has something for the call that fails
            yard.collect(yard.collector(brittle))
        yard.check_law()
    brittle.failing = ""
    for _ in range(3):
        yard.collect(yard.collector(brittle))
        yard.later(days=16)
        yard.collect(yard.collector(brittle))
    assert yard.keys() == {kept}
    assert set(yard.states()) == {kept}


def test_a_collector_backs_off_from_trouble_and_comes_back(yard: Yard) -> None:
    clock = Clock()
    failing = [True]

    async def may_collect() -> bool:
        if failing[0]:
            raise Unavailable
        return False

    collector = yard.collector()
    collector._may_collect = may_collect
    service = Garbage(collector, yard.config, reactor=clock)
    waits: list[float] = []

    def round_of() -> None:
        (due,) = call(clock.getDelayedCalls)
        waits.append(due.getTime() - clock.seconds())
        call(clock.advance, waits[-1])
        while service._round is not None:
            run(sleep_a_moment())

    call(service.startService)
    for _ in range(9):
        round_of()
    failing[0] = False
    round_of()
    round_of()
    stopping = call(service.stopService)
    assert stopping is None
    assert waits == [60, 5, 10, 20, 40, 80, 160, 300, 300, 300, 60]
    assert not clock.getDelayedCalls()


async def sleep_a_moment() -> None:
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    await deferLater(reactor, 0.01)  # type: ignore[arg-type]


def test_nothing_is_removed_while_frozen_but_old_marks(yard: Yard) -> None:
    account, mailbox, keys = inbox(yard, 3, DELETED)
    run(expunge(yard.store.tx, account, mailbox, None))
    orphan = yard.orphan(hours=99)
    yard.store.execute("INSERT INTO events (happened_at, kind, detail) VALUES (1, %s, %s)", b"a.b", b"{}")
    yard.frozen = True
    yard.later(days=99)
    done = run(yard.collector().once(yard.now_us, everything=True))
    assert done.frozen
    assert not done.more
    assert yard.keys() == {*keys, orphan}
    assert tombstones(yard, mailbox) == 3
    assert yard.store.count("SELECT COUNT(*) FROM events WHERE happened_at = 1") == 0


def test_clocks_that_are_apart_collect_nothing(yard: Yard) -> None:
    collector = yard.collector()
    collector._clock = lambda: 1_000_000_000.0
    with pytest.raises(Unavailable):
        run(collector.once())


# --- keyword bits ---


def crowd(yard: Yard) -> tuple[Account, MailboxId]:
    """A mailbox in which 40 keywords were used, of which a message has only the first ten now, and 38 and 39."""
    account, mailbox, _ = inbox(yard, 4)
    names = [b"word-%d" % number for number in range(40)]
    tx = yard.store.tx
    run(store_flags(tx, account, mailbox, [1], FlagMode.ADD, names))
    run(store_flags(tx, account, mailbox, [1], FlagMode.REPLACE, names[:10]))
    run(store_flags(tx, account, mailbox, [2], FlagMode.ADD, [names[38], b"\\Deleted"]))
    run(store_flags(tx, account, mailbox, [3], FlagMode.ADD, [names[39]]))
    run(expunge(tx, account, mailbox, None))
    return account, mailbox


def days_of_looks(yard: Yard, days: int) -> int:
    """Let the collector look once a day; how many keywords were retired."""
    steps = RowSteps(yard.store.tx)
    retired = 0
    for _ in range(days):
        yard.later(days=1.01)
        done = Done({"keyword": 1})
        while done.worked:
            done = run(steps.keywords(Moment.of(yard.config, yard.now_us)))
            retired += done.counts["keyword retired"]
    return retired


def test_a_keyword_bit_gets_another_name_only_after_it_had_none_for_long(store: Store) -> None:
    # Longer than it takes to be free: the expunged message keeps word-38 all the time.
    with open_yard(store, memory(), undelete_days=365) as yard:
        account, mailbox = crowd(yard)
        assert days_of_looks(yard, 29) == 0
        before = store.snapshot(mailbox)
        assert days_of_looks(yard, 3) == 28
        after = store.snapshot(mailbox)
        assert after.keyword_version > before.keyword_version
        assert after.highest_modseq > before.highest_modseq
        assert {name for _, name in after.keywords if name} == {b"word-%d" % number for number in (*range(10), 38, 39)}
        run(store_flags(store.tx, account, mailbox, [4], FlagMode.ADD, [b"word-20"]))
        assert dict(store.snapshot(mailbox).keywords)[16 + 40] == b"word-20", "another bit than it had"
        days_of_looks(yard, 32)
        run(store_flags(store.tx, account, mailbox, [4], FlagMode.ADD, [b"fresh"]))
        named = dict(store.snapshot(mailbox).keywords)
        assert named[16 + 10] == b"fresh", "the lowest bit that is free again"
        assert b"" not in named.values()
        assert store.flags(mailbox) == {
            1: {b"word-%d" % number for number in range(10)},
            3: {b"word-39"},
            4: {b"word-20", b"fresh"},
        }


def test_a_keyword_that_comes_and_goes_keeps_its_bit(store: Store) -> None:
    with open_yard(store, memory()) as yard:
        account, mailbox = crowd(yard)
        days_of_looks(yard, 20)
        run(store_flags(store.tx, account, mailbox, [4], FlagMode.ADD, [b"word-20"]))
        days_of_looks(yard, 2)
        run(store_flags(store.tx, account, mailbox, [4], FlagMode.REMOVE, [b"word-20"]))
        days_of_looks(yard, 20)
        assert dict(store.snapshot(mailbox).keywords)[16 + 20] == b"word-20"


def test_a_bit_that_is_used_at_the_last_moment_is_not_retired(store: Store) -> None:
    with open_yard(store, memory()) as yard:
        account, mailbox = crowd(yard)
        now = yard.now_us
        assert run(retire.look(store.tx, account.id, mailbox, now)) == 0
        run(store_flags(store.tx, account, mailbox, [4], FlagMode.ADD, [b"word-20"]))
        then = now + 31 * DAY_US
        retiring = store.tx.commit(
            "test", retire._look_txn, account.id, mailbox, set(range(16, 26)), then, account=account.id
        )
        assert run(retiring) == 27, "28 were unused when it looked first"
        assert dict(store.snapshot(mailbox).keywords)[16 + 20] == b"word-20"


# --- the law, under everything at once ---

BOXES = ["INBOX", "Archive", "a"]


class Collection(RuleBasedStateMachine):
    """Everything that makes or drops references, a clock, and a collector, one pass or all it has to do."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.opened = open_yard(self.store, memory(), batch_size=3)
        self.yard = self.opened.__enter__()
        self.collector = self.yard.collector()

    @initialize()
    def begin(self) -> None:
        self.account = self.store.account()
        # Keys of live messages by mailbox and UID, as a client that saw every answer would know them.
        self.live: dict[str, dict[int, str]] = {box: {} for box in BOXES}
        run(create(self.store.tx, self.account, "a"))

    def _box(self, name: str) -> MailboxId:
        return self.store.mailbox(self.account, name).id

    @rule(box=st.sampled_from(BOXES), count=st.integers(1, 4))
    def append(self, box: str, count: int) -> None:
        mailbox = self._box(box)
        stored = [self.yard.put() for _ in range(count)]
        new = [NewMessage(each, NONE, NOW_US) for each in stored]
        uids = run(append(self.store.tx, self.account, mailbox, new)).uids
        self.live[box].update({uid: each.key for uid, each in zip(uids, stored, strict=True)})

    @rule(hours=st.sampled_from([0.5, 30.0]))
    def lose_a_put(self, hours: float) -> None:
        self.yard.orphan(hours=hours)

    @rule(data=st.data(), box=st.sampled_from(BOXES), to=st.sampled_from(BOXES), moving=st.booleans())
    def transfer(self, data: st.DataObject, box: str, to: str, moving: bool) -> None:
        uids = self._some(data, box)
        work = move if moving else copy
        done = run(work(self.store.tx, self.account, self._box(box), uids, self._box(to)))
        keys = [self.live[box][uid] for uid in done.source_uids]
        if moving:
            for uid in done.source_uids:
                del self.live[box][uid]
        self.live[to].update(zip(done.uids, keys, strict=True))

    @rule(data=st.data(), box=st.sampled_from(BOXES))
    def expunge(self, data: st.DataObject, box: str) -> None:
        uids = self._some(data, box)
        mailbox = self._box(box)
        run(store_flags(self.store.tx, self.account, mailbox, uids, FlagMode.ADD, DELETED))
        for uid in run(expunge(self.store.tx, self.account, mailbox, uids)).uids:
            del self.live[box][uid]

    def _some(self, data: st.DataObject, box: str) -> list[int]:
        known = sorted(self.live[box])
        return data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []

    @rule()
    def delete_and_make_anew(self) -> None:
        run(delete(self.store.tx, self.account, "a"))
        run(create(self.store.tx, self.account, "a"))
        self.live["a"] = {}

    @rule()
    def restore(self) -> None:
        filters = Filters()
        planned = run(plan(self.store.tx, self.account, filters, "INBOX"))
        run(restore(self.store.tx, OPERATOR, self.account, filters, planned))
        mailbox = self._box("INBOX")
        found = self.yard.store.rows(
            "SELECT m.uid, o.object_key FROM messages m JOIN objects o ON o.id = m.object"
            " WHERE m.mailbox = %s AND m.deleted_at = 0",
            mailbox,
        )
        restored = {uid: bytes(key).decode() for uid, key in found}
        assert restored.items() >= self.live["INBOX"].items()
        self.live["INBOX"] = restored

    # The rows carry the database's own time: what was expunged a moment ago is as old as the clock is ahead.
    @rule(days=st.sampled_from([0.5, 1.1, 16]))
    def wait(self, days: float) -> None:
        self.yard.later(days=days)

    @rule()
    def one_pass(self) -> None:
        run(self.collector.once(self.yard.now_us))

    @precondition(lambda self: self.yard.shift_us > 0)
    @rule()
    def collect(self) -> None:
        self.yard.collect()

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "live"):
            return
        self.yard.check_law()
        keys = self.yard.keys()
        for box, known in self.live.items():
            assert self.store.uids(self._box(box)) == sorted(known)
            assert set(known.values()) <= keys

    def teardown(self) -> None:
        try:
            for _ in range(4):
                self.yard.later(days=31)
                self.yard.collect()
            kept = {key for known in getattr(self, "live", {}).values() for key in known.values()}
            assert self.yard.keys() == kept, "what nothing refers to has gone"
            states = {key: state for key, state in self.yard.states().items() if key in kept}
            assert set(states.values()) <= {ObjectState.LIVE.value}
        finally:
            self.opened.__exit__(None, None, None)


def test_whatever_happens_what_a_row_refers_to_is_there(store: Store) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Bound(Collection):
        pass

    Bound.store = store
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Bound, settings=settings(max_examples=10, stateful_step_count=16, deadline=None)
    )


# --- other stores ---


@pytest.mark.parametrize("driver", ["directory", pytest.param("s3", marks=pytest.mark.s3)])
def test_objects_go_from_any_store(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    s3 = None
    if driver == "s3":
        s3 = s3_config(request.getfixturevalue("s3_server"), f"garbage-{tmp_path.name}")
    objects = open_objects(StorageConfig(driver=driver, path=str(tmp_path / "objects")), s3)
    objects.check()
    with fresh_config("sqlite", tmp_path) as config, open_store(config) as store, open_yard(store, objects) as yard:
        account, mailbox, _ = inbox(yard, 5, DELETED)
        kept = yard.add(account, mailbox)
        yard.orphan(hours=30)
        run(expunge(store.tx, account, mailbox, None))
        for _ in range(3):
            yard.collect()
            yard.check_law()
            yard.later(days=31)
        assert yard.keys() == {kept}
        with pytest.raises(NoSuchMailbox):
            run(append(store.tx, account, MailboxId(10**9), [NewMessage(yard.put(), NONE, NOW_US)]))
