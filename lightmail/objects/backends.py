"""What a store of objects is, and the choice of one by configuration.

All methods block, on the network or a disk: they are called in the pool. Keys are relative, ``a/b/c`` in ASCII.
To add a store, write a class with these methods, give it its place in `open_unmetered`, and add it to the contract
suite in tests/contract/test_objects_stores.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import ConfigError, Corruption, MailError
from lightmail.metrics import OBJECT_CALLS, OBJECT_OCTETS, OBJECT_SECONDS


class ObjectMissing(Corruption):
    """The store answers, and says that it has no such object."""


class ObjectStore(Protocol):
    """Immutable objects under keys. Trouble that may pass is Unavailable, whatever its cause."""

    remote: bool
    """True where a read is a round trip over a network, so that several at once are worth a thread each."""

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        """Store `body`, a seekable reader if it is none; it is durable and readable when this returns."""

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Octets `start` to `stop` (at least one is asked for); fewer where the object ends before. ObjectMissing."""

    def size(self, key: str) -> int | None:
        """The object's octets, or None where the store says that there is no such object."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is absent is as good as deleted."""

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        """The first `limit` keys, in order, below ``prefix/`` (whole segments; "" is all) and greater than `after`."""

    def check(self) -> None:
        """Read and write once; StartupError, one line, where the store cannot serve."""


class Metered:
    """An object store whose calls are timed and counted."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.remote = store.remote
        self._seconds = {name: OBJECT_SECONDS.labels(name) for name in ("put", "read", "size", "delete", "keys")}
        self._read = OBJECT_OCTETS.labels("read")
        self._written = OBJECT_OCTETS.labels("written")

    @contextmanager
    def _timed(self, call: str) -> Iterator[None]:
        began = time.perf_counter()
        result = "failed"
        try:
            yield
            result = "ok"
        except ObjectMissing:
            result = "missing"
            raise
        except MailError as error:
            if error.transient:
                result = "unavailable"
            raise
        finally:
            self._seconds[call].observe(time.perf_counter() - began)
            OBJECT_CALLS.labels(call, result).inc()

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        with self._timed("put"):
            self._store.put(key, body)
        self._written.inc(len(body) if isinstance(body, bytes) else body.tell())

    def read(self, key: str, start: int, stop: int) -> bytes:
        with self._timed("read"):
            data = self._store.read(key, start, stop)
        self._read.inc(len(data))
        return data

    def size(self, key: str) -> int | None:
        with self._timed("size"):
            return self._store.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        with self._timed("delete"):
            self._store.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        with self._timed("keys"):
            return self._store.keys(prefix, after, limit)

    def check(self) -> None:
        self._store.check()


def open_store(storage: StorageConfig, s3: S3Config | None) -> ObjectStore:
    """The store that the configuration names, metered; nothing is opened or connected before the first call."""
    return Metered(open_unmetered(storage, s3))


def open_unmetered(storage: StorageConfig, s3: S3Config | None) -> ObjectStore:
    """As `open_store`, for a process whose metrics nobody reads."""
    # Here, not above: both import this module, and a server on a directory need not load obstore.
    from lightmail.objects import cloud, directory

    if storage.driver == "memory":
        return cloud.memory_store()
    if storage.driver == "directory":
        if not os.path.isabs(storage.path):
            raise ConfigError(f"[storage] path must be an absolute path, not {storage.path!r}")
        return directory.DirectoryStore(storage.path)
    if s3 is None:
        raise ConfigError("[storage] driver = s3 needs a section [s3]")
    return cloud.s3_store(s3)
