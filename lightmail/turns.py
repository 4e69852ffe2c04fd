"""Long computations in the reactor's thread, cut into turns so that nothing else waits for long."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from twisted.internet.defer import Deferred

from lightmail import stalls

_TURN_SECONDS: Final = 0.010


class Turn:
    """How long one task has held the reactor.

    The task offers to yield after each small slice of its work (2 ms at most, say): then the reactor is held for about
    10 ms at a time. What the task waited for in between counts too, which only makes it yield sooner.
    """

    __slots__ = ("_reactor", "_since")

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._since = perf_counter()

    async def offer(self) -> None:
        """Let everything else that is ready run, if it is time to."""
        if perf_counter() - self._since < _TURN_SECONDS:
            return
        stalls.stirred("long work")
        passed: Deferred[None] = Deferred()
        call = self._reactor.callLater(0, passed.callback, None)
        try:
            await passed
        finally:
            if call.active():
                call.cancel()  # the task itself was cancelled
        self._since = perf_counter()
