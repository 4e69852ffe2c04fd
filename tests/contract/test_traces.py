"""A trace follows what is done under it: through threads, shared transactions and hints, and never what others do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogPublisher

from lightmail import traces
from lightmail.logs import format_text
from lightmail.model import Account, MailboxId
from lightmail.notify.hints import Notifier, Watch
from lightmail.operations.append import NewMessage, append
from lightmail.operations.transactions import Transactions
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

reactor: Any = installed_reactor
log = Logger(namespace="lightmail.tests")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


class Watched:
    """Mailboxes that are watched, and writers with traces of their own."""

    def __init__(self, store: Store) -> None:
        self.notifier = Notifier(reactor)
        self.tx = Transactions(store.database, self.notifier)
        self.store = store

    def watch(self, mailbox: MailboxId) -> Watch:
        return call(self.notifier.watch, mailbox, lambda: None)

    async def bring(self, trace: str, account: Account, mailbox: MailboxId) -> str:
        """Append a message under a trace; the trace that is current afterwards."""
        traces.CURRENT.set(trace)
        await append(self.tx, account, mailbox, [NewMessage(blob(), (), NOW_US)])
        return traces.CURRENT.get()

    def told(self, watch: Watch) -> set[str]:
        """The traces that a watch has heard of, once all wakes have come."""

        async def after() -> str:
            await deferLater(reactor, 0)
            await deferLater(reactor, 0)
            return watch.take_traces()

        return set(run(after()).split())


def test_each_watcher_hears_the_traces_of_its_own_mailbox(store: Store) -> None:
    watched = Watched(store)
    accounts = [store.account() for _ in range(3)]
    inboxes = [store.mailbox(account).id for account in accounts]
    watches = [watched.watch(inbox) for inbox in inboxes]
    # More than there are connections, so that they queue and some share a transaction.
    work = [watched.bring(f"{number:012x}.1", accounts[number % 3], inboxes[number % 3]) for number in range(30)]
    assert together(*work) == [f"{number:012x}.1" for number in range(30)], "nobody is left with another's trace"
    for number, watch in enumerate(watches):
        assert watched.told(watch) == {f"{each:012x}.1" for each in range(number, 30, 3)}
        assert watched.told(watch) == set(), "they are told once"
        call(watch.close)


def test_a_watch_without_a_wake_gathers_nothing(store: Store) -> None:
    watched = Watched(store)
    account = store.account()
    inbox = store.mailbox(account).id
    watch = call(watched.notifier.watch, inbox, None)
    run(watched.bring("a", account, inbox))
    assert watched.told(watch) == set()
    call(watch.close)


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
