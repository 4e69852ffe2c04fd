"""A trace follows what is done under it: through threads, transactions and rows, and never what others do."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogPublisher

from lightmail import traces
from lightmail.index.registry import Indexes
from lightmail.logs import format_text
from lightmail.model import Account, FlagMode, Mailbox
from lightmail.notify.hints import Notifier
from lightmail.operations.append import Appended, NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.undelete import plan, restore
from lightmail.store.undelete import Filters
from lightmail.threads import BoundedPool
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

T = TypeVar("T")

reactor: Any = installed_reactor
log = Logger(namespace="lightmail.tests")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


class Reader:
    """Another process: its own index of a mailbox, which knows what its own notifier and the store tell it."""

    def __init__(self, store: Store, account: Account, mailbox: Mailbox) -> None:
        self.indexes = Indexes(store.database, Notifier(reactor), 1 << 20, reactor=reactor)
        self.index = run(self.indexes.acquire(account, mailbox))

    def traces(self) -> dict[int, str]:
        """The trace of each message that came since it was opened, as far as one is known, by UID."""
        run(self.indexes.refresh(self.index, force=True))
        found = {uid: self.index.arrivals.of({uid}) for uid in self.index.uids}
        return {uid: trace for uid, trace in found.items() if trace}

    def close(self) -> None:
        call(self.indexes.release, self.index)


@pytest.fixture
def inbox(store: Store) -> Iterator[tuple[Account, Mailbox, Reader]]:
    account = store.account()
    mailbox = store.mailbox(account)
    reader = Reader(store, account, mailbox)
    yield account, mailbox, reader
    reader.close()


async def under(trace: str, work: Awaitable[T]) -> T:
    """What comes of `work`, done under a trace."""
    traces.CURRENT.set(trace)
    value = await work
    assert traces.CURRENT.get() == trace, "nobody is left with another's trace"
    return value


def bring(
    store: Store, trace: str, account: Account, mailbox: Mailbox, count: int = 1
) -> Coroutine[Any, Any, Appended]:
    return under(trace, append(store.tx, account, mailbox.id, [NewMessage(blob(), (), NOW_US) for _ in range(count)]))


def test_another_process_knows_under_which_trace_each_message_was_brought(store: Store) -> None:
    accounts = [store.account() for _ in range(3)]
    inboxes = [store.mailbox(account) for account in accounts]
    readers = [Reader(store, account, inbox) for account, inbox in zip(accounts, inboxes, strict=True)]
    # More than there are connections, so that they queue and some share a transaction.
    names = [f"{number:012x}.{number}" for number in range(30)]
    appended = together(*(bring(store, name, accounts[at % 3], inboxes[at % 3]) for at, name in enumerate(names)))
    for number, reader in enumerate(readers):
        expected = {done.uids[0]: name for done, name in zip(appended, names, strict=True) if name in names[number::3]}
        assert reader.traces() == expected
        assert reader.traces() == expected, "asked twice"
        reader.close()


def test_what_is_copied_moved_and_restored_has_the_trace_of_who_did_it(
    store: Store, inbox: tuple[Account, Mailbox, Reader]
) -> None:
    account, mailbox, reader = inbox
    run(bring(store, "a", account, mailbox))
    run(under("b", copy(store.tx, account, mailbox.id, [1], mailbox.id)))
    run(under("c", move(store.tx, account, mailbox.id, [1], mailbox.id)))
    run(store_flags(store.tx, account, mailbox.id, [2], FlagMode.ADD, [b"\\Deleted"]))
    run(under("d", expunge(store.tx, account, mailbox.id, [2])))
    planned = run(plan(store.tx, account, Filters()))
    run(under("e", restore(store.tx, OPERATOR, account, Filters(), planned)))
    assert reader.traces() == {3: "c", 4: "e"}


def test_a_change_of_flags_leaves_the_trace_as_it_was(store: Store, inbox: tuple[Account, Mailbox, Reader]) -> None:
    account, mailbox, reader = inbox
    run(bring(store, "a", account, mailbox))
    assert reader.traces() == {1: "a"}
    run(under("b", store_flags(store.tx, account, mailbox.id, [1], FlagMode.ADD, [b"\\Seen"])))
    assert reader.traces() == {1: "a"}


def test_the_last_messages_of_many_have_their_traces(store: Store, inbox: tuple[Account, Mailbox, Reader]) -> None:
    account, mailbox, reader = inbox
    run(bring(store, "a", account, mailbox, traces.MOST))
    run(bring(store, "b", account, mailbox, 2))
    found = reader.traces()
    assert list(found) == list(range(3, traces.MOST + 3))
    assert list(found.values()) == ["a"] * (traces.MOST - 2) + ["b", "b"]


@pytest.mark.parametrize("trace", ["", "two traces", "x" * 33])
def test_a_row_keeps_one_trace_or_none(store: Store, inbox: tuple[Account, Mailbox, Reader], trace: str) -> None:
    account, mailbox, reader = inbox
    run(bring(store, trace, account, mailbox))
    assert reader.traces() == {}
    assert store.uids(mailbox.id) == [1]


def test_no_statement_more_than_without(store: Store, inbox: tuple[Account, Mailbox, Reader]) -> None:
    account, mailbox, reader = inbox
    trips = []
    for trace in ("", "a"):
        before = store.trips("append"), store.trips("changes")
        run(bring(store, trace, account, mailbox))
        reader.traces()
        trips.append((store.trips("append") - before[0], store.trips("changes") - before[1]))
    assert trips[0] == trips[1]


def test_the_log_is_marked_in_coroutines_and_in_threads() -> None:
    pool = BoundedPool("test", 2, 100, reactor=reactor)
    call(pool.start)

    def in_thread(name: str) -> None:
        log.info("{name} in a thread", name=name)

    async def one(name: str) -> None:
        traces.CURRENT.set(f"trace-{name}")
        for _ in range(3):
            await pool.run(in_thread, name)
            log.info("{name} in the reactor", name=name)
            await deferLater(reactor, 0)

    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_namespace") == "lightmail.tests":
            lines.append(format_text(event))

    globalLogPublisher.addObserver(observe)
    try:
        together(*(one(name) for name in "abcdef"))
        call(log.info, "outside")
    finally:
        globalLogPublisher.removeObserver(observe)
        run(pool.stop())
    assert len(lines) == 37
    for line in lines[:-1]:
        name = line.split()[4]
        assert f"[trace-{name}] {name} in" in line
    assert "] outside" not in lines[-1]
