"""Waiting for one of a few connections: first come, first served, bounded in number and in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred

from lightmail.errors import Unavailable
from lightmail.metrics import POOL_CALLS, Reading


class Gate:
    """`permits` may be inside at once; at most `waiting` more wait for up to `wait_seconds`, others get Unavailable."""

    def __init__(self, permits: int, *, waiting: int, wait_seconds: float, reactor: Any) -> None:
        self._free = permits
        self._permits = permits
        self._bound = waiting
        self._wait_seconds = wait_seconds
        self._reactor = reactor
        self._queue: deque[Deferred[None]] = deque()
        self._idle: list[Deferred[None]] = []
        POOL_CALLS.watch(self, Gate._readings)

    def _readings(self) -> Iterator[Reading]:
        # Who is inside runs in the database's pool, which counts itself.
        yield ("database", "waiting"), len(self._queue)

    async def enter(self) -> None:
        """Return once inside; the caller owes one `leave`. Raises Unavailable when it is too full or takes too long."""
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= self._bound:
            raise Unavailable
        turn: Deferred[None] = Deferred(self._forget)
        self._queue.append(turn)
        timer = self._reactor.callLater(self._wait_seconds, self._expire, turn)
        try:
            await turn
        finally:
            if timer.active():
                timer.cancel()

    def leave(self) -> None:
        """Let the next one in."""
        if self._queue:
            self._queue.popleft().callback(None)
            return
        self._free += 1
        if self._free == self._permits:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)

    async def drained(self) -> None:
        """Return when nobody is inside."""
        if self._free < self._permits:
            waiter: Deferred[None] = Deferred()
            self._idle.append(waiter)
            await waiter

    def _forget(self, turn: Deferred[None]) -> None:
        if turn in self._queue:
            self._queue.remove(turn)

    def _expire(self, turn: Deferred[None]) -> None:
        self._queue.remove(turn)
        turn.errback(Unavailable())
