"""A shared task runs once, to its end, and tells everyone who waits."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from lightmail.flights import Flight


def flight_of(source: Deferred[int]) -> Flight[int]:
    async def work() -> int:
        return await source

    return Flight(work())


def wait(flight: Flight[int]) -> Deferred[int]:
    return Deferred.fromCoroutine(flight.result())


def outcome(waiting: Deferred[int]) -> object:
    """What `waiting` has come to, None while it has not; it may be asked again."""
    if not waiting.called:
        return None
    result: object = waiting.result
    waiting.addErrback(lambda _: None)
    return getattr(result, "value", result)


def test_everyone_is_told_the_result() -> None:
    source: Deferred[int] = Deferred()
    flight = flight_of(source)
    waiting = [wait(flight) for _ in range(3)]
    assert not flight.landed
    source.callback(7)
    assert [outcome(one) for one in waiting] == [7, 7, 7]
    assert outcome(wait(flight)) == 7, "and who comes late"


def test_everyone_is_told_the_failure() -> None:
    source: Deferred[int] = Deferred()
    flight = flight_of(source)
    waiting = [wait(flight) for _ in range(3)]
    error = ValueError("no")
    source.errback(error)
    assert [outcome(one) for one in waiting] == [error] * 3


def test_who_gives_up_takes_nobody_along() -> None:
    source: Deferred[int] = Deferred()
    flight = flight_of(source)
    first, second = wait(flight), wait(flight)
    first.cancel()
    assert isinstance(outcome(first), CancelledError)
    assert outcome(second) is None
    source.callback(7)
    assert outcome(second) == 7


def test_landings_come_first() -> None:
    source: Deferred[int] = Deferred()
    flight = flight_of(source)
    order: list[str] = []
    wait(flight).addCallback(lambda _: order.append("told"))
    flight.when_landed(lambda: order.append("landed"))
    source.callback(7)
    assert order == ["landed", "told"]
    flight.when_landed(lambda: order.append("late"))
    assert order[-1] == "late"


@pytest.mark.filterwarnings("error")
def test_a_failure_that_nobody_waits_for_is_no_unhandled_error() -> None:
    source: Deferred[int] = Deferred()
    flight = flight_of(source)
    source.errback(ValueError("no"))
    assert flight.landed
