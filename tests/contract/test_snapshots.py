"""Snapshots of indexes, over every database: with one or without, whatever is wrong with it, an index is the same."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightmail.config import StorageConfig
from lightmail.index.chunk_writer import OBJECTS_AT_ONCE
from lightmail.index.mailbox import MailboxIndex
from lightmail.jobs.snapshots import SnapshotWriter
from lightmail.jobs.verify import Options
from lightmail.metrics import SNAPSHOTS
from lightmail.model import Account, FlagMode
from lightmail.objects import keys as object_keys
from lightmail.objects.backends import ObjectStore
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations import epochs, mailboxes, retire
from lightmail.operations.accounts import delete_account
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.purge import purge_messages
from lightmail.store import epochs as stored_epochs
from lightmail.store import progress
from lightmail.store.collection import clock_txn
from tests.support.actors import OPERATOR
from tests.support.garbagekit import Yard, open_yard
from tests.support.reactor import call, run
from tests.support.seaweedfs import s3_config
from tests.support.snapshotkit import Process, Site, facts, lookups, open_site
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store
from tests.support.verifying import findings

NONE: tuple[bytes, ...] = ()
SEEN = (b"\\Seen",)
TAGGED = (b"Project", b"\\Flagged")
FLAGS = (NONE, SEEN, TAGGED, (b"\\Seen", b"later"))


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


@pytest.fixture
def site(store: Store) -> Iterator[Site]:
    with open_site(store, open_objects(StorageConfig(driver="memory"), None)) as opened:
        yield opened


def filled(store: Store, count: int = 12) -> Account:
    """A new account with messages of all kinds in its INBOX, and gaps where some were expunged."""
    account = store.account()
    store.fill(account, "INBOX", [FLAGS[at % len(FLAGS)] for at in range(count)])
    remove(store, account, [3, 7])
    return account


def remove(store: Store, account: Account, uids: list[int]) -> None:
    """Expunge messages."""
    flag(store, account, uids, (b"\\Deleted",))
    run(expunge(store.tx, account, store.mailbox(account).id, uids))


def flag(
    store: Store, account: Account, uids: list[int], names: tuple[bytes, ...], mode: FlagMode = FlagMode.ADD
) -> None:
    run(store_flags(store.tx, account, store.mailbox(account).id, uids, mode, names))


# --- present, absent, stale, damaged ---


def test_an_index_from_a_snapshot_is_the_one_from_rows(site: Site) -> None:
    account = filled(site.store)
    assert site.process().write(account)
    hits = lookups("hit")
    assert site.cold(account) == site.rows(account)
    assert lookups("hit") == hits + 1


def test_what_changed_since_is_in_the_index(site: Site) -> None:
    store, account = site.store, filled(site.store)
    site.process().write(account)
    store.fill(account, "INBOX", [SEEN, NONE])
    flag(store, account, [1, 2], SEEN)
    flag(store, account, [4], (b"brand-new",))
    remove(store, account, [5, 13])
    hits = lookups("hit")
    assert site.cold(account) == site.rows(account)
    assert lookups("hit") == hits + 1


def test_a_small_mailbox_is_read_from_its_rows_at_once(site: Site) -> None:
    account = filled(site.store)
    missing = lookups("missing")
    process = site.process(messages=500)
    assert facts(process.load(account)) == site.rows(account)
    assert lookups("missing") == missing


def test_without_a_snapshot_the_rows_are_read(site: Site) -> None:
    account = filled(site.store)
    trips, missing = site.store.trips("index"), lookups("missing")
    site.cold(account)
    assert lookups("missing") == missing + 1
    # The look for a snapshot, and one script.
    if site.store.database.dialect == "mysql":
        assert site.store.trips("index") == trips + 2


def test_a_snapshot_whose_object_is_gone_costs_a_reading_of_the_rows(site: Site) -> None:
    account = filled(site.store)
    site.process().write(account)
    pointer = site.pointer(account)
    assert pointer is not None
    site.objects.delete([pointer.key])
    missing = lookups("missing")
    assert site.cold(account) == site.rows(account)
    assert lookups("missing") == missing + 1


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def test_a_flipped_bit_anywhere_costs_a_reading_of_the_rows(site: Site) -> None:
    account = filled(site.store)
    site.process().write(account)
    pointer, expected = site.pointer(account), site.rows(account)
    assert pointer is not None
    data = site.objects.read(pointer.key, 0, pointer.octets)
    places = random.Random(4).sample(range(len(data)), 25)
    for variant in [*(damaged(data, at) for at in places), data[:-1], data[: len(data) // 2], b"", data[8:]]:
        site.objects.put(pointer.key, variant)
        found = lookups("damaged")
        assert site.cold(account) == expected
        assert lookups("damaged") == found + 1
    site.objects.put(pointer.key, data)
    hits = lookups("hit")
    assert site.cold(account) == expected
    assert lookups("hit") == hits + 1


def test_the_snapshot_of_another_mailbox_is_not_used(site: Site) -> None:
    store, account, other = site.store, filled(site.store), filled(site.store, 5)
    for each in (account, other):
        site.process().write(each)
    theirs = site.pointer(other)
    assert theirs is not None
    store.execute(
        "UPDATE snapshots SET object_key = %s, octets = %s, sha256 = %s, epoch = %s, uidvalidity = %s, modseq = %s"
        " WHERE mailbox = %s",
        *(theirs.key.encode(), theirs.octets, theirs.sha256, theirs.epoch, theirs.uidvalidity, theirs.modseq),
        store.mailbox(account).id,
    )
    assert site.cold(account) == site.rows(account)


def purged(site: Site, account: Account) -> None:
    now_us = run(site.store.database.read("clock", clock_txn))
    run(purge_messages(site.store.tx, now_us + 1, now_us, 100))


def renamed(site: Site, account: Account) -> None:
    """Another UIDVALIDITY, as a mailbox gets that is renamed to a name that had a higher one."""
    site.store.execute(
        "UPDATE mailboxes SET uidvalidity = uidvalidity + 5, highest_modseq = highest_modseq + 1 WHERE id = %s",
        site.store.mailbox(account).id,
    )


def ahead(site: Site, account: Account) -> None:
    """A snapshot of a time that the database has lost."""
    site.store.execute("UPDATE snapshots SET modseq = modseq + 100 WHERE mailbox = %s", site.store.mailbox(account).id)


def epoch_risen(site: Site, account: Account) -> None:
    row = run(site.store.database.read("test", stored_epochs.read_txn))
    run(epochs.raise_to(site.store.database, row.store_epoch + 1))


@pytest.mark.parametrize("make_stale", [purged, renamed, ahead, epoch_risen])
def test_a_stale_snapshot_costs_a_reading_of_the_rows(site: Site, make_stale: Callable[[Site, Account], None]) -> None:
    store, account = site.store, filled(site.store)
    site.process().write(account)
    remove(store, account, [1])
    make_stale(site, account)
    stale = lookups("stale")
    assert site.cold(account) == site.rows(account)
    assert lookups("stale") == stale + 1
    # And a new one takes its place.
    assert site.process().write(account)
    hits = lookups("hit")
    assert site.cold(account) == site.rows(account)
    assert lookups("hit") == hits + 1


def test_what_is_forgotten_while_a_root_is_read_is_noticed(site: Site) -> None:
    store, account = site.store, filled(site.store)
    site.process().write(account)

    class Slow:
        """Objects that are read so slowly that tombstones are purged meanwhile."""

        remote = False

        def __getattr__(self, name: str) -> object:
            return getattr(site.objects, name)

        def read(self, key: str, start: int, stop: int) -> bytes:
            store.execute(
                "UPDATE mailboxes SET highest_modseq = 900, forgotten_modseq = 899 WHERE account = %s", account.id
            )
            return site.objects.read(key, start, stop)

    stale = lookups("stale")
    with open_site(store, Slow()) as slow:  # type: ignore[arg-type]
        assert slow.cold(account) == site.rows(account)
    assert lookups("stale") == stale + 1


def test_a_keyword_bit_that_got_another_name_since_has_the_new_one(site: Site) -> None:
    store, account = site.store, filled(site.store)
    inbox = store.mailbox(account).id
    site.process().write(account)
    tagged = [uid for uid, names in store.flags(inbox).items() if b"Project" in names]
    flag(store, account, tagged, (b"Project",), FlagMode.REMOVE)
    (bit,) = [bit for bit, name in store.snapshot(inbox).keywords if name == b"Project"]
    # Past all the days that it rests, in one go.
    store.execute("UPDATE messages SET flags = flags & %s WHERE mailbox = %s AND deleted_at > 0", ~(1 << bit), inbox)
    for day in (0, 31):
        run(retire.look(store.tx, account.id, inbox, day * 86_400_000_000))
    assert run(retire.free(store.tx, 90 * 86_400_000_000, 100))
    flag(store, account, [2, 4], (b"Another",))
    assert (bit, b"Another") in store.snapshot(inbox).keywords
    hits = lookups("hit")
    assert site.cold(account) == site.rows(account)
    assert lookups("hit") == hits + 1


# --- writing ---


def test_a_snapshot_is_written_again_once_much_has_changed(site: Site) -> None:
    store, account = site.store, store_with(site.store, 250)
    process = site.process()
    index = process.load(account)
    assert [run(process.writer.once()) for _ in range(2)] == [0, 1]
    first = site.pointer(account)
    flag(store, account, list(range(1, 200)), SEEN)
    run(process.indexes.refresh(index, force=True))
    rested(process.writer)
    assert [run(process.writer.once()) for _ in range(2)] == [0, 0]
    flag(store, account, [201], SEEN)
    run(process.indexes.refresh(index, force=True))
    assert [run(process.writer.once()) for _ in range(2)] == [0, 1]
    second = site.pointer(account)
    assert first is not None
    assert second is not None
    assert second.modseq > first.modseq
    assert site.cold(account) == site.rows(account)


def store_with(store: Store, count: int) -> Account:
    account = store.account()
    store.fill(account, "INBOX", [NONE] * count)
    return account


def rested(writer: SnapshotWriter) -> None:
    """Let the time pass for which a mailbox is left alone after a snapshot."""
    writer._resting.clear()


def test_an_index_that_changes_is_waited_for(site: Site) -> None:
    store, account = site.store, filled(site.store)
    process = site.process()
    index = process.load(account)
    for uid in (1, 2, 4):
        assert run(process.writer.once()) == 0
        flag(store, account, [uid], (b"\\Answered",))
        run(process.indexes.refresh(index, force=True))
    assert [run(process.writer.once()) for _ in range(2)] == [0, 1]


def test_a_mailbox_below_the_bound_gets_none(site: Site) -> None:
    account = filled(site.store)
    process = site.process(messages=11)
    process.load(account)
    assert [run(process.writer.once()) for _ in range(3)] == [0, 0, 0]
    assert site.pointer(account) is None


def test_of_two_processes_that_write_at_once_one_comes_through(site: Site) -> None:
    account = filled(site.store)
    one, other = site.process(), site.process()
    first, second = one.load(account), other.load(account)

    assert interleaved(site, one, first, other, second) == (False, True)
    assert site.cold(account) == site.rows(account)


def interleaved(site: Site, one: Process, first: object, other: Process, second: object) -> tuple[bool, bool]:
    """Both write; the other does all of it while the first one's object is on its way."""
    outcome: list[bool] = []

    class Late:
        remote = False

        def __getattr__(self, name: str) -> object:
            return getattr(site.objects, name)

        def put(self, key: str, body: bytes) -> None:
            site.objects.put(key, body)
            outcome.append(run(other.writer.write(second)))  # type: ignore[arg-type]

    late = SnapshotWriter(site.store.tx, one.indexes, one.writer._roots, Late(), site.pool)  # type: ignore[arg-type]
    return run(late.write(first)), outcome[0]  # type: ignore[arg-type]


def test_a_process_takes_note_of_what_another_wrote(site: Site) -> None:
    account = filled(site.store)
    one, other = site.process(), site.process()
    first, second = one.load(account), other.load(account)
    assert run(one.writer.write(first))
    assert not run(other.writer.write(second))
    assert second.snapshot == first.snapshot
    assert len(site.parts()) == 1


def test_a_snapshot_is_never_replaced_by_an_older_one(site: Site) -> None:
    store, account = site.store, filled(site.store)
    behind = site.process()
    old = behind.load(account)
    flag(store, account, [1, 2], SEEN)
    assert site.process().write(account)
    newer = site.pointer(account)
    old.drift = 1_000
    assert not run(behind.writer.write(old))
    assert site.pointer(account) == newer


def test_an_index_of_an_older_epoch_writes_nothing(site: Site) -> None:
    account = filled(site.store)
    process = site.process()
    index = process.load(account)
    epoch_risen(site, account)
    assert not run(process.writer.write(index))
    assert site.pointer(account) is None


def test_a_deleted_mailbox_gets_no_snapshot(site: Site) -> None:
    store, account = site.store, filled(site.store)
    run(mailboxes.create(store.tx, account, "Old"))
    store.fill(account, "Old", [NONE])
    process = site.process()
    index = process.load(account, "Old")
    run(mailboxes.delete(store.tx, account, "Old"))
    assert not run(process.writer.write(index))
    call(process.indexes.release, index)


def test_a_store_that_does_not_answer_is_left_alone_for_a_while(site: Site) -> None:
    account = filled(site.store)
    site.process().write(account)
    asked: list[str] = []

    class Away:
        remote = True

        def read(self, key: str, start: int, stop: int) -> bytes:
            from lightmail.errors import Unavailable

            asked.append(key)
            raise Unavailable

    away: ObjectStore = Away()  # type: ignore[assignment]
    with open_site(site.store, away) as outage:
        process = outage.process(octets=0)
        for _ in range(3):
            index = process.load(account)
            assert facts(index) == site.rows(account)
            call(process.indexes.release, index)
    assert len(asked) == 1


@pytest.mark.parametrize("driver", ["directory", pytest.param("s3", marks=pytest.mark.s3)])
def test_snapshots_are_kept_in_real_stores(
    store: Store, driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    s3 = s3_config(request.getfixturevalue("s3_server"), f"test-{os.urandom(6).hex()}") if driver == "s3" else None
    objects = open_objects(StorageConfig(driver=driver, path=str(tmp_path / "objects")), s3)
    objects.check()
    with open_site(store, objects) as site:
        account = filled(store)
        site.process().write(account)
        hits = lookups("hit")
        assert site.cold(account) == site.rows(account)
        assert lookups("hit") == hits + 1
        assert len(site.parts()) == 1


# --- chunks ---


def chunked(index: MailboxIndex) -> list[int]:
    """The objects that the chunks of an index have."""
    return sorted(of for chunk in index.chunk_refs for of in chunk.objects)


def test_chunks_go_from_snapshot_to_snapshot(site: Site) -> None:
    store, account = site.store, store_with(site.store, 150)
    assert site.process(chunks=True).write(account)
    first = site.parts()
    process = site.process(chunks=True)
    index = process.load(account)
    assert chunked(index) == sorted(index.columns.objects)
    store.fill(account, "INBOX", [NONE] * 70)
    run(process.indexes.refresh(index, force=True))
    assert run(process.writer.write(index))
    assert chunked(index) == sorted(index.columns.objects)
    kept = {key for chunk in index.chunk_refs for key in chunk.keys}
    assert kept & first, "the first chunk is still there"
    assert kept < site.parts()
    rows = store.rows("SELECT object_key FROM snapshot_objects WHERE dropped_at = 0 AND mailbox = %s", index.mailbox)
    assert {bytes(row[0]).decode() for row in rows} == {*kept, index.snapshot}
    later = site.process(chunks=True).load(account)
    assert facts(later) == site.rows(account)
    assert later.chunk_refs == index.chunk_refs


def test_chunks_of_an_older_epoch_are_not_taken_over(site: Site) -> None:
    account = store_with(site.store, 100)
    assert site.process(chunks=True).write(account)
    old = {key for key in site.parts() if key.endswith(object_keys.CHUNK)}
    epoch_risen(site, account)
    process = site.process(chunks=True)
    index = process.load(account)
    assert not index.chunk_refs
    assert run(process.writer.write(index))
    assert not old & {key for chunk in index.chunk_refs for key in chunk.keys}


def test_a_large_mailbox_has_its_root_first_and_chunks_in_steps(site: Site) -> None:
    count = OBJECTS_AT_ONCE + 200
    store, account = site.store, site.store.account()
    if store.database.dialect == "mysql":
        pytest.skip("the steps are the same for each database")
    copies = (count - 1) // 1000 + 1
    store.fill(account, "INBOX", [NONE] * 1000)
    inbox = store.mailbox(account).id
    for number in range(1, copies):
        grow(store, inbox, number * 1000, 1000)
    process = site.process(chunks=True)
    index = process.load(account)
    assert len(index) == copies * 1000
    written = SNAPSHOTS.labels("written")._value.get()
    assert run(process.writer.write(index))
    assert SNAPSHOTS.labels("written")._value.get() == written + 3, "the root; 10,000; the rest"
    assert chunked(index) == sorted(index.columns.objects)
    assert site.cold(account) == site.rows(account)


def grow(store: Store, inbox: int, above: int, count: int) -> None:
    """Copy the first messages of a mailbox to UIDs above the last one, with objects that are copies of theirs."""
    first = store.count("SELECT MIN(object) FROM messages WHERE mailbox = %s", inbox)
    highest = store.count("SELECT MAX(id) FROM objects")
    shift = highest + 1 - first
    store.execute(
        "INSERT INTO objects (id, object_key, octets, stored_octets, codec, sha256, frames, born_at, state)"
        " SELECT id + %s, CAST(object_key || %s AS BLOB), octets, stored_octets, codec, sha256, frames, born_at, state"
        " FROM objects WHERE id BETWEEN %s AND %s",
        *(shift, str(above), first, first + count - 1),
    )
    columns = (
        "render_version, envelope, bodystructure, header_zstd, header_fields, parts, sent_us, subject, base_subject,"
        " from_text, to_text, cc_text, bcc_text, message_id, references_text"
    )
    store.execute(
        f"INSERT INTO renderings (object, {columns})"  # noqa: S608
        f" SELECT object + %s, {columns} FROM renderings WHERE object BETWEEN %s AND %s",
        *(shift, first, first + count - 1),
    )
    store.execute(
        "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets)"
        " SELECT account, mailbox, uid + %s, modseq, object + %s, flags, internaldate_us, saved_us, octets"
        " FROM messages WHERE mailbox = %s AND uid <= %s",
        *(above, shift, inbox, count),
    )
    store.execute("UPDATE mailboxes SET uidnext = uidnext + %s WHERE id = %s", count, inbox)


# --- what becomes of objects ---


@pytest.fixture
def yard(store: Store) -> Iterator[Yard]:
    with open_yard(store, open_objects(StorageConfig(driver="memory"), None)) as opened:
        yield opened


def in_use(site: Site) -> set[str]:
    return {bytes(row[0]).decode() for row in site.store.rows("SELECT object_key FROM snapshots")}


def test_what_was_replaced_is_deleted_a_little_later(yard: Yard) -> None:
    site = Site(yard.store, yard.objects, yard.pool)
    account = filled(site.store)
    assert site.process().write(account)
    old = site.parts()
    flag(site.store, account, [1], SEEN)
    process = site.process()
    index = process.load(account)
    index.drift = 1_000
    assert run(process.writer.write(index))
    assert site.parts() > old
    assert yard.collect().counts["snapshot object deleted"] == 0
    yard.later(hours=2)
    assert yard.collect().counts["snapshot object deleted"] == 1
    assert site.parts() == in_use(site)
    assert site.store.count("SELECT COUNT(*) FROM snapshot_objects") == 1
    assert site.cold(account) == site.rows(account)


@pytest.mark.parametrize("whole_account", [True, False])
def test_a_snapshot_goes_with_its_mailbox_and_its_account(yard: Yard, whole_account: bool) -> None:
    site = Site(yard.store, yard.objects, yard.pool)
    account, other = filled(site.store), filled(site.store)
    run(mailboxes.create(site.store.tx, account, "Old"))
    site.store.fill(account, "Old", [NONE] * 3)
    assert site.process().write(other)
    kept = site.parts()
    assert site.process().write(account, "Old")
    if whole_account:
        run(delete_account(site.store.tx, OPERATOR, account.id))
    else:
        run(mailboxes.delete(site.store.tx, account, "Old"))
    yard.later(hours=2)
    yard.collect()
    assert site.parts() == kept == in_use(site)
    yard.later(days=60)
    yard.collect()
    assert site.parts() == kept
    assert site.store.count("SELECT COUNT(*) FROM snapshot_objects") == 1


def test_leftovers_are_found_when_they_are_old_enough(yard: Yard) -> None:
    site = Site(yard.store, yard.objects, yard.pool)
    account = filled(site.store)
    assert site.process().write(account)
    kept = site.parts()
    born_us = yard.now_us
    for suffix in object_keys.INDEX_SUFFIXES:
        yard.objects.put(object_keys.new_index_key(suffix, born_us), b"left over")
    yard.objects.put("indexes/readme.txt", b"not ours")
    assert yard.collect().counts["snapshot object left over"] == 0
    yard.later(hours=25)
    yard.frozen = True
    yard.collect()
    assert len(site.parts()) == len(kept) + 3
    yard.frozen = False
    assert yard.collect().counts["snapshot object left over"] == 2
    assert site.parts() == {*kept, "indexes/readme.txt"}
    assert site.cold(account) == site.rows(account)


def test_a_round_over_leftovers_is_spread_over_a_day(yard: Yard) -> None:
    born_us = yard.now_us
    for _ in range(40):
        yard.objects.put(object_keys.new_index_key(object_keys.CHUNK, born_us), b"left over")
    yard.later(hours=25)
    collector = yard.collector()
    hands = []
    for _ in range(4):
        run(collector.once(yard.now_us))
        state = run(yard.store.database.read("test", progress.read_txn, "garbage/snapshots"))
        assert state is not None
        hands.append(state["hand"])
        yard.later(hours=6)
    assert hands[0] < hands[1] < hands[2] < hands[3] <= 256


# --- verifying ---


def found(site: Site, **options: bool) -> list[tuple[str, bool]]:
    """What `lightmail verify` finds of snapshots: kinds, and whether they were repaired."""
    _, all_found = findings(site.store.tx, site.objects, options=Options(restart=True, **options))
    return sorted((each.kind, each.repaired) for each in all_found if each.kind.startswith("snapshot-"))


def altered(site: Site, account: Account) -> None:
    """Flags that changed behind everybody's back."""
    mailbox = site.store.mailbox(account).id
    site.store.execute("UPDATE messages SET flags = flags + 2 WHERE mailbox = %s AND uid = 5", mailbox)


def gone(site: Site, account: Account) -> None:
    pointer = site.pointer(account)
    assert pointer is not None
    site.objects.delete([pointer.key])


def spoilt(site: Site, account: Account) -> None:
    pointer = site.pointer(account)
    assert pointer is not None
    site.objects.put(pointer.key, damaged(site.objects.read(pointer.key, 0, pointer.octets), 50))


def killed(site: Site, account: Account) -> None:
    site.store.execute("UPDATE mailboxes SET deleted_at = 5 WHERE id = %s", site.store.mailbox(account).id)


def unpointed(site: Site, account: Account) -> None:
    site.store.execute("DELETE FROM snapshots WHERE mailbox = %s", site.store.mailbox(account).id)


def left_over(site: Site, account: Account) -> None:
    born_us = run(site.store.database.read("clock", clock_txn)) - 4 * 86_400_000_000
    site.objects.put(object_keys.new_index_key(object_keys.ROOT, born_us), b"left over")


FAULTS = {
    "snapshot-differs": [altered],
    "snapshot-unusable": [gone, spoilt],
    "snapshot-without-mailbox": [killed],
    "snapshot-leftover": [unpointed, left_over],
}


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in FAULTS for fault in FAULTS[kind]])
def test_verifying_finds_what_is_wrong_with_a_snapshot_and_drops_it(
    yard: Yard, kind: str, fault: Callable[[Site, Account], None]
) -> None:
    site = Site(yard.store, yard.objects, yard.pool)
    account = filled(site.store)
    assert site.process().write(account)
    flag(site.store, account, [1], SEEN)
    assert found(site) == []
    fault(site, account)
    assert found(site) == [(kind, False)]
    # What a snapshot is dropped from in one pass may be found as belonging to none by the next.
    assert set(found(site, mending=True)) - {("snapshot-leftover", True)} <= {(kind, True)}
    assert found(site) == []
    yard.later(hours=2)
    yard.collect()
    assert site.parts() == in_use(site)


def test_a_stale_snapshot_is_no_finding(yard: Yard) -> None:
    site = Site(yard.store, yard.objects, yard.pool)
    account = filled(site.store)
    assert site.process().write(account)
    epoch_risen(site, account)
    assert found(site) == []
