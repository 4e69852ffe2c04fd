"""What this process has changed reaches its indexes without being read, and they are what reading would make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor

from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.index.view import View
from lightmail.model import Account, FlagMode, Mailbox
from lightmail.notify.hints import Notifier
from lightmail.operations.copy import move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.transactions import Transactions
from lightmail.store.messages import OwnChange
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

SEEN, DELETED = b"\\Seen", b"\\Deleted"
UIDS = st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True).map(sorted)
FLAGS = st.lists(st.sampled_from([SEEN, DELETED, b"$Junk", b"own-word", b"other-word"]), max_size=2, unique=True)


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


class Process:
    """A process with an open mailbox: its own transactions, hints and index."""

    def __init__(self, store: Store, account: Account, mailbox: Mailbox) -> None:
        self.store = store
        self.account = account
        self.mailbox = mailbox
        notifier = Notifier(reactor)
        self.tx = Transactions(store.database, notifier)
        self.indexes = Indexes(store.database, notifier, 1 << 20, reactor=reactor)
        self.index = run(self.indexes.acquire(account, mailbox))
        self.reads = store.trips("changes")

    def store_flags(self, uids: Sequence[int], mode: FlagMode, flags: Sequence[bytes]) -> OwnChange:
        return run(store_flags(self.tx, self.account, self.mailbox.id, uids, mode, flags))

    def take(self, change: OwnChange) -> bool:
        return call(self.indexes.applied, self.index, change)

    def refresh(self) -> None:
        run(self.indexes.refresh(self.index, force=True))

    def is_level(self) -> bool:
        """Whether the index is what reading all of the mailbox makes of it."""
        whole = MailboxIndex(self.account.id, self.mailbox.id)
        whole.replace(self.store.snapshot(self.mailbox.id))
        return state(self.index) == state(whole)


def close(*processes: Process) -> None:
    for process in processes:
        call(process.indexes.release, process.index)


def state(index: MailboxIndex) -> tuple[Any, ...]:
    columns = [column.tolist() for column in index.columns.all]
    return columns, index.highest_modseq, index.keywords.named, index.unseen, index.octets, index.first_unseen()


def opened(store: Store, messages: int = 12) -> tuple[Process, Process, Mailbox]:
    """Two processes with the same mailbox open, and another mailbox. Close them."""
    account = store.account()
    store.fill(account, "INBOX", [()] * messages)
    inbox = store.mailbox(account)
    return Process(store, account, inbox), Process(store, account, inbox), store.mailbox(account, "Archive")


def test_own_changes_are_not_read_back(store: Store) -> None:
    here, there, archive = opened(store)
    changes = [
        here.store_flags(range(1, 13), FlagMode.ADD, [SEEN]),
        here.store_flags([2], FlagMode.REMOVE, [SEEN]),
        here.store_flags([1, 4, 5, 9], FlagMode.REPLACE, [DELETED, b"$Junk"]),
        here.store_flags([3, 4], FlagMode.ADD, [DELETED]),
        run(expunge(here.tx, here.account, here.mailbox.id, [4, 9])).change,
        run(expunge(here.tx, here.account, here.mailbox.id, None)).change,
        run(move(here.tx, here.account, here.mailbox.id, [6, 7, 11], archive.id)).change,
    ]
    assert all(here.take(change) for change in changes)
    run(here.indexes.refresh(here.index))
    assert store.trips("changes") == here.reads, "nothing was read"
    assert list(here.index.uids) == [2, 8, 10, 12]
    assert here.is_level()
    close(here, there)


def test_what_does_not_follow_at_once_is_read(store: Store) -> None:
    here, there, _ = opened(store)
    there.store_flags([5], FlagMode.ADD, [SEEN])
    assert not here.take(here.store_flags([6], FlagMode.ADD, [SEEN])), "another change lies between"
    here.refresh()
    assert not here.take(here.store_flags([6], FlagMode.ADD, [b"word"])), "a keyword had to be named"
    here.refresh()
    assert here.take(here.store_flags([7], FlagMode.ADD, [b"WORD"])), "it has a bit now"
    assert not here.take(here.store_flags([7], FlagMode.ADD, [b"word"])), "that changed nothing"
    wrong = here.store_flags([8, 9], FlagMode.ADD, [SEEN])
    assert not here.take(OwnChange(wrong.modseq, [8, 9], wrong.keep, wrong.add, 1)), "the database changed others"
    assert here.take(wrong)
    assert not here.take(wrong), "once is enough"
    assert here.is_level()
    close(here, there)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_index_fed_with_own_changes_is_one_that_was_read(store: Store, data: st.DataObject) -> None:
    """Changes here, elsewhere, and readings in between, in any order; a session follows and is told of everything."""
    here, there, archive = opened(store)
    view = View(here.index)
    told = dict.fromkeys(range(1, 13), 0)
    for _ in range(data.draw(st.integers(1, 8))):
        process = data.draw(st.sampled_from([here, here, there]))
        deed = data.draw(st.sampled_from(["flags", "flags", "expunge", "move", "refresh"]))
        if deed == "refresh":
            process.refresh()
            continue
        if deed == "flags":
            mode = data.draw(st.sampled_from(FlagMode))
            change = process.store_flags(data.draw(UIDS), mode, data.draw(FLAGS))
        elif deed == "expunge":
            uids = data.draw(UIDS)
            change = run(expunge(process.tx, process.account, process.mailbox.id, uids)).change
        else:
            uids = data.draw(UIDS)
            change = run(move(process.tx, process.account, process.mailbox.id, uids, archive.id)).change
        if process.take(change):
            assert process.index.highest_modseq == change.modseq
        follow(view, told)
    for process in (here, there):
        run(process.indexes.refresh(process.index))
        if process.index.highest_modseq == store.snapshot(process.mailbox.id).highest_modseq:
            assert process.is_level()
        process.refresh()
        assert process.is_level()
    follow(view, told)
    assert told == dict(zip(here.index.uids, here.index.columns.flags, strict=True))
    close(here, there)


def follow(view: View, told: dict[int, int]) -> None:
    """Do as the updates tell."""
    updates = call(view.updates, True)
    for seq in updates.expunged:
        del told[sorted(told)[seq - 1]]
    told.update({uid: bits for _, uid, bits in updates.flags})
