"""Twisted's adbapi pool with types, for code that ends its transactions itself: one connection per thread, kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.threads import deferToThreadPool

P = ParamSpec("P")
T = TypeVar("T")


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

    def commit(self) -> None:
        """Nothing: what was begun has been committed already."""

    def rollback(self) -> None:
        """Nothing is open any more; a connection that broke is dropped, so that the next call makes a new one."""
        if self._connection is not None and not getattr(self._connection, "open", True):
            self._pool.disconnect(self._connection)


class _AdbapiPool(adbapi.ConnectionPool):
    connectionFactory = Link


class Pool:
    """At most `connections` threads, each with a connection of its own from ``driver.connect(**arguments)``.

    `prepare` sets up each new connection.
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
        make: Any = _AdbapiPool
        self._reactor = reactor
        self._pool: Any = make(
            driver, cp_min=0, cp_max=connections, cp_openfun=prepare, cp_reactor=reactor, **arguments
        )

    def start(self) -> None:
        """Open for calls."""
        self._pool.start()

    def close(self) -> None:
        """Close the connections. The caller has seen to it that no call runs any more."""
        self._pool.close()

    async def run(self, fn: Callable[Concatenate[Link, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `fn` in a thread, with that thread's connection."""
        result: T = await self._pool.runWithConnection(fn, *args, **kwargs)
        return result

    async def aside(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `fn` in a thread, without a connection."""
        result: T = await deferToThreadPool(self._reactor, self._pool.threadpool, fn, *args, **kwargs)
        return result
