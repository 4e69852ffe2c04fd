"""A database that is behind its bucket is found out: nothing is deleted, no UID comes back, and no alarm is false."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from twisted.internet import reactor

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.index.view import View
from lightmail.jobs.epochs import KEY, Epochs, decode, encode
from lightmail.model import Account, FlagMode
from lightmail.notify.hints import Notifier
from lightmail.notify.poll import Poll
from lightmail.objects.backends import ObjectStore
from lightmail.objects.cloud import memory_store
from lightmail.objects.directory import DirectoryStore
from lightmail.operations.copy import copy
from lightmail.operations.deliver import Recipient, deliver
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import rename
from lightmail.store import epochs as rows
from lightmail.store import mailboxes, messages
from lightmail.store.epochs import Collection, Mark
from lightmail.store.mailboxes import JUMP
from lightmail.threads import BoundedPool
from tests.support.backups import back_up, restore
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
EVERYTHING = [f"emails/{place:02x}/object" for place in range(4)]


class Bucket:
    """An object store that takes no writes while it is told so, and says what it was asked to delete."""

    remote = False

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.broken = False
        self.deleted: list[str] = []

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        if self.broken:
            raise Unavailable
        self.store.put(key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        return self.store.read(key, start, stop)

    def size(self, key: str) -> int | None:
        return self.store.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        self.deleted += keys
        self.store.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        return self.store.keys(prefix, after, limit)

    def check(self) -> None:
        self.store.check()

    @property
    def mark(self) -> Mark:
        return decode(self.read(KEY, 0, 4096))


class Server:
    """A process on a store and a bucket: its collector, its indexes, and what it polls."""

    def __init__(self, store: Store, bucket: Bucket, pool: BoundedPool) -> None:
        self.store = store
        self.notifier = Notifier(reactor)
        self.epochs = Epochs(store.database, bucket, pool)
        self.indexes = Indexes(store.database, self.notifier, 1 << 20, reactor=reactor)
        self.indexes.when_behind(self.epochs.lost_tail)
        self.poll = Poll(self.notifier, self.indexes.modseqs, reactor=reactor)

    def passes(self, times: int = 1) -> bool:
        """So many passes of the collector; whether it could work in the last."""
        return [run(self.epochs.begin_pass()) for _ in range(times)][-1]

    def row(self) -> Collection:
        return run(self.store.database.read("test", rows.read_txn))

    def select(self, account: Account, name: str = "INBOX") -> MailboxIndex:
        return run(self.indexes.acquire(account, self.store.mailbox(account, name)))


@pytest.fixture(scope="module", params=BACKENDS)
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseConfig]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as made:
        yield made


@pytest.fixture(scope="module")
def opened(config: DatabaseConfig) -> Iterator[Store]:
    with open_store(config) as store:
        yield store


@pytest.fixture(scope="module")
def pool() -> Iterator[BoundedPool]:
    made = BoundedPool("objects", 4, 100, reactor=reactor)  # type: ignore[arg-type]
    call(made.start)
    yield made
    run(made.stop())


@pytest.fixture(params=["directory", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    bucket = Bucket(DirectoryStore(str(tmp_path / "objects")) if request.param == "directory" else memory_store())
    bucket.check()
    for key in EVERYTHING:
        bucket.put(key, b"mail")
    return bucket


@pytest.fixture
def server(opened: Store, bucket: Bucket, pool: BoundedPool) -> Server:
    """A server whose database and bucket are new to each other."""
    opened.execute("UPDATE store SET epoch = 1 WHERE id = 1")
    opened.execute("UPDATE mailboxes SET epoch = 1")
    opened.execute("UPDATE collection SET lineage = %s, epoch = 1, passes = 0, high_water_us = 0, frozen_at = 0", b"")
    return Server(opened, bucket, pool)


# --- what happens to a database that is behind ---


def test_a_restored_database_is_frozen_and_rises_above_its_bucket(
    server: Server, config: DatabaseConfig, bucket: Bucket, tmp_path: Path
) -> None:
    assert server.passes(2)
    back_up(config, tmp_path / "copy")
    assert server.passes(3)
    restore(config, tmp_path / "copy")
    run(server.epochs.check())
    row = server.row()
    assert row.frozen_at
    assert "behind its bucket" in row.frozen_reason
    assert row.store_epoch == row.mark.epoch == bucket.mark.epoch == 2
    assert bucket.mark == row.mark
    assert row.mark.passes > 5
    assert not server.passes(3), "frozen until an operator says otherwise"
    assert server.row().store_epoch == 2, "once is enough"
    run(server.epochs.unfreeze())
    assert server.passes()
    status = run(server.epochs.status())
    assert (status.epoch, status.frozen_at, status.frozen_reason) == (2, 0, "")
    assert bucket.keys("emails") == EVERYTHING
    assert not bucket.deleted


def test_no_uid_and_no_modseq_of_the_lost_tail_comes_back(
    server: Server, config: DatabaseConfig, tmp_path: Path
) -> None:
    store, account = server.store, server.store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 3)
    archive = store.mailbox(account, "Archive").id
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    store.fill(account, "INBOX", [NONE] * 5)
    seen = store.mailbox(account)
    restore(config, tmp_path / "copy")
    server.passes()
    place = Recipient(account, inbox, account.address)
    run(deliver(store.tx, blob(), "s", None, [place], NOW_US))
    copied = run(copy(store.tx, account, inbox, [1, 2], archive))
    now = store.mailbox(account)
    assert store.uids(inbox) == [1, 2, 3, JUMP + 4]
    assert copied.uids == [JUMP + 1, JUMP + 2]
    assert now.uidnext > seen.uidnext
    assert now.highest_modseq > seen.highest_modseq
    with pytest.raises(messages.Forgotten):
        run(store.database.read("test", messages.changes_txn, inbox, seen.highest_modseq))


def test_the_same_backup_restored_again_jumps_further(server: Server, config: DatabaseConfig, tmp_path: Path) -> None:
    store, account = server.store, server.store.account()
    inbox = store.mailbox(account).id
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    given: list[int] = []
    for _ in range(3):
        restore(config, tmp_path / "copy")
        server.passes()
        store.fill(account, "INBOX", [NONE])
        given += store.uids(inbox)
    assert given == [JUMP + 1, 2 * JUMP + 1, 3 * JUMP + 1]
    assert server.row().store_epoch == 4


def test_ids_of_the_lost_tail_do_not_come_back(server: Server, config: DatabaseConfig, tmp_path: Path) -> None:
    store, account = server.store, server.store.account()
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    store.fill(account, "INBOX", [NONE] * 3)
    lost, other = store.count("SELECT MAX(object) FROM messages"), store.account()
    restore(config, tmp_path / "copy")
    server.passes()
    inbox = store.fill(account, "INBOX", [NONE])
    assert store.snapshot(inbox).rows[0][6] > lost + 1000
    assert store.account().id > other.id + 1000
    assert store.count("SELECT COUNT(*) FROM messages WHERE mailbox = 0") == 0


def test_status_and_select_jump_too(server: Server, config: DatabaseConfig, tmp_path: Path) -> None:
    store, account = server.store, server.store.account()
    store.fill(account, "INBOX", [NONE] * 2)
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    restore(config, tmp_path / "copy")
    server.passes()

    async def ask(counts: bool) -> mailboxes.MailboxStatus | None:
        return await rows.read(store.database, "status", mailboxes.status_txn, account.id, "INBOX", counts)

    for counts in (True, False):
        status = run(ask(counts))
        assert status is not None
        assert (status.uidnext, status.highest_modseq) == (JUMP + 3, JUMP + 2)
    index = server.select(account, "Sent")
    assert (index.uidnext, index.epoch) == (JUMP + 1, 2)
    call(server.indexes.release, index)


# --- what the sessions of a running process see ---


def test_sessions_learn_what_the_database_has_lost(server: Server, config: DatabaseConfig, tmp_path: Path) -> None:
    store, account = server.store, server.store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 4)
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    store.fill(account, "INBOX", [NONE] * 2)
    run(store_flags(store.tx, account, inbox, [1], FlagMode.ADD, [b"\\Flagged"]))
    run(store_flags(store.tx, account, inbox, [3], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(store.tx, account, inbox, None))
    index = server.select(account)
    view = call(View, index)
    assert list(index.uids) == [1, 2, 4, 5, 6]
    restore(config, tmp_path / "copy")
    run(server.epochs.check())
    run(server.poll.poll_once())
    run(server.indexes.refresh(index))
    updates = view.updates(may_expunge=True)
    assert list(updates.expunged) == [5, 4], "UIDs 5 and 6 went with the tail"
    assert (1, 1, 0) in updates.flags, "and so did the flag"
    fresh = server.select(account)
    assert list(fresh.uids) == [1, 2, 3, 4], "what the tail had expunged is back, for those who come anew"
    assert list(index.uids) == [1, 2, 4], "a UID that a session saw go does not come back to it"
    assert server.select(account) is fresh
    store.fill(account, "INBOX", [NONE])
    run(store_flags(store.tx, account, inbox, [3, 4], FlagMode.ADD, [b"\\Seen"]))
    run(server.poll.poll_once())
    for each, uids in ((index, [1, 2, 4, JUMP + 5]), (fresh, [1, 2, 3, 4, JUMP + 5])):
        run(server.indexes.refresh(each))
        assert list(each.uids) == uids
    updates = view.updates(may_expunge=True)
    assert (updates.exists, list(updates.flags)) == (4, [(3, 4, 1)])
    for each in (index, fresh, fresh):
        call(server.indexes.release, each)
    assert list(server.select(account).uids) == [1, 2, 3, 4, JUMP + 5]


def test_an_index_that_nobody_holds_is_discarded(server: Server, config: DatabaseConfig, tmp_path: Path) -> None:
    store, account = server.store, server.store.account()
    store.fill(account, "INBOX", [NONE])
    server.passes()
    back_up(config, tmp_path / "copy")
    server.passes()
    store.fill(account, "INBOX", [NONE] * 3)
    call(server.indexes.release, server.select(account))
    restore(config, tmp_path / "copy")
    run(server.epochs.check())
    index = server.select(account)
    assert (list(index.uids), index.epoch) == ([1], 2)
    call(server.indexes.release, index)


def test_a_session_that_knows_more_than_the_database_raises_the_alarm(
    server: Server, config: DatabaseConfig, bucket: Bucket, tmp_path: Path
) -> None:
    """A failover that lost some seconds, in which the collector made no pass."""
    store, account, other = server.store, server.store.account(), server.store.account()
    inbox = store.fill(account, "INBOX", [NONE])
    server.passes()
    back_up(config, tmp_path / "copy")
    store.fill(account, "INBOX", [NONE] * 2)
    index, quiet = server.select(account), server.select(other)
    view = call(View, index)
    restore(config, tmp_path / "copy")
    run(server.epochs.check())
    assert not server.row().frozen_at, "the marks are level"
    run(server.poll.poll_once())
    row = server.row()
    assert row.frozen_at
    assert row.store_epoch == bucket.mark.epoch == 2
    run(server.indexes.refresh(index))
    assert list(view.updates(may_expunge=True).expunged) == [3, 2]
    store.fill(account, "INBOX", [NONE])
    assert store.uids(inbox) == [1, JUMP + 2]
    for _ in range(3):
        run(server.poll.poll_once())
        run(server.indexes.refresh(quiet, force=True))
    assert server.row().store_epoch == 2, "once is enough"
    for each in (index, quiet):
        call(server.indexes.release, each)


def test_a_lost_tail_that_a_session_knows_is_found_when_the_bucket_is_away(
    server: Server, config: DatabaseConfig, bucket: Bucket, tmp_path: Path
) -> None:
    store, account = server.store, server.store.account()
    server.passes()
    back_up(config, tmp_path / "copy")
    store.fill(account, "INBOX", [NONE] * 2)
    index = server.select(account)
    restore(config, tmp_path / "copy")
    bucket.broken = True
    run(server.poll.poll_once())
    assert (server.row().store_epoch, len(index)) == (1, 2)
    bucket.broken = False
    run(server.poll.poll_once())
    assert (server.row().store_epoch, len(index)) == (2, 0)
    call(server.indexes.release, index)


# --- what is no alarm ---


def test_sessions_that_change_what_they_watch_are_no_alarm(server: Server) -> None:
    store, account = server.store, server.store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 3)
    index = server.select(account)
    for flag in (b"\\Seen", b"\\Flagged", b"\\Answered"):
        changes = [store_flags(store.tx, account, inbox, [uid], FlagMode.ADD, [flag]) for uid in (1, 2, 3)]
        together(*changes, server.poll.poll_once(), server.indexes.refresh(index, force=True))
    run(rename(store.tx, account, "Archive", "Elsewhere"))
    run(server.poll.poll_once())
    assert not server.row().frozen_at
    call(server.indexes.release, index)


def test_a_crash_between_the_two_writes_is_no_alarm(server: Server, bucket: Bucket) -> None:
    bucket.broken = True
    with pytest.raises(Unavailable):
        server.passes()
    bucket.broken = False
    assert server.passes(2)
    for _ in range(3):
        bucket.broken = True
        with pytest.raises(Unavailable):
            server.passes()
        bucket.broken = False
        run(server.epochs.check())
        assert not server.row().frozen_at
    assert bucket.mark.passes == server.row().mark.passes - 3
    assert server.passes()
    assert bucket.mark == server.row().mark


def test_many_collectors_raise_no_alarm(server: Server, bucket: Bucket, pool: BoundedPool) -> None:
    others = [Epochs(server.store.database, bucket, pool) for _ in range(4)]
    for _ in range(5):
        results = together(*(each.begin_pass() for each in others))
        assert all(result is True or isinstance(result, Unavailable) for result in results), results
        assert True in results
    assert server.passes()
    assert server.row().store_epoch == 1


def test_a_put_that_arrives_late_is_no_alarm(server: Server, bucket: Bucket) -> None:
    server.passes()
    late = bucket.mark
    server.passes(3)
    bucket.put(KEY, encode(late))
    run(server.epochs.check())
    assert server.passes()


def test_clocks_that_differ_are_no_alarm(server: Server, bucket: Bucket) -> None:
    server.passes()
    # As after a failover, without loss, to a server whose clock is a day behind.
    server.store.execute("UPDATE collection SET high_water_us = high_water_us + 86400000000")
    bucket.put(KEY, encode(server.row().mark))
    before = server.row().mark.high_water_us
    assert server.passes(2)
    assert server.row().mark.high_water_us > before


# --- other databases, other buckets ---


def test_two_databases_at_one_bucket_are_both_frozen(
    server: Server, bucket: Bucket, pool: BoundedPool, config: DatabaseConfig, tmp_path: Path
) -> None:
    server.passes()
    back_up(config, tmp_path / "copy")
    kind = "sqlite" if config.driver == "sqlite" else "mariadb"
    with fresh_config(kind, tmp_path) as second_config:
        restore(second_config, tmp_path / "copy")
        with open_store(second_config) as second_store:
            second = Server(second_store, bucket, pool)
            for _ in range(2):
                server.passes()
                second.passes()
            assert server.row().frozen_at
            assert second.row().frozen_at
            epochs = server.row().store_epoch, second.row().store_epoch
            for _ in range(5):
                assert not server.passes()
                assert not second.passes()
            assert (server.row().store_epoch, second.row().store_epoch) == epochs, "neither drives the other on"
            run(server.epochs.unfreeze())
            assert server.passes()
            assert not second.passes()
            assert not server.passes(), "the other is still there"
    run(server.epochs.unfreeze())
    assert server.passes(3)
    assert bucket.keys("emails") == EVERYTHING


def test_a_bucket_without_a_mark_freezes_all_but_a_first_start(server: Server, bucket: Bucket) -> None:
    run(server.epochs.check())
    assert bucket.mark == server.row().mark
    assert not server.row().frozen_at, "a first start, or an upgrade"
    assert server.passes()
    bucket.store.delete([KEY])
    run(server.epochs.check())
    row = server.row()
    assert row.frozen_at
    assert "no meta/epoch" in row.frozen_reason
    assert row.store_epoch == 1, "nothing says that rows were lost"


def test_a_new_database_before_a_used_bucket_is_frozen(server: Server, bucket: Bucket) -> None:
    bucket.put(KEY, encode(Mark(b"l" * 16, 7, 90, 1_800_000_000_000_000)))
    run(server.epochs.check())
    row = server.row()
    assert row.frozen_at
    assert row.store_epoch == 8
    assert bucket.mark == row.mark
    assert row.mark.passes > 90


def test_an_alarm_cut_short_is_carried_on(server: Server, bucket: Bucket) -> None:
    server.passes()
    bucket.put(KEY, encode(Mark(b"other lineage...", 5, 3, 1)))
    bucket.broken = True
    run(server.epochs.check())
    row = server.row()
    assert row.frozen_at, "nothing is collected"
    assert row.store_epoch == 1, "nothing jumps before the bucket knows of it"
    bucket.broken = False
    run(server.epochs.check())
    row = server.row()
    assert row.store_epoch == row.mark.epoch == bucket.mark.epoch == 6


def test_a_mark_that_cannot_be_read_stops_the_pass_and_raises_no_alarm(server: Server, bucket: Bucket) -> None:
    server.passes()
    for damaged in (b"", b"{}", b"null", b'{"format": 2}', b"\xff" * 5000, b"[" * 5000):
        bucket.put(KEY, damaged)
        with pytest.raises(Unavailable):
            server.passes()
        run(server.epochs.check())
    assert not server.row().frozen_at


def test_whoever_restores_may_freeze_by_hand(server: Server) -> None:
    run(server.store.database.run("test", rows.freeze_txn, "recovered from the bucket"))
    assert not server.passes()
    assert run(server.epochs.status()).frozen_reason == "recovered from the bucket"
    run(server.epochs.unfreeze())
    assert server.passes()
