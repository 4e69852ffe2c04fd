"""Snapshots as they come in no haste and at no size in a real server: of every mailbox, whenever a session leaves."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import BinaryIO

from lightmail.errors import MailError, Unavailable
from lightmail.flights import Flight
from lightmail.index.loading import Roots
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.registry import Indexes
from lightmail.jobs.snapshots import SnapshotWriter
from lightmail.model import Account, Mailbox, MailboxId
from lightmail.objects.backends import ObjectStore
from tests.support.imapworld import IndexParts, reactor

_PREFIX = "indexes/"


class EagerIndexes(Indexes):
    """Indexes whose snapshot is written when a session leaves them, before the next one enters; none is too small.

    `wanted` says whether that is to be done.
    """

    def __init__(self, parts: IndexParts, wanted: Callable[[MailboxIndex], bool]) -> None:
        roots = Roots(parts.store, parts.pool, 0, reactor=reactor)
        super().__init__(parts.database, parts.notifier, parts.octets, reactor=reactor, roots=roots)
        self._writer = SnapshotWriter(parts.transactions, self, roots, parts.store, parts.pool, parts.reader)
        self._wanted = wanted
        self._writing: dict[MailboxId, Flight[None]] = {}

    async def acquire(self, account: Account, mailbox: Mailbox) -> MailboxIndex:
        while (writing := self._writing.get(mailbox.id)) is not None:
            await writing.result()
        return await super().acquire(account, mailbox)

    def release(self, index: MailboxIndex) -> None:
        before = self._writing.get(index.mailbox)
        flight = self._writing[index.mailbox] = Flight(self._write(index, before))
        if flight.landed:
            self._forget(index.mailbox, flight)
        else:
            flight.when_landed(lambda: self._forget(index.mailbox, flight))

    async def _write(self, index: MailboxIndex, before: Flight[None] | None) -> None:
        """Write the snapshot after those that are under way, and let the index go."""
        if before is not None:
            await before.result()
        try:
            if self._wanted(index):
                await self._writer.write(index)
        except MailError:
            pass  # none is written then
        finally:
            super().release(index)

    def _forget(self, mailbox: MailboxId, flight: Flight[None]) -> None:
        if self._writing.get(mailbox) is flight:
            del self._writing[mailbox]


def always(parts: IndexParts) -> Indexes:
    """Each time, so that whoever enters next finds it as fresh as can be."""
    return EagerIndexes(parts, lambda index: True)


def once(parts: IndexParts) -> Indexes:
    """Once for a mailbox, so that it is stale ever after."""
    return EagerIndexes(parts, lambda index: index.snapshot is None)


def flipped(octets: bytes, at: float) -> bytes:
    """Octets of which a bit is another; `at` from 0 to 1 says how far into them."""
    bit = min(int(at * len(octets) * 8), len(octets) * 8 - 1)
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class _Wrapped:
    """A store of objects that passes everything on."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.remote = inner.remote

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self._inner.put(key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        return self._inner.read(key, start, stop)

    def size(self, key: str) -> int | None:
        return self._inner.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        self._inner.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        return self._inner.keys(prefix, after, limit)

    def check(self) -> None:
        self._inner.check()


class Damaging(_Wrapped):
    """Flips a bit, anywhere, of every part of a snapshot that it is given, if its key has this suffix."""

    def __init__(self, inner: ObjectStore, suffix: str = "") -> None:
        super().__init__(inner)
        self._suffix = suffix
        self._random = random.Random(1)

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        if key.startswith(_PREFIX) and key.endswith(self._suffix):
            body = flipped(body if isinstance(body, bytes) else body.read(), self._random.random())
        super().put(key, body)


class Refusing(_Wrapped):
    """Takes no part of any snapshot."""

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        if key.startswith(_PREFIX):
            raise Unavailable
        super().put(key, body)
