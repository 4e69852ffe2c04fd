"""Background jobs that come round again: a coroutine every so many seconds, for as long as the service runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger
from twisted.python.failure import Failure

from lightmail.errors import MailError

log = Logger()


class Rounds(Service):
    """Calls `work` every `interval_seconds`, the first time that long after the start; a function is asked each time.

    The next round is timed from the end of the last, so that what is slow is not asked faster than it answers; a round
    that takes longer than `deadline_seconds` is cancelled. A round that fails waits for the next, and of failures in a
    row only the first is logged, as `trouble`; the first success after them is logged as `recovery`.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Deferred[Any], Any, object]],
        *,
        reactor: Any,
        interval_seconds: float | Callable[[], float],
        deadline_seconds: float,
        trouble: str,
        recovery: str,
    ) -> None:
        self._work = work
        self._reactor = reactor
        self._interval = interval_seconds if callable(interval_seconds) else lambda: interval_seconds
        self._deadline = deadline_seconds
        self._trouble = trouble
        self._recovery = recovery
        self._timer: Any = None
        self._round: Deferred[None] | None = None
        self._failing = False

    def startService(self) -> None:
        """Begin to go round."""
        super().startService()  # type: ignore[no-untyped-call]
        self._schedule()

    def stopService(self) -> Deferred[None] | None:
        """Stop; a round under way is cancelled, and the result fires when it has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is None:
            return None
        ended: Deferred[None] = Deferred()
        self._round.addBoth(lambda _: ended.callback(None))
        self._round.cancel()
        return ended

    def hasten(self) -> None:
        """Begin the next round now, unless one is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()

    def _schedule(self) -> None:
        # Started again while the last round is still ending, that one's end sets the timer.
        if self.running and self._timer is None and self._round is None:
            self._timer = self._reactor.callLater(self._interval(), self._begin)

    def _begin(self) -> None:
        self._timer = None
        working = Deferred.fromCoroutine(self._work())
        working.addTimeout(self._deadline, self._reactor)
        self._round = working.addCallbacks(self._succeeded, self._failed)
        self._round.addBoth(self._ended)

    def _succeeded(self, _: object) -> None:
        if self._failing:
            self._failing = False
            log.info("{recovery}", recovery=self._recovery)

    def _failed(self, failure: Failure) -> None:
        if self._failing or (failure.check(CancelledError) and not self.running):
            return
        self._failing = True
        if failure.check(MailError):
            log.warn("{trouble}: {error}", trouble=self._trouble, error=failure.value)
        elif failure.check(WaitedTooLong):
            log.warn("{trouble}: no end within {seconds:g} s", trouble=self._trouble, seconds=self._deadline)
        else:
            log.failure("{trouble}", failure=failure, trouble=self._trouble)

    def _ended(self, _: object) -> None:
        self._round = None
        self._schedule()
