"""CPython's search for cycles among its objects, which stops everything: when it is done, and over how much.

A full search looks at every container there is: 20 ms for the modules and what a server is made of, 100 ms and more
with 10,000 sessions, and while they come CPython makes one again and again. Little is freed by it: what errors leave,
and TLS connections that were cut. So what is there when the server has started is never looked at again, and full
searches are made when nobody is being served. Only where it is never quiet CPython makes them by itself, a tenth as
often as it would.
"""

from __future__ import annotations

import gc
from typing import Any, Final

from twisted.application.service import Service

from lightmail import stalls

_LOOK_SECONDS: Final = 30.0
# Searches of the young generations (CPython's default numbers, 7,000 containers each) before a full one is worth while,
# and before CPython does not wait for a quiet moment any longer: garbage of that much is some hundred MiB at the worst.
_WORTH: Final = 5
_AT_MOST: Final = 100


class QuietCollector(Service):
    """Makes full searches at quiet moments while it runs. At its start the reactor stands still for one, 50 ms."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._thresholds = gc.get_threshold()
        self._timer: Any = None

    def startService(self) -> None:
        """Exempt all there is from searches, and take over the full ones."""
        super().startService()  # type: ignore[no-untyped-call]
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], _AT_MOST)
        self._timer = self._reactor.callLater(_LOOK_SECONDS, self._look)

    def stopService(self) -> None:
        """Leave everything to CPython again."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _look(self) -> None:
        self._timer = self._reactor.callLater(_LOOK_SECONDS, self._look)
        if gc.get_count()[2] >= _WORTH and stalls.quiet():
            gc.collect()
