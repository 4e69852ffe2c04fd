"""Twisted's adbapi pool with types, for code that ends its transactions itself: one connection per thread, kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from twisted.enterprise import adbapi

from lightmail.threads import BoundedPool

P = ParamSpec("P")
T = TypeVar("T")

_QUEUE: Final = 1000


class Link(adbapi.Connection):
    """A thread's connection during one call.

    `kept`: it was there before this call, so it may have died since it was last used.
    """

    def __init__(self, pool: Any) -> None:
        self.kept: bool = pool.threadID() in pool.connections
        super().__init__(pool)  # type: ignore[no-untyped-call]

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self._connection

    def renew(self) -> None:
        """Close the connection and make a new one."""
        self.reconnect()  # type: ignore[no-untyped-call]

    def drop_if_broken(self) -> None:
        """Have the next call make a new connection when this one is closed."""
        # `renew` may have closed this one, and then found no other.
        kept = self._pool.connections.get(self._pool.threadID())
        if kept is not None and not getattr(kept, "open", True):
            self._pool.disconnect(kept)


class _Keeper(adbapi.ConnectionPool):
    connectionFactory = Link


class Pool:
    """At most `connections` threads, each with a connection of its own from ``driver.connect(**arguments)``.

    Twisted's adbapi makes and keeps the connections; the threads are ours, because a SQLite read handed over
    to Twisted's costs a quarter more. `prepare` sets up each new connection.
    """

    def __init__(
        self,
        driver: str,
        arguments: dict[str, Any],
        *,
        connections: int,
        prepare: Callable[[Any], None],
        reactor: Any,
    ) -> None:
        make: Any = _Keeper
        self._keeper: Any = make(
            driver, cp_min=0, cp_max=connections, cp_openfun=prepare, cp_reactor=reactor, **arguments
        )
        # The queue is for calls whose caller was cancelled; others wait before they come here.
        self._threads = BoundedPool("database", connections, _QUEUE, reactor=reactor)

    def start(self) -> None:
        """Open for calls."""
        self._threads.start()

    async def stop(self) -> None:
        """Let the calls that run end, then close the connections."""
        await self._threads.stop()
        self._keeper.close()

    async def run(self, fn: Callable[Concatenate[Link, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `fn` in a thread, with that thread's connection."""

        def on_link() -> T:
            link = Link(self._keeper)
            try:
                return fn(link, *args, **kwargs)
            finally:
                link.drop_if_broken()

        return await self._threads.run(on_link)

    async def aside(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `fn` in a thread, without a connection."""
        return await self._threads.run(fn, *args, **kwargs)
