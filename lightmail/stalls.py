"""How long the reactor keeps others waiting: a pulse that beats while there is work, and observes its own lateness.

A beat stands for a client whose octets arrive at that moment: it is late by as long as that client would have waited.
The pulse starts with the first work after a quiet time, measuring the rest of that very turn of the reactor, and ends
one beat after the last: a server that nobody talks to is never woken for it. Those through whom work enters the
reactor say so with :func:`stirred`, which costs 0.1 µs; measuring each turn would need a hook inside Twisted's loop.

All functions belong to the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from twisted.application.service import Service
from twisted.logger import Logger

from lightmail import metrics

log = Logger()

BEAT_SECONDS: Final = 0.020
# A stall that users notice; of those within a while, one line tells.
TOLD_SECONDS: Final = 0.250
_SILENCE_SECONDS: Final = 10.0


class StallMeter(Service):
    """Observes the reactor's stalls while it runs; one at a time in a process hears of what enters the reactor.

    `observe` gets each beat's lateness in seconds; `seconds` is a clock that nobody sets.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        observe: Callable[[float], None] = metrics.REACTOR_STALL.observe,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._reactor = reactor
        self._observe = observe
        self._seconds = seconds
        self._timer: Any = None
        self._due = 0.0
        self._work = ""
        self._stirred = False
        self._told = float("-inf")
        self._untold = 0

    def startService(self) -> None:
        """Listen for work from now on."""
        global _meter
        super().startService()  # type: ignore[no-untyped-call]
        _meter = self

    def stopService(self) -> None:
        """Stop the pulse, and hear of nothing more."""
        global _meter
        super().stopService()  # type: ignore[no-untyped-call]
        if _meter is self:
            _meter = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stirred(self, work: str) -> None:
        """`work` begins in the reactor now."""
        self._work = work
        self._stirred = True
        if self._timer is None:
            self._expect(0.0)

    @property
    def quiet(self) -> bool:
        """Whether nothing has begun since the beat before the last."""
        return self._timer is None

    def _expect(self, delay: float) -> None:
        self._due = self._seconds() + delay
        self._timer = self._reactor.callLater(delay, self._beat)

    def _beat(self) -> None:
        self._timer = None
        late = max(0.0, self._seconds() - self._due)
        self._observe(late)
        if late >= TOLD_SECONDS:
            self._tell(late)
        if self._stirred:
            self._stirred = False
            self._expect(BEAT_SECONDS)

    def _tell(self, late: float) -> None:
        now = self._seconds()
        if now - self._told < _SILENCE_SECONDS:
            self._untold += 1
            return
        log.warn(
            "the reactor kept everybody waiting for {ms:.0f} ms; what began last was {work} "
            "({untold} more since the last such line)",
            ms=late * 1000,
            work=self._work,
            untold=self._untold,
        )
        self._told, self._untold = now, 0


_meter: StallMeter | None = None


def stirred(work: str) -> None:
    """Say that `work` (a protocol, a pool, a job: a word for the log) begins in the reactor's thread."""
    if _meter is not None:
        _meter.stirred(work)


def quiet() -> bool:
    """Whether nobody is being served in the reactor's thread just now, as far as is known."""
    return _meter is None or _meter.quiet
