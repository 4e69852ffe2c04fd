"""A bounded pool of threads for what would block the reactor: object stores, databases, rendering, hashing.

Twisted's own pool queues without bound and, when busy, costs three to four times as much per hand-off; here what cannot
be taken in is refused at once, and the results of several threads reach the reactor by one wake-up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from lightmail import stalls
from lightmail.errors import Unavailable
from lightmail.metrics import POOL_CALLS, Reading
from lightmail.traces import CURRENT

P = ParamSpec("P")
T = TypeVar("T")


class _Work:
    """One call on its way through the pool. Its Deferred belongs to the reactor's thread alone."""

    __slots__ = ("cancelled", "deadline", "deferred", "error", "fn", "result", "trace")

    def __init__(self, fn: Callable[[], Any], deadline: float) -> None:
        self.fn: Callable[[], Any] | None = fn
        self.deadline = deadline
        self.cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.trace = CURRENT.get()
        self.deferred: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, deferred: Deferred[Any]) -> None:
        # A call that no thread has taken yet is skipped; one that runs cannot be stopped, its result is dropped.
        self.cancelled = True

    def run(self) -> None:
        fn, self.fn = self.fn, None
        if self.cancelled or fn is None:
            return
        CURRENT.set(self.trace)  # the thread's own: it stays until the next call
        try:
            if time.monotonic() > self.deadline:
                raise Unavailable
            self.result = fn()
        except BaseException as error:
            self.error = error

    def settle(self) -> None:
        if self.deferred.called:
            return
        if self.error is not None:
            self.deferred.errback(self.error)
        else:
            self.deferred.callback(self.result)


class BoundedPool:
    """A bounded thread pool: at most `threads` calls run and `queue` more wait; beyond that `run` raises Unavailable.

    So it does for a call that waited longer than `wait_seconds` when its turn came: behind a store that has stopped
    answering, the queue empties as soon as the calls in progress run into their own deadlines.
    Threads are made as they are needed and live until `stop`. All methods belong to the reactor's thread.
    """

    def __init__(
        self, name: str, threads: int, queue: int, *, reactor: IReactorFromThreads, wait_seconds: float = 30
    ) -> None:
        self.name = name
        self._threads = threads
        self._bound = threads + queue
        self._reactor = reactor
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Work] = deque()
        self._idle: list[SimpleQueue[_Work | None]] = []  # the inboxes of threads without work
        self._done: deque[_Work] = deque()
        self._waking = False
        self._open = False
        self._pending = 0
        self._started = 0
        self._stopped: Deferred[None] | None = None

    def start(self) -> None:
        """Take in calls from now on."""
        self._open = True
        POOL_CALLS.watch(self, BoundedPool._readings)

    def _readings(self) -> Iterator[Reading]:
        waiting = len(self._waiting)
        yield (self.name, "running"), self._pending - waiting
        yield (self.name, "waiting"), waiting

    async def stop(self) -> None:
        """Refuse new calls, and return when those already taken in have ended and the threads are gone."""
        with self._lock:
            self._open = False
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)
        if self._started == 0:
            return
        if self._stopped is None:
            self._stopped = Deferred()
        waiter: Deferred[None] = Deferred()
        self._stopped.chainDeferred(waiter)
        await waiter

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of ``fn(*args, **kwargs)``, called in a thread; what it raises is raised here.

        Cancelling the wait skips a call that has not begun; one that has runs to its end unheard.
        """
        if not self._open or self._pending >= self._bound:
            raise Unavailable
        work = _Work(lambda: fn(*args, **kwargs), time.monotonic() + self._wait_seconds)
        self._pending += 1
        self._hand_over(work)
        result: T = await work.deferred
        return result

    def _hand_over(self, work: _Work) -> None:
        with self._lock:
            # The thread that was busy last: its memory is warm, and the others' stays untouched.
            inbox = self._idle.pop() if self._idle else None
            if inbox is None:
                self._waiting.append(work)
        if inbox is not None:
            inbox.put(work)
        elif self._started < self._threads:
            self._started += 1
            # Daemon: a process that dies without an orderly stop must not hang on a stalled network call.
            threading.Thread(target=self._serve, name=f"{self.name}-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        inbox: SimpleQueue[_Work | None] = SimpleQueue()
        while (work := self._next(inbox)) is not None:
            work.run()
            self._done.append(work)
            # `_settle` clears the mark before it looks at `_done`, so nothing appended here is overlooked.
            if not self._waking:
                self._waking = True
                self._reactor.callFromThread(self._settle)
            del work
        self._reactor.callFromThread(self._thread_ended, threading.current_thread())

    def _next(self, inbox: SimpleQueue[_Work | None]) -> _Work | None:
        """Wait for work; None when the pool stops and nothing is left."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if not self._open:
                return None
            self._idle.append(inbox)
        return inbox.get()

    def _settle(self) -> None:
        stalls.stirred(self.name)
        self._waking = False
        while self._done:
            work = self._done.popleft()
            self._pending -= 1
            work.settle()

    def _thread_ended(self, thread: threading.Thread) -> None:
        thread.join()  # it is on its last instruction
        self._started -= 1
        if self._started == 0 and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
