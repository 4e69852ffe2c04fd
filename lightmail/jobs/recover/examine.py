"""Reading many objects whole (`objects.examining.read_alone`).

Rendering is what takes the time, so it is shared out among processes: fresh ones, for obstore does not survive a fork,
each with its own client of the object store, and a few threads that wait for the network where there is one.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

from twisted.internet.defer import Deferred

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import Corruption, Unavailable
from lightmail.model import StoredBlob
from lightmail.objects.backends import ObjectMissing, ObjectStore, open_store
from lightmail.objects.examining import read_alone
from lightmail.objects.header import ObjectHeader
from lightmail.threads import BoundedPool

_HANDS: Final = 8
# A store that does not answer is asked again after so many seconds each, before the recovery gives up.
_PAUSES: Final = (1.0, 5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Examined:
    """An object and what it says of itself; or `trouble`, why it cannot be used."""

    key: str
    header: ObjectHeader | None
    blob: StoredBlob | None
    trouble: str | None = None


def examine(store: ObjectStore, key: str) -> Examined:
    """Read an object to its end (blocking). Raises Unavailable."""
    try:
        return Examined(key, *read_alone(store, key))
    except ObjectMissing:
        return Examined(key, None, None, "missing")
    except Corruption:
        return Examined(key, None, None, "damaged")


def examine_all(store: ObjectStore, keys: Sequence[str], hands: ThreadPoolExecutor | None) -> list[Examined]:
    """Examine objects (blocking), several at once where `hands` wait for the network. Raises Unavailable."""
    for pause in _PAUSES:
        try:
            return list((hands.map if hands is not None else map)(lambda key: examine(store, key), keys))
        except Unavailable:
            time.sleep(pause)
    return [examine(store, key) for key in keys]


_store: ObjectStore | None = None
_hands: ThreadPoolExecutor | None = None


def _open(storage: StorageConfig, s3: S3Config | None) -> None:
    global _store, _hands
    _store = open_store(storage, s3)
    _hands = ThreadPoolExecutor(_HANDS) if _store.remote else None


def _in_process(keys: Sequence[str]) -> list[Examined]:
    if _store is None:
        raise RuntimeError("the process was not set up")
    return examine_all(_store, keys, _hands)


class Examiners:
    """Who examines: `processes` of their own, or for none of them the threads of `pool`. `close` ends them."""

    def __init__(
        self, storage: StorageConfig, s3: S3Config | None, store: ObjectStore, pool: BoundedPool, processes: int
    ) -> None:
        self._store = store
        self._pool = pool
        self.at_once = 2 * processes or 4
        _leave_what_is_closed()
        self._workers = (
            ProcessPoolExecutor(processes, get_context("spawn"), initializer=_open, initargs=(storage, s3))
            if processes
            else None
        )

    async def examine(self, keys: Sequence[str]) -> list[Examined]:
        """Objects, in the order of `keys`. Raises Unavailable."""
        if self._workers is None:
            return await self._pool.run(examine_all, self._store, keys, None)
        found: list[Examined] = await _landed(self._workers.submit(_in_process, keys))
        return found

    def close(self) -> None:
        """Let the processes end when they have done what they are at."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)


def _leave_what_is_closed() -> None:
    """Go to the root directory where this one is closed to us: processes that we spawn go where we are before all else,
    and root may be in /root, which the user that root has become may not enter."""
    if not os.access(os.getcwd(), os.X_OK):
        os.chdir("/")


def _landed(future: Future[Any]) -> Deferred[Any]:
    """The result of a future, in the reactor's thread."""
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    result: Deferred[Any] = Deferred()

    def tell(done: Future[Any]) -> None:
        error = done.exception() if not done.cancelled() else Unavailable()
        if error is not None:
            reactor.callFromThread(result.errback, error)
        else:
            reactor.callFromThread(result.callback, done.result())

    future.add_done_callback(tell)
    return result


async def in_order(
    more: Callable[[], Awaitable[Sequence[str]]],
    work: Callable[[Sequence[str]], Coroutine[Deferred[Any], Any, list[Examined]]],
    at_once: int,
) -> AsyncIterator[list[Examined]]:
    """What `work` gives for each batch that `more` gives (an empty one is the end), so many under way at once."""
    pending: deque[Deferred[list[Examined]]] = deque()
    is_over = False
    try:
        while True:
            while not is_over and len(pending) < at_once:
                batch = await more()
                is_over = not batch
                if batch:
                    pending.append(Deferred.fromCoroutine(work(batch)))
            if not pending:
                return
            yield await pending.popleft()
    finally:
        for left in pending:
            left.addErrback(lambda failure: None)
            left.cancel()
