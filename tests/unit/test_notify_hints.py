"""Hints reach those who watch, later and once, and nobody else."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from lightmail.model import MailboxId
from lightmail.notify.hints import Notifier

INBOX, SENT = MailboxId(1), MailboxId(2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notifier(clock: Clock) -> Notifier:
    return Notifier(clock)


def test_a_hint_wakes_the_watchers_of_its_mailbox_in_a_later_turn(notifier: Notifier, clock: Clock) -> None:
    woken: list[str] = []
    notifier.watch(INBOX, lambda: woken.append("a"))
    notifier.watch(INBOX, lambda: woken.append("b"))
    notifier.watch(SENT, lambda: woken.append("c"))
    notifier.changed(INBOX, 5)
    assert woken == []
    assert notifier.latest(INBOX) == 5, "known at once, for whoever asks"
    clock.advance(0)
    assert woken == ["a", "b"]


def test_hints_of_one_turn_make_one_wake(notifier: Notifier, clock: Clock) -> None:
    woken: list[int] = []
    notifier.watch(INBOX, lambda: woken.append(1))
    for modseq in (1, 2, 3):
        notifier.changed(INBOX, modseq)
    clock.advance(0)
    notifier.changed(INBOX, 4)
    clock.advance(0)
    assert len(woken) == 2


def test_what_was_heard_before_wakes_nobody(notifier: Notifier, clock: Clock) -> None:
    woken: list[int] = []
    notifier.watch(INBOX, lambda: woken.append(1))
    for modseq in (3, 3, 2):
        notifier.changed(INBOX, modseq)
        clock.advance(0)
    assert len(woken) == 1
    assert notifier.latest(INBOX) == 3


def test_a_closed_watch_sleeps_even_when_the_hint_came_first(notifier: Notifier, clock: Clock) -> None:
    woken: list[str] = []
    first = notifier.watch(INBOX, lambda: (woken.append("first"), second.close()))  # type: ignore[arg-type,return-value]
    second = notifier.watch(INBOX, lambda: woken.append("second"))
    notifier.changed(INBOX, 1)
    clock.advance(0)
    assert woken == ["first"]
    first.close()
    first.close()
    assert notifier.watched() == []
    assert notifier.latest(INBOX) == 0
    notifier.changed(INBOX, 9)
    assert not clock.getDelayedCalls(), "nothing is kept for mailboxes that nobody watches"


def test_one_watcher_that_fails_does_not_keep_the_others_asleep(notifier: Notifier, clock: Clock) -> None:
    woken: list[int] = []

    def fail() -> None:
        raise RuntimeError("broken session")

    logged: list[object] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        notifier.watch(INBOX, fail)
        notifier.watch(INBOX, lambda: woken.append(1))
        notifier.changed(INBOX, 1)
        clock.advance(0)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert woken == [1]
    assert len(logged) == 1
