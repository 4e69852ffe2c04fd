"""Answers that cost the database something, found out once for all who ask within a while."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from lightmail.flights import Flight

T = TypeVar("T")

_ENTRIES: Final = 256


class Remembered(Generic[T]):
    """Values by key, each good for `seconds` from when it was asked for; who asks meanwhile waits for the same."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._flights: dict[Hashable, tuple[float, Flight[T]]] = {}

    async def get(self, key: Hashable, find: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
        """The value of `key`: one that is known, or what `find` finds. A failure is told, and not remembered."""
        now = self._clock()
        known = self._flights.get(key)
        if known is None or now - known[0] >= self._seconds:
            while len(self._flights) >= _ENTRIES:
                del self._flights[next(iter(self._flights))]
            known = self._flights[key] = (now, Flight(find()))
        try:
            return await known[1].result()
        except Exception:
            if self._flights.get(key) is known:
                del self._flights[key]
            raise
