"""The collector as a service: passes that follow soon where there was work, later where there was none or trouble."""

from __future__ import annotations

from typing import Any, Final

from lightmail.config import GarbageConfig
from lightmail.jobs.garbage.collector import Collector
from lightmail.metrics import GARBAGE_FAILURES
from lightmail.rounds import Rounds

# A pass is cut off after this long; what it has done by then stays done.
_DEADLINE_SECONDS: Final = 900.0
_FIRST_BACK_OFF_SECONDS: Final = 5.0
_LONGEST_BACK_OFF_SECONDS: Final = 300.0


class Garbage(Rounds):
    """Runs passes of a collector, `pause_seconds` after one that had work and `idle_seconds` after one that had none.

    After a failure it waits five seconds, and twice as long after each further one, up to five minutes.
    """

    def __init__(self, collector: Collector, config: GarbageConfig, *, reactor: Any) -> None:
        self._collector = collector
        self._config = config
        self._failures = 0
        self._worked = False
        super().__init__(
            self._pass,
            reactor=reactor,
            interval_seconds=self._wait_seconds,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="garbage cannot be collected",
            recovery="garbage is collected again",
        )

    async def _pass(self) -> None:
        # A pass counts as failed until it has ended well, whatever ends it.
        self._failures += 1
        try:
            done = await self._collector.once()
        except Exception:
            GARBAGE_FAILURES.inc()
            raise
        self._failures = 0
        self._worked = done.more

    def _wait_seconds(self) -> float:
        if self._failures:
            return min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2.0 ** (self._failures - 1))
        return float(self._config.pause_seconds if self._worked else self._config.idle_seconds)
