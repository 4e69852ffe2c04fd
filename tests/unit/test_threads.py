"""The bounded pool: results, refusals beyond the bound, cancellation, and a stop that waits for what runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from lightmail.errors import Unavailable
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run


@pytest.fixture
def pool() -> Iterator[BoundedPool]:
    pool = BoundedPool("test", threads=2, queue=2, reactor=reactor)
    call(pool.start)
    yield pool
    run(pool.stop())


def begin(pool: BoundedPool, fn: object, *args: object) -> Deferred[object]:
    return Deferred.fromCoroutine(pool.run(fn, *args))  # type: ignore[arg-type]


def test_the_result_comes_back_and_the_call_ran_elsewhere(pool: BoundedPool) -> None:
    async def scenario() -> tuple[int, int]:
        here = threading.get_ident()
        there = await pool.run(threading.get_ident)
        return here, there

    here, there = run(scenario())
    assert here != there


def test_arguments_are_handed_over(pool: BoundedPool) -> None:
    assert run(pool.run(int, "ff", base=16)) == 255


def test_an_exception_is_raised_where_it_is_awaited(pool: BoundedPool) -> None:
    with pytest.raises(ZeroDivisionError):
        run(pool.run(divmod, 1, 0))


def test_no_more_than_the_threads_run_at_once(pool: BoundedPool) -> None:
    both = threading.Barrier(2)

    async def scenario() -> list[object]:
        return await gatherResults([begin(pool, both.wait, 10) for _ in range(4)], consumeErrors=True)

    assert sorted(run(scenario())) == [0, 0, 1, 1]


def test_what_the_queue_cannot_hold_is_refused_and_the_rest_is_served(pool: BoundedPool) -> None:
    gate = threading.Event()

    async def scenario() -> list[object]:
        taken = [begin(pool, gate.wait, 10) for _ in range(4)]
        with pytest.raises(Unavailable):
            await pool.run(int)
        gate.set()
        return await gatherResults(taken)

    assert run(scenario()) == [True] * 4
    assert run(pool.run(int)) == 0


def test_a_cancelled_call_that_has_not_begun_is_never_made(pool: BoundedPool) -> None:
    gate = threading.Event()
    made: list[int] = []

    async def scenario() -> None:
        running = [begin(pool, gate.wait, 10) for _ in range(2)]
        waiting = begin(pool, made.append, 1)
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        gate.set()
        await gatherResults(running)
        await pool.run(int)

    run(scenario())
    run(pool.stop())
    assert made == []


def test_what_waited_too_long_is_refused_unmade() -> None:
    pool = BoundedPool("test", threads=1, queue=1, reactor=reactor, wait_seconds=0.05)
    made: list[int] = []

    async def scenario() -> None:
        pool.start()
        slow = begin(pool, time.sleep, 0.1)
        with pytest.raises(Unavailable):
            await pool.run(made.append, 1)
        await slow
        await pool.run(made.append, 2)
        await pool.stop()

    run(scenario())
    assert made == [2]


def test_stop_waits_for_what_was_taken_in_and_refuses_the_rest(pool: BoundedPool) -> None:
    gate = threading.Event()
    ended: list[int] = []

    async def scenario() -> None:
        begin(pool, gate.wait, 10)
        begin(pool, ended.append, 1)
        begin(pool, ended.append, 2)
        stopping = [Deferred.fromCoroutine(pool.stop()) for _ in range(2)]
        with pytest.raises(Unavailable):
            await pool.run(int)
        assert not stopping[0].called
        gate.set()
        await gatherResults(stopping)

    run(scenario())
    assert sorted(ended) == [1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]
