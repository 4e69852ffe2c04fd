"""Indexes follow a real database: what others commit is seen, read once for all who ask, and never lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from lightmail.config import DatabaseConfig
from lightmail.errors import NoSuchMailbox
from lightmail.index.columns import OCTETS_PER_MESSAGE
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.index.rendered import RenderedCache
from lightmail.index.view import View
from lightmail.model import Account, AccountId, Mailbox, MailboxId, ObjectId
from lightmail.notify.hints import Notifier
from lightmail.notify.poll import Poll
from lightmail.store import mailboxes
from lightmail.store.blobs import packed_header
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database, open_database
from lightmail.store.sqltext import with_rows
from tests.support import mariadb
from tests.support.reactor import call, run

ACCOUNT = Account(AccountId(1), b"u" * 16, "demo@example.org", True, 0, 0)
OTHER = Account(AccountId(2), b"v" * 16, "other@example.org", True, 0, 0)
SERIAL = count(1)


class Writer:
    """Another process that changes mailboxes, by plain SQL."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def _run(self, fn: Callable[[Cursor], Any]) -> Any:
        return run(self.database.run("test", fn))

    def mailbox(self, messages: int = 0, flags: int = 0) -> Mailbox:
        """A new mailbox with UIDs from 1."""
        name = f"mailbox{next(SERIAL)}"

        def create(cursor: Cursor) -> None:
            cursor.execute(
                "INSERT INTO mailboxes (account, name, uidvalidity, epoch) VALUES (%s, %s, 7, 1)", (1, name.encode())
            )

        self._run(create)
        made = self.read(name)
        if messages:
            self.append(made.id, range(1, messages + 1), flags)
        return self.read(name)

    def read(self, name: str) -> Mailbox:
        found = run(self.database.read("test", mailboxes.by_name_txn, ACCOUNT.id, name))
        assert found is not None
        return found

    def _advance(self, cursor: Cursor, mailbox: MailboxId, uids: int = 0) -> int:
        cursor.execute(
            "UPDATE mailboxes SET highest_modseq = highest_modseq + 1, uidnext = uidnext + %s WHERE id = %s",
            (uids, mailbox),
        )
        cursor.execute("SELECT highest_modseq FROM mailboxes WHERE id = %s", (mailbox,))
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    def append(self, mailbox: MailboxId, uids: Sequence[int], flags: int = 0) -> None:
        def write(cursor: Cursor) -> None:
            modseq = self._advance(cursor, mailbox, len(uids))
            for start in range(0, len(uids), 500):
                piece = uids[start : start + 500]
                cursor.execute(
                    with_rows(
                        "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us,"
                        " octets) VALUES (1, %s, %s, %s, %s, %s, 1700000000000000, 0, 100)",
                        len(piece),
                    ),
                    [value for uid in piece for value in (mailbox, uid, modseq, uid + 1000, flags)],
                )

        self._run(write)

    def flag(self, mailbox: MailboxId, uids: Sequence[int], flags: int) -> None:
        def write(cursor: Cursor) -> None:
            modseq = self._advance(cursor, mailbox)
            cursor.execute(
                "UPDATE messages SET flags = %s, modseq = %s WHERE mailbox = %s AND uid BETWEEN %s AND %s",
                (flags, modseq, mailbox, uids[0], uids[-1]),
            )

        self._run(write)

    def expunge(self, mailbox: MailboxId, uid: int) -> None:
        def write(cursor: Cursor) -> None:
            modseq = self._advance(cursor, mailbox)
            cursor.execute(
                "UPDATE messages SET deleted_at = 5, fate = 1, modseq = %s WHERE mailbox = %s AND uid = %s",
                (modseq, mailbox, uid),
            )

        self._run(write)

    def keyword(self, mailbox: MailboxId, bit: int, name: bytes) -> None:
        def write(cursor: Cursor) -> None:
            self._advance(cursor, mailbox)
            cursor.execute("INSERT INTO keywords VALUES (%s, %s, %s, %s)", (mailbox, bit, name, name.lower()))
            cursor.execute("UPDATE mailboxes SET keyword_version = keyword_version + 1 WHERE id = %s", (mailbox,))

        self._run(write)

    def forget(self, mailbox: MailboxId) -> None:
        """Purge the tombstones of a mailbox."""

        def write(cursor: Cursor) -> None:
            modseq = self._advance(cursor, mailbox)
            cursor.execute("DELETE FROM messages WHERE mailbox = %s AND deleted_at > 0", (mailbox,))
            cursor.execute("UPDATE mailboxes SET forgotten_modseq = %s WHERE id = %s", (modseq - 1, mailbox))

        self._run(write)

    def delete(self, mailbox: MailboxId) -> None:
        def write(cursor: Cursor) -> None:
            self._advance(cursor, mailbox)
            cursor.execute("UPDATE mailboxes SET deleted_at = 5 WHERE id = %s", (mailbox,))

        self._run(write)

    def rendering(self, of: ObjectId, header: bytes = b"Subject: x\r\n\r\n", damaged: bool = False) -> None:
        def write(cursor: Cursor) -> None:
            packed = b"rubbish" if damaged else packed_header(header)
            cursor.execute(
                "INSERT INTO renderings (object, render_version, envelope, bodystructure, header_zstd, header_fields,"
                " parts, sent_us, subject, base_subject, from_text, to_text, cc_text, bcc_text, message_id,"
                " references_text) VALUES (%s, 1, %s, %s, %s, %s, %s, 9, %s, %s, %s, %s, %s, %s, %s, %s)",
                (of, b"(env %d)" % of, b"(bs)", packed, b"f", b"p%d" % of, *[b"x"] * 8),
            )

        self._run(write)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    drop: Callable[[], None] = lambda: None  # noqa: E731
    if request.param == "sqlite":
        directory: Path = tmp_path_factory.mktemp("index")
        config = DatabaseConfig(driver="sqlite", path=str(directory / "store.sqlite"))
    else:
        if not mariadb.available():
            pytest.skip("MariaDB is not installed")
        server = mariadb.server()
        name = server.fresh_database()
        config = server.config(name)
        drop = lambda: server.drop(name)  # noqa: E731
    opened = call(open_database, config)
    run(opened.start())
    run(opened.migrate())
    yield opened
    run(opened.stop())
    drop()


@pytest.fixture
def writer(database: Database) -> Writer:
    return Writer(database)


class Process:
    """This process: its hints, and its indexes."""

    def __init__(self, database: Database, octets: int = 1 << 20) -> None:
        self.database = database
        self.notifier = Notifier(reactor)
        self.indexes = Indexes(database, self.notifier, octets, reactor=reactor)

    def acquire(self, mailbox: Mailbox) -> MailboxIndex:
        return run(self.indexes.acquire(ACCOUNT, mailbox))

    def release(self, *indexes: MailboxIndex) -> None:
        for index in indexes:
            call(self.indexes.release, index)

    def refresh(self, index: MailboxIndex, *, force: bool = False) -> None:
        run(self.indexes.refresh(index, force=force))

    def reads(self, name: str) -> int:
        return self.database.round_trips[name]


@pytest.fixture(params=[1 << 20, 0], ids=["kept", "dropped"])
def process(request: pytest.FixtureRequest, database: Database) -> Process:
    """A process that keeps indexes which nobody holds, and one that does not."""
    return Process(database, request.param)


def test_an_index_has_what_the_mailbox_has(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(5)
    writer.expunge(mailbox.id, 2)
    writer.keyword(mailbox.id, 17, b"Later")
    index = process.acquire(writer.read(mailbox.name))
    assert list(index.uids) == [1, 3, 4, 5]
    assert (index.uidvalidity, index.uidnext) == (7, 6)
    assert index.flag_names(1 << 17 | 1) == b"\\Seen Later"
    assert (index.unseen, index.octets) == (4, 400)
    assert list(index.columns.internaldates) == [1_700_000_000] * 4
    assert list(index.columns.objects) == [1001, 1003, 1004, 1005]
    process.release(index)


def test_sessions_share_an_index_and_read_it_once(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(3)
    before = process.reads("index")

    async def together() -> list[MailboxIndex]:
        opening = [Deferred.fromCoroutine(process.indexes.acquire(ACCOUNT, mailbox)) for _ in range(5)]
        return list(await gatherResults(opening))

    indexes = run(together())
    assert all(index is indexes[0] for index in indexes)
    once = process.reads("index") - before
    process.release(*indexes)
    before = process.reads("index")
    other = Process(process.database)
    other.release(other.acquire(mailbox))
    assert once == process.reads("index") - before, "as if there were one"


def test_an_index_stays_after_the_last_session_left(database: Database, writer: Writer) -> None:
    process, mailbox = Process(database), writer.mailbox(3)
    process.release(process.acquire(mailbox))
    before = process.reads("index")
    process.release(process.acquire(mailbox))
    assert process.reads("index") == before


def test_nothing_is_read_until_something_changed(process: Process, writer: Writer) -> None:
    index = process.acquire(writer.mailbox(3))
    before = process.database.round_trips.copy()
    for _ in range(10):
        process.refresh(index)
    assert process.database.round_trips == before
    process.release(index)


def test_a_hint_brings_the_changes(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(4)
    index = process.acquire(mailbox)
    view = call(View, index)
    writer.append(mailbox.id, [5])
    writer.flag(mailbox.id, [3], 1)
    writer.expunge(mailbox.id, 2)
    writer.keyword(mailbox.id, 16, b"$New")
    process.refresh(index)
    assert not view.updates(may_expunge=True), "nobody has said so yet"
    call(process.notifier.changed, mailbox.id, writer.read(mailbox.name).highest_modseq)
    process.refresh(index)
    updates = view.updates(may_expunge=True)
    assert (list(updates.expunged), updates.exists, list(updates.flags)) == ([2], 4, [(2, 3, 1)])
    assert updates.keywords_changed
    process.release(index)


def test_force_asks_the_store_without_a_hint(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(1)
    index = process.acquire(mailbox)
    writer.append(mailbox.id, [2])
    process.refresh(index, force=True)
    assert list(index.uids) == [1, 2]
    process.release(index)


def test_selecting_is_current_whatever_was_cached(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(2)
    process.release(process.acquire(mailbox))
    writer.append(mailbox.id, [3])
    index = process.acquire(writer.read(mailbox.name))
    assert list(index.uids) == [1, 2, 3]
    process.release(index)


def test_refreshes_at_the_same_time_share_one_reading_that_began_after_they_asked(
    process: Process, writer: Writer
) -> None:
    mailbox = writer.mailbox(2)
    index = process.acquire(mailbox)
    before = process.reads("changes")
    process.refresh(index, force=True)
    one = process.reads("changes") - before

    async def together() -> None:
        begun = Deferred.fromCoroutine(process.indexes.refresh(index, force=True))
        later = [Deferred.fromCoroutine(process.indexes.refresh(index, force=True)) for _ in range(5)]
        await gatherResults([begun, *later])

    run(together())
    assert process.reads("changes") - before == 3 * one
    process.release(index)


def test_forgotten_changes_are_made_up_for_by_reading_it_whole(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(6)
    index = process.acquire(mailbox)
    view = call(View, index)
    writer.expunge(mailbox.id, 2)
    writer.flag(mailbox.id, [4], 4)
    writer.append(mailbox.id, [7])
    writer.forget(mailbox.id)
    process.refresh(index, force=True)
    updates = view.updates(may_expunge=True)
    assert (list(updates.expunged), updates.exists, list(updates.flags)) == ([2], 6, [(3, 4, 4)])
    process.release(index)


def test_large_changes_come_in_slices_and_whole(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(9000)
    index = process.acquire(mailbox)
    view = call(View, index)
    writer.flag(mailbox.id, [1, 9000], 1)
    writer.append(mailbox.id, range(9001, 14001))
    process.refresh(index, force=True)
    updates = view.updates(may_expunge=False)
    assert updates.exists == 14000
    assert [flag[1] for flag in updates.flags] == list(range(1, 9001))
    assert (index.unseen, len(index)) == (5000, 14000)
    process.release(index)


def test_a_deleted_mailbox_is_found_out(process: Process, writer: Writer) -> None:
    mailbox = writer.mailbox(1)
    index = process.acquire(mailbox)
    writer.delete(mailbox.id)
    with pytest.raises(NoSuchMailbox):
        process.refresh(index, force=True)
    assert list(index.uids) == [1], "the index is as it was"
    process.release(index)
    with pytest.raises(NoSuchMailbox):
        run(Process(process.database).indexes.acquire(ACCOUNT, mailbox))


def test_idle_indexes_are_bounded(database: Database, writer: Writer) -> None:
    process = Process(database, octets=3 * (2048 + OCTETS_PER_MESSAGE * 100) + 100)
    made = [writer.mailbox(100) for _ in range(5)]
    held = process.acquire(made[0])
    for mailbox in made[1:]:
        process.release(process.acquire(mailbox))
    before = process.reads("index")
    for mailbox in [made[0], *made[2:]]:
        process.release(process.acquire(mailbox))
    assert process.reads("index") == before, "held, and the last three"
    process.release(process.acquire(made[1]))
    assert process.reads("index") > before, "the one unused for longest had to go"
    process.release(held)


def test_two_processes_see_each_other_by_the_poll(database: Database, writer: Writer) -> None:
    """The poll alone, without hints between them, wakes who waits in the other process."""
    here = Process(database)
    mailbox = writer.mailbox(1)
    index = here.acquire(mailbox)
    view = call(View, index)
    poll = Poll(
        here.notifier,
        lambda ids: database.read("poll", mailboxes.modseqs_txn, ids),
        reactor=reactor,
        interval_seconds=0.05,
    )

    async def scene() -> None:
        woken: Deferred[None] = Deferred()

        def wake() -> None:
            if here.notifier.latest(mailbox.id) >= 3 and not woken.called:
                woken.callback(None)

        watch = here.notifier.watch(mailbox.id, wake)
        poll.startService()
        await database.run("test", lambda cursor: deliver(cursor))
        await woken
        watch.close()
        await here.indexes.refresh(index)

    def deliver(cursor: Cursor) -> None:
        writer._advance(cursor, mailbox.id, 1)
        cursor.execute(
            "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets)"
            " VALUES (1, %s, 2, 3, 5, 0, 0, 0, 1)",
            (mailbox.id,),
        )

    run(scene())

    async def stop() -> None:
        stopping = poll.stopService()
        if stopping is not None:
            await stopping

    run(stop())
    assert view.updates(may_expunge=True).exists == 2
    here.release(index)


# The cache of rendered metadata


def some_objects(writer: Writer, number: int) -> list[ObjectId]:
    objects = [ObjectId(next(SERIAL) + 1_000_000) for _ in range(number)]
    for of in objects:
        writer.rendering(of)
    return objects


def test_rendered_metadata_is_read_in_sets_and_kept(database: Database, writer: Writer) -> None:
    objects = some_objects(writer, 12)
    cache = RenderedCache(database, 1 << 20)
    envelopes = run(cache.envelopes(ACCOUNT, objects))
    assert envelopes == {of: (b"(env %d)" % of, b"(bs)") for of in objects}
    assert run(cache.headers(ACCOUNT, objects)) == dict.fromkeys(objects, (b"Subject: x\r\n\r\n", b"f"))
    assert run(cache.parts(ACCOUNT, objects)) == {of: b"p%d" % of for of in objects}
    columns = run(cache.search_columns(ACCOUNT, objects))
    assert (columns[objects[0]].sent_us, columns[objects[0]].subject) == (9, "x")
    before = database.round_trips.copy()
    assert run(cache.envelopes(ACCOUNT, objects[::-1])) == envelopes
    assert len(run(cache.headers(ACCOUNT, objects[:3]))) == 3
    assert database.round_trips == before
    run(cache.envelopes(OTHER, objects))
    assert database.round_trips != before, "what one account has in memory is not there for another"


def test_missing_and_damaged_rows_are_left_out(database: Database, writer: Writer) -> None:
    whole, damaged = some_objects(writer, 1)[0], ObjectId(next(SERIAL) + 2_000_000)
    writer.rendering(damaged, damaged=True)
    absent = ObjectId(3_000_000)
    cache = RenderedCache(database, 1 << 20)
    assert set(run(cache.headers(ACCOUNT, [whole, damaged, absent, whole]))) == {whole}
    assert set(run(cache.envelopes(ACCOUNT, [whole, damaged, absent]))) == {whole, damaged}
    assert run(cache.envelopes(ACCOUNT, [])) == {}


def test_the_cache_is_bounded_and_keeps_what_is_used(database: Database, writer: Writer) -> None:
    objects = some_objects(writer, 40)
    bound = 20 * 320
    cache = RenderedCache(database, bound)
    favourite = objects[0]
    for of in objects:
        run(cache.envelopes(ACCOUNT, [favourite]))
        run(cache.envelopes(ACCOUNT, [of]))
        assert cache.octets <= bound
    before = database.round_trips["envelopes"]
    run(cache.envelopes(ACCOUNT, [favourite, objects[-1]]))
    assert database.round_trips["envelopes"] == before
    run(cache.envelopes(ACCOUNT, [objects[1]]))
    assert database.round_trips["envelopes"] > before
