"""Long work offers the reactor its turn, and takes it only when it is time."""

from __future__ import annotations

import time

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from lightmail.turns import Turn
from tests.support.reactor import run


def test_others_run_while_a_task_computes_for_long() -> None:
    seen: list[int] = []

    async def task() -> int:
        turn = Turn(reactor)
        reactor.callLater(0, seen.append, 1)  # type: ignore[attr-defined]
        offers = 0
        deadline = time.monotonic() + 5
        while not seen and time.monotonic() < deadline:
            await turn.offer()
            offers += 1
        return offers

    # Nothing else ran at once, and something did in the end.
    assert run(task()) > 1
    assert seen == [1]


def test_a_short_task_is_not_held_up() -> None:
    async def task() -> list[int]:
        seen: list[int] = []
        reactor.callLater(0, seen.append, 1)  # type: ignore[attr-defined]
        turn = Turn(reactor)
        await turn.offer()
        return list(seen)

    assert run(task()) == []


def test_a_task_that_is_cancelled_in_its_pause_leaves_nothing_behind() -> None:
    async def task() -> None:
        turn = Turn(reactor)
        time.sleep(0.02)  # noqa: ASYNC251  # the long computation
        await turn.offer()

    async def cancel() -> bool:
        before = len(reactor.getDelayedCalls())  # type: ignore[attr-defined]
        running = Deferred.fromCoroutine(task())
        assert len(reactor.getDelayedCalls()) == before + 1  # type: ignore[attr-defined]
        running.cancel()
        try:
            await running
        except CancelledError:
            return len(reactor.getDelayedCalls()) == before  # type: ignore[attr-defined]
        return False

    assert run(cancel())
