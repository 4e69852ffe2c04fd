"""Runs coroutines on a reactor that lives in a thread of its own, so that tests stay plain functions.

Hypothesis and pytest fixtures work as they do anywhere; Twisted code sees a real, running reactor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

T = TypeVar("T")

_started = threading.Event()


def start() -> None:
    """Start the reactor's thread; calling it again does nothing."""
    if _started.is_set():
        return
    reactor.callWhenRunning(_started.set)  # type: ignore[attr-defined]
    threading.Thread(
        target=reactor.run,  # type: ignore[attr-defined]
        kwargs={"installSignalHandlers": False},
        name="reactor",
        daemon=True,
    ).start()
    if not _started.wait(10):
        raise RuntimeError("the reactor did not start within 10 s")


def run(coroutine: Coroutine[Deferred[Any], Any, T], timeout_seconds: float = 60) -> T:
    """The result of `coroutine`, run in the reactor's thread; its exception is raised here."""
    start()

    def begin() -> Deferred[T]:
        d = Deferred.fromCoroutine(coroutine)
        d.addTimeout(timeout_seconds, reactor)  # type: ignore[arg-type]
        return d

    return blockingCallFromThread(reactor, begin)  # type: ignore[arg-type]


def call(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The result of `fn`, called in the reactor's thread."""
    start()
    return blockingCallFromThread(reactor, fn, *args, **kwargs)  # type: ignore[arg-type]
