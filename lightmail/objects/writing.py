"""Making an object of received octets: render, hash, compress, store. Blocking, for a thread; memory is bounded."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, Final

from twisted.logger import Logger

from lightmail import points
from lightmail.errors import SpoolFull
from lightmail.metrics import DELIVERY_STAGE
from lightmail.mime import render
from lightmail.model import MailboxId, Rendering, StoredBlob
from lightmail.objects.backends import ObjectStore
from lightmail.objects.codecs import open_codec
from lightmail.objects.container import FRAME_OCTETS, Frames, seek_table, small_object
from lightmail.objects.header import ObjectHeader
from lightmail.objects.keys import born_us, new_key
from lightmail.objects.readers import MemorySegment, TemporaryFile, join

log = Logger()

_STAGES: Final = {name: DELIVERY_STAGE.labels(name) for name in ("render", "compress", "put")}


def observe(stage: str, seconds: float) -> None:
    """Count a stage of a delivery in this process's metrics."""
    _STAGES[stage].observe(seconds)


class BlobWriter:
    """Writes blobs as objects of one codec. `directory` is for temporary files; None means the system's own.

    `noted` is told the name and the seconds of each stage: render, compress, put.
    """

    def __init__(
        self,
        store: ObjectStore,
        codec: str,
        level: int,
        directory: str | None,
        noted: Callable[[str, float], None] = observe,
    ) -> None:
        self._store = store
        self._codec = open_codec(codec, level)
        self._directory = directory
        self._noted = noted

    def write(
        self,
        blob: BinaryIO,
        octets: int,
        *,
        now_us: int,
        internaldate_us: int,
        owners: Sequence[tuple[bytes, MailboxId]],
        withheld: bool = False,
    ) -> StoredBlob:
        """Store the `octets` octets that `blob` holds under a fresh key, born at `now_us`."""
        key = new_key(self._codec.name, now_us)
        points.reached("object-named")
        unread = ObjectHeader(octets, b"", internaldate_us, tuple(owners), withheld)
        if octets <= FRAME_OCTETS:
            return self._write_small(key, blob.read(), unread)
        try:
            return self._write_large(key, blob, unread)
        except OSError as error:
            log.error("no room for a temporary file in {directory}: {error}", directory=self._directory, error=error)
            raise SpoolFull from None

    def _write_small(self, key: str, blob: bytes, unread: ObjectHeader) -> StoredBlob:
        began = time.perf_counter()
        rendering = render(io.BytesIO(blob))
        rendered = time.perf_counter()
        header = replace(unread, sha256=hashlib.sha256(blob).digest())
        body = small_object(self._codec, header, blob)
        compressed = time.perf_counter()
        self._store.put(key, body)
        self._noted("render", rendered - began)
        self._noted("compress", compressed - rendered)
        self._noted("put", time.perf_counter() - compressed)
        points.reached("object-stored")
        return self._stored(key, header, len(body), b"", rendering)

    def _write_large(self, key: str, blob: BinaryIO, unread: ObjectHeader) -> StoredBlob:
        with self._stage("render"):
            rendering = render(blob)
        with self._stage("compress"):
            blob.seek(0)
            packed = TemporaryFile(self._directory)
            digest, lengths = hashlib.sha256(), []
            while data := blob.read(FRAME_OCTETS):
                digest.update(data)
                frame = self._codec.compress(data)
                packed.append(frame)
                lengths.append(len(frame))
            # The header stands first in the object but is known last.
            header = replace(unread, sha256=digest.digest())
            front = self._codec.enclose_header(header.pack())
            frames = Frames.of(len(front), lengths)
            table = seek_table(self._codec, frames, header.octets)
        with self._stage("put"), join([MemorySegment(front), packed, MemorySegment(table)]) as body:
            self._store.put(key, body)
        points.reached("object-stored")
        return self._stored(key, header, frames.offsets[-1] + len(table), frames.pack(), rendering)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._noted(name, time.perf_counter() - began)

    def _stored(
        self, key: str, header: ObjectHeader, stored_octets: int, frames: bytes, rendering: Rendering
    ) -> StoredBlob:
        return StoredBlob(
            key=key,
            born_us=born_us(key),
            octets=header.octets,
            stored_octets=stored_octets,
            codec=self._codec.name,
            sha256=header.sha256,
            frames=frames,
            rendering=rendering,
        )
