"""The life of a server process: parts start in order and stop in the opposite order, each awaited.

A part that cannot start ends the process: those before it are stopped, the reason is one line in the log and on
standard error, and the exit status is 1.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger

from lightmail.app import systemd
from lightmail.errors import StartupError

log = Logger()


async def nothing() -> None:
    """The start or stop of a part that needs none."""


@dataclass(frozen=True)
class Part:
    """Something that is started and stopped: a pool, a database, the listeners. A name for the log."""

    name: str
    start: Callable[[], Awaitable[object]] = nothing
    stop: Callable[[], Awaitable[object]] = nothing
    stop_seconds: float = 10.0


def service_part(name: str, service: Any) -> Part:
    """A part that is one of Twisted's services."""

    async def start() -> None:
        service.startService()

    async def stop() -> None:
        stopping: Awaitable[None] | None = service.stopService()
        if stopping is not None:
            await stopping

    return Part(name, start, stop)


class Parts:
    """The parts that have been started, in order."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._started: list[Part] = []

    async def start(self, part: Part) -> None:
        """Start the next part; what it raises is raised here."""
        # It counts as started at once: what it holds when its start fails has to be let go, too.
        self._started.append(part)
        await part.start()

    async def stop(self) -> None:
        """Stop them all, the last one first. One that fails or takes too long is logged and left behind."""
        while self._started:
            part = self._started.pop()
            try:
                await Deferred.fromCoroutine(_awaited(part.stop)).addTimeout(part.stop_seconds, self._reactor)
            except DeferredTimeout:
                log.warn("{part} did not stop within {seconds} s", part=part.name, seconds=part.stop_seconds)
            except Exception:
                log.failure("{part} failed to stop", part=part.name)


class OrderedService(Service):
    """A service that `assemble` starts part by part.

    `privileged` runs before the process daemonizes, as root where it is root; `settle` before the first part starts.
    `exit_with` makes the process's exit status.
    """

    def __init__(
        self,
        assemble: Callable[[Parts], Awaitable[None]],
        reactor: Any,
        *,
        privileged: Callable[[], None] = lambda: None,
        settle: Callable[[], None] = lambda: None,
        exit_with: Callable[[int], None] | None = None,
    ) -> None:
        self._assemble = assemble
        self._reactor = reactor
        self._privileged = privileged
        self._settle = settle
        self._exit_with = exit_with or _exit_with
        self._failed: StartupError | None = None
        self._parts = Parts(reactor)
        self._starting: Deferred[None] | None = None

    def privilegedStartService(self) -> None:
        """Bind what needs privileges. Twisted calls this before it starts any service."""
        try:
            self._privileged()
        except StartupError as error:
            self._failed = error

    def startService(self) -> None:
        """Begin to start the parts; they are up when READY=1 has been sent."""
        super().startService()  # type: ignore[no-untyped-call]
        self._starting = Deferred.fromCoroutine(self._start())

    def stopService(self) -> Deferred[None]:
        """Stop the started parts in the opposite order. Twisted's shutdown waits for it."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop_all())

    async def _stop_all(self) -> None:
        systemd.notify(systemd.STOPPING)
        if self._starting is not None:
            self._starting.cancel()
            await self._starting
        await self._parts.stop()
        log.info("stopped")

    async def _start(self) -> None:
        try:
            if self._failed is not None:
                raise self._failed
            self._settle()
            await self._assemble(self._parts)
        except CancelledError:
            return  # stopped while starting
        except StartupError as error:
            self._fail(str(error))
        except Exception:
            log.failure("the server failed to start")
            self._fail("unexpected failure, its traceback stands in the log")
        else:
            log.info("ready")
            systemd.notify(systemd.READY)

    def _fail(self, reason: str) -> None:
        line = f"lightmail cannot start: {reason}"
        log.critical("{line}", line=line)
        systemd.notify(f"STATUS={line}")
        self._exit_with(1)
        self._reactor.callLater(0, self._reactor.stop)


async def _awaited(call: Callable[[], Awaitable[object]]) -> None:
    await call()


def _exit_with(status: int) -> None:
    """Make this process's exit status `status` once the reactor has stopped: twistd itself always ends with 0."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)
