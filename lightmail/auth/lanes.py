"""Work that clients cause, a little at a time for each of them, so that one who causes much waits for himself only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from twisted.internet.defer import DeferredSemaphore

from lightmail.errors import Unavailable

T = TypeVar("T")


class Lanes:
    """At most `width` pieces of work at a time for each host, in their order; beyond `waiting` more, Unavailable.

    All methods belong to the reactor's thread.
    """

    def __init__(self, width: int, waiting: int) -> None:
        self._width: Final = width
        self._waiting: Final = waiting
        self._lanes: dict[bytes, DeferredSemaphore] = {}

    def __len__(self) -> int:
        """How many hosts have work here."""
        return len(self._lanes)

    async def run(self, host: bytes | None, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, begun when it is its turn; at once where `host` is None."""
        if host is None:
            return await work()
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = DeferredSemaphore(self._width)
        elif len(lane.waiting) >= self._waiting:
            raise Unavailable
        await lane.acquire()
        try:
            return await work()
        finally:
            lane.release()
            if lane.tokens == self._width:
                self._lanes.pop(host, None)
