"""Imports on every database: all of it once, whatever ends a run, however many run, as far as the quota goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from twisted.internet import reactor

from lightmail.config import StorageConfig
from lightmail.errors import InUse
from lightmail.jobs.importing import Hands, Options, Report, SourceError, run
from lightmail.jobs.importing.ledger import Ledger
from lightmail.jobs.importing.source import Folder, Item, Left, Loaded, key_of
from lightmail.model import Account
from lightmail.objects.backends import open_store as open_objects
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.accounts import Change, change_account
from lightmail.operations.mailboxes import create
from lightmail.store import imports, mailboxes
from lightmail.threads import BoundedPool
from tests.support.actors import OPERATOR
from tests.support.reactor import call
from tests.support.reactor import run as wait
from tests.support.storekit import BACKENDS, NOW_US, Store, fresh_config, open_store, together


@dataclass
class ListSource:
    """Messages from memory. It fails when it has been asked for `fails_after` batches."""

    messages: dict[str, list[tuple[bytes, tuple[bytes, ...]]]]
    identity: str = "list:1"
    generation_octets: int = 0
    generation: bytes = b""
    fails_after: int | None = None
    uses: dict[str, str] = field(default_factory=dict)
    loads: int = 0

    def folders(self) -> tuple[list[Folder], list[Left]]:
        return [
            Folder(tuple(name.split("/")), name, self.uses.get(name), name != "Hidden") for name in self.messages
        ], []

    def items(self, folder: Folder) -> tuple[list[Item], list[Left]]:
        found = []
        for number, (octets, _) in enumerate(self.messages[folder.place]):
            key = key_of(folder.place.encode(), b"%d" % number)
            found.append(Item((self.generation + key)[:8], len(octets), f"{folder.place} {number}", number))
        return found, []

    def load(self, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        self.loads += 1
        if self.fails_after is not None and self.loads > self.fails_after:
            raise SourceError("the source is gone")
        return [Loaded(item, *self.messages[folder.place][item.handle], NOW_US + item.handle) for item in items]

    def close(self) -> None:
        pass


def letters(count: int, octets: int = 100) -> list[tuple[bytes, tuple[bytes, ...]]]:
    return [(b"Subject: %d\r\n\r\n" % number + b"x" * octets, (b"\\Seen", b"later")) for number in range(count)]


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("imports")
    with fresh_config(request.param, directory) as config, open_store(config) as opened:
        yield opened


@pytest.fixture(scope="module")
def hands(store: Store) -> Iterator[Hands]:
    pool = BoundedPool("objects", 4, 1000, reactor=reactor)
    reading = BoundedPool("source", 1, 8, reactor=reactor)
    call(pool.start)
    call(reading.start)
    blobs = Blobs(open_objects(StorageConfig(driver="memory"), None), pool)
    yield Hands(store.tx, blobs, Spools(pool, None), reading)
    wait(pool.stop())
    wait(reading.stop())


def go(hands: Hands, account: Account, source: ListSource, **options: object) -> Report:
    return wait(run(hands, account, source, Options(**options), lambda *_: None))


def subjects(store: Store, account: Account, name: str) -> list[str]:
    """The messages of a mailbox in the order of their UIDs, by what their subjects say."""
    found = store.rows(
        "SELECT r.subject FROM messages m JOIN renderings r ON r.object = m.object"
        " WHERE m.mailbox = %s AND m.deleted_at = 0 ORDER BY m.uid",
        store.mailbox(account, name).id,
    )
    return [row[0].decode() for row in found]


def test_everything_comes_in_order_with_flags_and_dates_and_nothing_comes_twice(store: Store, hands: Hands) -> None:
    account = store.account()
    source = ListSource({"INBOX": letters(150), "Work/été": letters(3), "Hidden": letters(1)})
    report = go(hands, account, source)
    assert (report.sum("brought"), report.left_count, report.sum("pending")) == (154, 0, 0)
    assert subjects(store, account, "INBOX") == [str(number) for number in range(150)]
    inbox = store.mailbox(account).id
    assert [row[5] for row in store.snapshot(inbox).rows] == [NOW_US + number for number in range(150)]
    assert store.flags(inbox)[1] == {b"\\Seen", b"later"}
    subscribed = wait(store.database.read("test", mailboxes.subscriptions_txn, account.id))
    assert set(subscribed) == {"INBOX", "Work/été"}
    again = go(hands, account, source)
    assert (again.sum("brought"), again.sum("known")) == (0, 154)
    source.messages["INBOX"] += letters(2)[:1]
    assert go(hands, account, source).sum("brought") == 1
    assert go(hands, account, source, anew=True).sum("brought") == 155


def test_a_run_that_broke_off_is_gone_on_with(store: Store, hands: Hands) -> None:
    account = store.account()
    source = ListSource({"INBOX": letters(300)}, fails_after=2)
    with pytest.raises(SourceError):
        go(hands, account, source)
    first = len(subjects(store, account, "INBOX"))
    assert 0 < first < 300
    report = go(hands, account, replace(source, fails_after=None))
    assert (report.sum("known"), report.sum("brought")) == (first, 300 - first)
    assert subjects(store, account, "INBOX") == [str(number) for number in range(300)]
    assert store.usage(account)[1] == 300


def test_two_at_once_bring_each_message_once(store: Store, hands: Hands) -> None:
    account = store.account()
    source = ListSource({"INBOX": letters(130)})
    answers = together(
        *(run(hands, account, replace(source), Options(), lambda *_: None) for _ in range(3)),
    )
    assert any(isinstance(answer, Report) for answer in answers)
    assert {type(answer) for answer in answers} <= {Report, InUse}, answers
    assert subjects(store, account, "INBOX") == [str(number) for number in range(130)]


def test_a_quota_is_used_up_and_never_exceeded(store: Store, hands: Hands) -> None:
    account = store.account(quota_messages=100)
    source = ListSource({"INBOX": letters(90), "Z": letters(90)})
    report = go(hands, account, source)
    assert report.sum("brought") == 100
    assert report.left_count > 0
    assert any("quota" in note for note in report.notes)
    assert store.usage(account)[1] == 100
    wait(change_account(store.tx, OPERATOR, account.id, Change(quota_messages=0)))
    report = go(hands, account, source)
    assert (report.sum("brought"), report.left_count) == (80, 0)
    assert subjects(store, account, "Z") == [str(number) for number in range(90)]


def test_what_is_too_large_or_empty_is_left_and_named(store: Store, hands: Hands) -> None:
    account = store.account()
    source = ListSource({"INBOX": [*letters(1), (b"", ()), *letters(1, octets=5000)]})
    report = go(hands, account, source, most_octets=1000)
    assert report.sum("brought") == 1
    assert [left.place for left in report.left] == ["INBOX 1", "INBOX 2"]


def test_more_keywords_than_a_mailbox_has_room_for(store: Store, hands: Hands) -> None:
    account = store.account()
    found = [(b"Subject: %d\r\n\r\n" % number, (b"k%d" % number, b"\\Flagged")) for number in range(80)]
    report = go(hands, account, ListSource({"INBOX": found}))
    assert report.sum("brought") == 80
    assert any("keywords" in note for note in report.notes)
    assert all(b"\\Flagged" in names for names in store.flags(store.mailbox(account).id).values())


def test_a_source_that_was_numbered_anew_is_left(store: Store, hands: Hands) -> None:
    account = store.account()
    source = ListSource({"INBOX": letters(3)}, generation_octets=4, generation=b"aaaa")
    assert go(hands, account, source).sum("brought") == 3
    source.generation = b"bbbb"
    report = go(hands, account, source)
    assert (report.sum("brought"), report.left_count) == (0, 1)
    assert "UIDVALIDITY" in report.left[0].reason
    assert go(hands, account, source, anew=True).sum("brought") == 3


def test_where_mailboxes_go(store: Store, hands: Hands) -> None:
    account = store.account()
    names = ["Gesendet", "Sent", "a*b", "a%b", "inbox/x"]
    source = ListSource({name: letters(1) for name in names})
    source.uses = {"Gesendet": "\\Sent"}
    report = go(hands, account, source)
    assert {each.place: each.mailbox for each in report.folders} == {
        "Gesendet": "Sent", "Sent": "Sent", "a*b": "a_b", "a%b": "a_b (2)", "inbox/x": "INBOX/x"
    }  # fmt: skip
    assert len(subjects(store, account, "Sent")) == 2
    # Which folders are brought this time does not change what they are called.
    assert go(hands, account, source, only=["a%b"]).sum("brought") == 0
    report = go(hands, account, source, into="Old", only=["Gesendet", "a*"], without=["a%b"])
    assert {each.mailbox for each in report.folders} == {"Old/Gesendet", "Old/a_b"}
    report = go(hands, account, source, dry=True, into="Never")
    assert report.sum("pending") == 5
    assert not any(name.startswith("Never") for name in store.names(account))
    wait(create(store.tx, account, "Kept"))
    report = go(hands, account, ListSource({"Kept": letters(2)}), into="One", whole=True)
    assert [each.mailbox for each in report.folders] == ["One"]


def test_a_ledger_of_many_pages_knows_all_that_was_written() -> None:
    keys = [key_of(b"%d" % number) for number in range(10_000)]
    ledger, pages = Ledger("source", "place", []), dict[str, bytes]()
    for start in range(0, len(keys), 64):
        page = ledger.page_with(keys[start : start + 64])
        assert pages.get(page.name) == page.before
        pages[page.name] = page.after
        ledger.written(page, keys[start : start + 64])
    assert 1 < len(pages) < 5
    again = Ledger("source", "place", [pages[name] for name in sorted(pages)])
    assert again.keys == ledger.keys == set(keys)
    assert again.page_with(keys[:1]) == ledger.page_with(keys[:1])


def test_a_page_is_written_only_where_it_stands_as_its_writer_knew_it(store: Store) -> None:
    name = imports.page_name("f" * 32, 0)

    def write(before: bytes | None, after: bytes) -> bool:
        return wait(store.database.run("test", imports.write_page_txn, imports.Page(name, before, after)))

    assert [write(b"x", b"1"), write(None, b"1"), write(None, b"2"), write(b"x", b"2"), write(b"1", b"2")] == [
        False, True, False, False, True
    ]  # fmt: skip
    assert wait(store.database.read("test", imports.pages_txn, "f" * 32)) == [b"2"]
