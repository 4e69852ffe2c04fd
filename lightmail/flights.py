"""One piece of work that several callers wait for, so that what all of them need is done once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")

log = Logger()


class Flight(Generic[T]):
    """Runs a coroutine, begun at once, to its end, whoever of those that wait for it gives up."""

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> None:
        self.landed = False
        self._outcome: T | Failure | None = None
        self._waiters: list[Deferred[T]] = []
        self._landings: list[Callable[[], object]] = []
        Deferred.fromCoroutine(coroutine).addBoth(self._land)

    async def result(self) -> T:
        """What the coroutine returns; what it raises is raised to everyone who waits."""
        waiter: Deferred[T] = Deferred()
        if self.landed:
            self._tell(waiter)
        else:
            self._waiters.append(waiter)
        return await waiter

    def when_landed(self, fn: Callable[[], object]) -> None:
        """Call `fn` before anybody is told of the outcome; it must not raise."""
        if self.landed:
            fn()
        else:
            self._landings.append(fn)

    def _land(self, outcome: T | Failure) -> None:
        self.landed = True
        self._outcome = outcome
        landings, self._landings = self._landings, []
        for fn in landings:
            fn()
        waiters = [waiter for waiter in self._waiters if not waiter.called]
        self._waiters = []
        if isinstance(outcome, Failure) and not waiters:
            log.warn("nobody waited for the failure of a shared task: {error!r}", error=outcome.value)
        for waiter in waiters:
            if not waiter.called:  # cancelled by one that was told before it
                self._tell(waiter)

    def _tell(self, waiter: Deferred[T]) -> None:
        if isinstance(self._outcome, Failure):
            waiter.errback(self._outcome)
        else:
            waiter.callback(self._outcome)  # type: ignore[arg-type]
