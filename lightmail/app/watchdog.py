"""Tells systemd that the reactor turns (WatchdogSec=): a process that hangs for good is killed and started again.

No answer of the server's depends on it, and it says nothing of the stores: restarting does not bring those back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from twisted.application.service import Service

from lightmail.app import systemd

# Three signs of life in the time that systemd allows for one.
_SIGNS: Final = 3


class Watchdog(Service):
    """Gives signs of life while it runs, where the service manager has asked this process for them (sd_notify(3))."""

    def __init__(self, reactor: Any, environ: Mapping[str, str] | None = None) -> None:
        self._reactor = reactor
        self._environ = os.environ if environ is None else environ
        self._timer: Any = None

    def startService(self) -> None:
        """Begin, if somebody waits for it."""
        super().startService()  # type: ignore[no-untyped-call]
        allowed = self._environ.get("WATCHDOG_USEC", "")
        meant = self._environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        if meant and allowed.isdigit() and int(allowed):
            self._sign(int(allowed) / 1_000_000 / _SIGNS)

    def stopService(self) -> None:
        """Stop; systemd does not watch a process that it has told to stop."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sign(self, interval_seconds: float) -> None:
        systemd.notify(systemd.WATCHDOG, self._environ)
        self._timer = self._reactor.callLater(interval_seconds, self._sign, interval_seconds)
