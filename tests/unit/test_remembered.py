"""Answers that are found out once for all who ask within a while."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lightmail.errors import Unavailable
from lightmail.web.api.remembered import Remembered


class Source:
    """What is asked; each question waits until it is answered."""

    def __init__(self) -> None:
        self.questions: list[Deferred[int]] = []

    async def find(self) -> int:
        question: Deferred[int] = Deferred()
        self.questions.append(question)
        return await question


class Asked:
    """A question on its way, and what came of it."""

    def __init__(self, remembered: Remembered[int], source: Source, key: object = None) -> None:
        self.outcome: list[Any] = []
        Deferred.fromCoroutine(remembered.get(key, source.find)).addBoth(self.outcome.append)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remembered(clock: Clock) -> Remembered[int]:
    return Remembered(10, clock.seconds)


def test_all_who_ask_at_once_and_soon_after_get_the_same(clock, remembered):
    source = Source()
    early = [Asked(remembered, source) for _ in range(3)]
    clock.advance(5)
    late = Asked(remembered, source)
    [question] = source.questions
    question.callback(7)
    clock.advance(4.9)
    assert [each.outcome for each in (*early, late, Asked(remembered, source))] == [[7]] * 5
    assert len(source.questions) == 1


def test_it_is_asked_again_when_it_is_old(clock, remembered):
    source = Source()
    Asked(remembered, source)
    source.questions[0].callback(7)
    clock.advance(10)
    asked = Asked(remembered, source)
    source.questions[1].callback(8)
    assert asked.outcome == [8]


def test_keys_are_apart(remembered):
    source = Source()
    one, other = Asked(remembered, source, 1), Asked(remembered, source, 2)
    source.questions[1].callback(2)
    assert (one.outcome, other.outcome) == ([], [2])
    source.questions[0].callback(1)
    assert one.outcome == [1]


def test_a_failure_is_told_to_all_and_not_remembered(remembered):
    source = Source()
    asked = [Asked(remembered, source) for _ in range(2)]
    source.questions[0].errback(Unavailable())
    assert [each.outcome[0].type for each in asked] == [Unavailable] * 2
    again = Asked(remembered, source)
    source.questions[1].callback(7)
    assert again.outcome == [7]


def test_keys_are_bounded(remembered):
    source = Source()
    for key in range(1000):
        Asked(remembered, source, key)
        source.questions[-1].callback(key)
    Asked(remembered, source, 999)
    assert len(source.questions) == 1000  # the newest is known
    Asked(remembered, source, 0)
    assert len(source.questions) == 1001  # the oldest is not
    source.questions[-1].callback(0)
