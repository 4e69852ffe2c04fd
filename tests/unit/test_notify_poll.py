"""The poll asks once an interval for what is watched, and outlives a store that does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from lightmail.errors import Unavailable
from lightmail.model import MailboxId
from lightmail.notify.hints import Notifier
from lightmail.notify.poll import Poll

INBOX = MailboxId(1)


class Store:
    """Answers with `modseqs`, or as `fault` says."""

    def __init__(self) -> None:
        self.modseqs: dict[MailboxId, int] = {}
        self.asked: list[list[MailboxId]] = []
        self.fault: Exception | None = None
        self.silent: Deferred[None] | None = None

    async def read(self, mailboxes: Sequence[MailboxId]) -> Mapping[MailboxId, int]:
        self.asked.append(list(mailboxes))
        if self.silent is not None:
            await self.silent
        if self.fault is not None:
            raise self.fault
        return {mailbox: self.modseqs[mailbox] for mailbox in mailboxes if mailbox in self.modseqs}


class Fixture:
    def __init__(self) -> None:
        self.clock = Clock()
        self.notifier = Notifier(self.clock)
        self.store = Store()
        self.poll = Poll(self.notifier, self.store.read, reactor=self.clock)
        self.woken: list[int] = []

    def watch(self, mailbox: MailboxId = INBOX, modseq: int = 1) -> None:
        self.store.modseqs[mailbox] = modseq
        self.notifier.watch(mailbox, lambda: self.woken.append(mailbox))

    def round(self) -> None:
        self.clock.advance(1)
        self.clock.advance(0)


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_a_change_made_elsewhere_wakes_within_a_second(fixture: Fixture) -> None:
    fixture.watch()
    fixture.poll.startService()
    fixture.round()
    fixture.woken.clear()
    fixture.round()
    assert fixture.woken == []
    fixture.store.modseqs[INBOX] = 2
    fixture.round()
    assert fixture.woken == [INBOX]


def test_nothing_is_asked_when_nothing_is_watched(fixture: Fixture) -> None:
    fixture.poll.startService()
    fixture.round()
    assert fixture.store.asked == []


def test_many_mailboxes_are_asked_in_bounded_statements(fixture: Fixture) -> None:
    for number in range(1, 2501):
        fixture.watch(MailboxId(number))
    fixture.poll.startService()
    fixture.round()
    assert [len(asked) for asked in fixture.store.asked] == [1024, 1024, 452]
    assert len(fixture.woken) == 2500


def test_a_mailbox_that_went_wakes_its_watchers_once(fixture: Fixture) -> None:
    fixture.watch()
    fixture.poll.startService()
    fixture.round()
    fixture.woken.clear()
    del fixture.store.modseqs[INBOX]
    fixture.round()
    fixture.round()
    assert fixture.woken == [INBOX]


def test_an_outage_is_logged_once_and_its_end_once(fixture: Fixture) -> None:
    logged: list[str] = []

    def observe(event: dict[str, object]) -> None:
        logged.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        fixture.watch()
        fixture.poll.startService()
        fixture.store.fault = Unavailable()
        fixture.round()
        fixture.round()
        fixture.store.fault = None
        fixture.store.modseqs[INBOX] = 7
        fixture.round()
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
    assert logged == [
        "changes to mailboxes cannot be polled: Temporarily unavailable, try again later.",
        "changes to mailboxes are polled again",
    ]
    assert fixture.woken == [INBOX]


def test_a_store_that_never_answers_is_given_up_after_a_deadline(fixture: Fixture) -> None:
    fixture.watch()
    fixture.store.silent = Deferred()
    fixture.poll.startService()
    fixture.round()
    fixture.clock.advance(29)
    assert len(fixture.store.asked) == 1, "one round at a time"
    fixture.clock.advance(1)
    fixture.store.silent = None
    fixture.round()
    assert fixture.woken == [INBOX]


def test_stopping_waits_for_nothing_and_leaves_nothing(fixture: Fixture) -> None:
    fixture.watch()
    fixture.store.silent = Deferred()
    fixture.poll.startService()
    fixture.round()
    stopped = fixture.poll.stopService()
    assert stopped is not None
    assert stopped.called
    assert not fixture.clock.getDelayedCalls()
    fixture.poll.startService()
    assert fixture.poll.stopService() is None
    assert not fixture.clock.getDelayedCalls()
