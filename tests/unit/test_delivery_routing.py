"""Recipients of many connections are looked up together, and each caller gets its own (`delivery/routing.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from lightmail.delivery.routing import AT_ONCE, TOGETHER, Routing
from lightmail.errors import NoSuchAccount, Unavailable


class Lookups:
    """A database that answers when it is told to; `asked` holds what each read was for."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self._answers: list[Deferred[Any]] = []

    async def read(self, name: str, fn: object, given: Sequence[str], *rest: object) -> Any:
        self.asked.append(given)
        self._answers.append(Deferred())
        return await self._answers[-1]

    def answer(self, number: int) -> None:
        """Answer a read: each recipient is unknown, and the error says which one it is for."""
        self._answers[number].callback([NoSuchAccount(recipient) for recipient in self.asked[number]])

    def fail(self, number: int) -> None:
        self._answers[number].errback(Unavailable())


class Desk:
    """A routing, and what its callers have got."""

    def __init__(self) -> None:
        self.lookups = Lookups()
        self.routing = Routing(self.lookups, "mx", False)  # type: ignore[arg-type]
        self.got: dict[str, Any] = {}

    def ask(self, *given: str) -> Deferred[Any]:
        asking = Deferred.fromCoroutine(self.routing.look_up(given))
        return asking.addBoth(lambda result: self.got.update({given[0]: getattr(result, "value", result)}))

    def texts(self, first: str) -> list[str]:
        return [error.text for error in self.got[first]]


def test_those_that_come_meanwhile_share_the_next_lookup() -> None:
    desk = Desk()
    for number in range(AT_ONCE):
        desk.ask(f"early{number}")
    desk.ask("a", "b")
    desk.ask("c")
    assert len(desk.lookups.asked) == AT_ONCE
    desk.lookups.answer(0)
    assert desk.texts("early0") == ["early0"]
    assert desk.lookups.asked[AT_ONCE:] == [["a", "b", "c"]]
    desk.lookups.answer(AT_ONCE)
    assert desk.texts("a") == ["a", "b"]
    assert desk.texts("c") == ["c"]


def test_a_lookup_has_a_bound_and_nobody_s_recipients_are_divided() -> None:
    desk = Desk()
    for number in range(AT_ONCE):
        desk.ask(f"early{number}")
    half = TOGETHER // 2 + 1
    for name in "ab":
        desk.ask(*[f"{name}{number}" for number in range(half)])
    for number in range(AT_ONCE):
        desk.lookups.answer(number)
    assert [len(given) for given in desk.lookups.asked[AT_ONCE:]] == [half, half]


@pytest.mark.parametrize("fails", [True, False])
def test_a_failure_is_for_all_of_a_lookup_and_a_caller_that_left_for_nobody(fails: bool) -> None:
    desk = Desk()
    for number in range(AT_ONCE):
        desk.ask(f"early{number}")
    desk.ask("a")
    desk.ask("gone").cancel()
    desk.ask("b")
    desk.lookups.fail(0)
    assert isinstance(desk.got["early0"], Unavailable)
    if fails:
        desk.lookups.fail(AT_ONCE)
        assert isinstance(desk.got["a"], Unavailable)
        assert isinstance(desk.got["b"], Unavailable)
    else:
        desk.lookups.answer(AT_ONCE)
        assert desk.texts("a") == ["a"]
        assert desk.texts("b") == ["b"]
    assert isinstance(desk.got["gone"], CancelledError)
    desk.lookups.answer(1)
    desk.ask("later")
    desk.lookups.answer(AT_ONCE + 1)
    assert desk.texts("later") == ["later"]
