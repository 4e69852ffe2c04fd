"""Reading objects whole: their headers, the hash of what they hold, and the rendering made anew.

Rendering is what takes the time, so it is shared out among processes: fresh ones, for obstore does not survive a fork,
each with its own client of the object store, and a few threads that wait for the network where there is one.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, Final, cast

from twisted.internet.defer import Deferred

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import Corruption, Unavailable
from lightmail.mime import render
from lightmail.model import StoredBlob
from lightmail.objects.backends import ObjectMissing, ObjectStore, open_store
from lightmail.objects.codecs import READERS, Codec
from lightmail.objects.container import FRAME_OCTETS, LARGEST_SMALL, Frames, describe, expand_small
from lightmail.objects.header import ObjectHeader
from lightmail.objects.keys import born_us
from lightmail.threads import BoundedPool

# Most objects come whole with the first read.
_FIRST_READ: Final = 2 << 20
_SUFFIXES: Final = {".zst": "zstd", ".gz": "gzip", ".lz4": "lz4"}
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
        born = born_us(key)
        codec = READERS[_SUFFIXES[key[key.rindex(".") :]]]
        return _examined(_Source(store, key), key, born, codec)
    except ObjectMissing:
        return Examined(key, None, None, "missing")
    except (Corruption, KeyError, ValueError):
        return Examined(key, None, None, "damaged")


class _Source:
    """An object's octets by range; what the first read brought is not asked for again."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        self.first = store.read(key, 0, _FIRST_READ)
        size = len(self.first)
        if size == _FIRST_READ:
            size = store.size(key) or 0
        self.size = size

    def read(self, start: int, stop: int) -> bytes:
        if stop <= len(self.first) or len(self.first) == self.size:
            return self.first[start:stop]
        return self._store.read(self._key, start, stop)


def _examined(source: _Source, key: str, born: int, codec: Codec) -> Examined:
    header, frames = describe(codec, source.size, source.read)
    if not frames:
        if source.size > LARGEST_SMALL:
            raise Corruption
        octets = expand_small(codec, source.read(0, source.size), header.octets)
        digest = hashlib.sha256(octets).digest()
        rendering = render(io.BytesIO(octets))
    else:
        reader = _FrameReader(source, codec, Frames.unpack(frames), header.octets)
        with io.BufferedReader(reader, 128 << 10) as buffered:
            rendering = render(cast("Any", buffered))
            while buffered.read(1 << 20):
                pass
        digest = reader.sha256.digest()
    if digest != header.sha256:
        raise Corruption
    blob = StoredBlob(key, born, header.octets, source.size, codec.name, header.sha256, frames, rendering)
    return Examined(key, header, blob)


class _FrameReader(io.RawIOBase):
    """The octets of a large blob from its beginning to its end, a frame in memory at a time; `sha256` of those read."""

    def __init__(self, source: _Source, codec: Codec, frames: Frames, octets: int) -> None:
        self._frames = enumerate(pairwise(frames.offsets))
        self._source = source
        self._codec = codec
        self._size = frames.frame_octets
        self._octets = octets
        self.sha256 = hashlib.sha256()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        if not self._rest:
            self._rest = self._next()
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> memoryview:
        number, (start, stop) = next(self._frames, (-1, (0, 0)))
        octets = min(self._size, self._octets - number * self._size)
        if number < 0 or octets <= 0:
            return memoryview(b"")
        if stop - start > 2 * FRAME_OCTETS:
            raise Corruption
        data = self._codec.expand(self._source.read(start, stop), octets)
        self.sha256.update(data)
        return memoryview(data)


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
