"""Trouble at random while the load goes on: faults of the stores, where there are any to be had, or of the process."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.faultproxy import COMMIT, DOWN, GET, PUT, UP, Effect, Fault
from tests.support.stack import Stack

_FAULTS: dict[str, list[Fault]] = {
    "database": [
        Fault(UP, Effect.RESET),
        Fault(DOWN, Effect.RESET, after=2_000),
        Fault(UP, Effect.CLOSE, at=COMMIT, times=3),
        Fault(DOWN, Effect.CLOSE, at=COMMIT, times=3),
        Fault(DOWN, Effect.DELAY, seconds=0.05),
        Fault(UP, Effect.STALL),
        Fault(UP, Effect.SWALLOW, at=COMMIT, times=1),
    ],
    "objects": [
        Fault(UP, Effect.RESET),
        Fault(UP, Effect.CLOSE, at=PUT, after=1_000),
        Fault(DOWN, Effect.CLOSE, at=PUT, times=3),
        Fault(DOWN, Effect.CLOSE, at=GET, after=500),
        Fault(DOWN, Effect.DELAY, seconds=0.2),
        Fault(UP, Effect.STALL),
        Fault(DOWN, Effect.SWALLOW, times=2),
    ],
}
_LASTS_SECONDS = (0.2, 3.0)
_BETWEEN_SECONDS = (2.0, 8.0)


class Troubles(threading.Thread):
    """One trouble after another until `over`; each has ended before the next."""

    def __init__(self, stack: Stack, over: threading.Event, seed: int) -> None:
        super().__init__(name="troubles")
        self._stack = stack
        self._over = over
        self._dice = random.Random(seed)
        self.made: list[str] = []

    def run(self) -> None:
        while not self._over.wait(self._dice.uniform(*_BETWEEN_SECONDS)):
            with self._dice.choice(list(self._kinds()))():
                self._over.wait(self._dice.uniform(*_LASTS_SECONDS))

    def _kinds(self) -> Iterator[Callable[[], object]]:
        yield self._stopped
        if self._stack.proxies:
            yield from (self._faulty, self._faulty, self._faulty, self._refused)
        else:
            yield self._unmounted

    @contextmanager
    def _faulty(self) -> Iterator[None]:
        where = self._dice.choice(list(_FAULTS))
        fault = self._dice.choice(_FAULTS[where])
        proxy = self._stack.proxies[where]
        self.made.append(f"{where} {fault.effect.name}")
        proxy.meet(fault)
        try:
            yield
        finally:
            proxy.heal()

    @contextmanager
    def _refused(self) -> Iterator[None]:
        where, proxy = self._dice.choice(list(self._stack.proxies.items()))
        self.made.append(f"{where} refused")
        proxy.refuse()
        try:
            yield
        finally:
            proxy.heal()

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """The server itself gets no time, as on a machine that is suspended."""
        process = self._stack.server.process
        assert process is not None
        self.made.append("server stopped and continued")
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)

    @contextmanager
    def _unmounted(self) -> Iterator[None]:
        """The directory of the objects goes away for a while."""
        objects = self._stack.server.directory / "data" / "objects"
        away = Path(f"{objects}.away")
        self.made.append("objects away")
        objects.rename(away)
        try:
            yield
        finally:
            away.rename(objects)
