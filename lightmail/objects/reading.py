"""Getting a blob's octets back out of its object, by way of the disk cache. Blocking, for a thread.

A blob is read in *pieces*: the whole of a small one, a frame of a large one. A piece is fetched, expanded and verified
as one, and cached as one. What verifies it is the checksum of its frame, which the decoder compares while it expands;
that the object is the row's, the SHA-256 which its header names. To hash a message each time would cost nearly as much
as to expand it: that is for ``verify --deep``, and for an object whose header is damaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from twisted.logger import Logger

from lightmail.errors import Corruption
from lightmail.model import BlobRef
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.objects.cache import DiskCache, cache_name
from lightmail.objects.codecs import READERS, Codec
from lightmail.objects.container import Frames, expand_small, names_digest

log = Logger()


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets `start` to `stop` of a blob: frame `number` of it, or the whole of a blob of one frame."""

    ref: BlobRef
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """What names the piece in caches."""
        return cache_name(self.ref, self.number)


def pieces(ref: BlobRef, start: int, stop: int) -> Iterator[Piece]:
    """The pieces that hold octets `start` to `stop`, in order; Corruption where the row's frames cannot be."""
    if start >= stop:
        return
    if not ref.frames:
        yield Piece(ref, 0, 0, ref.octets)
        return
    size = piece_octets(ref)
    for number in range(start // size, (stop - 1) // size + 1):
        yield Piece(ref, number, number * size, min((number + 1) * size, ref.octets))


def piece_octets(ref: BlobRef) -> int:
    """The octets in every piece of a blob but its last."""
    return Frames.unpack(ref.frames).frame_octets if ref.frames else max(ref.octets, 1)


class BlobReader:
    """Reads ranges of blobs, whole pieces at a time where they are not in the cache."""

    def __init__(self, store: ObjectStore, cache: DiskCache | None) -> None:
        self._store = store
        self._cache = cache

    def read(self, ref: BlobRef, start: int, stop: int) -> bytes:
        """Octets `start` to `stop` of a blob, all of which must lie in it."""
        try:
            parts = [self._part(piece, start, stop) for piece in pieces(ref, start, stop)]
        except ObjectMissing:
            log.error("object {key} is missing", key=ref.key)
            raise
        except Corruption:
            log.error("object {key} is damaged", key=ref.key)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, piece: Piece, start: int, stop: int) -> bytes:
        first, last = max(start, piece.start) - piece.start, min(stop, piece.stop) - piece.start
        data = self._whole(piece)
        return data if last - first == len(data) else data[first:last]

    def _whole(self, piece: Piece) -> bytes:
        if self._cache is None:
            return self._fetch(piece)
        data = self._cache.get(piece.name)
        if data is None or len(data) != piece.stop - piece.start:
            data = self._fetch(piece)
            self._cache.put(piece.name, data)
        return data

    def _fetch(self, piece: Piece) -> bytes:
        ref = piece.ref
        codec = READERS.get(ref.codec)
        if codec is None:
            raise Corruption
        if ref.frames:
            return self._fetch_frame(codec, piece)
        stored = self._store.read(ref.key, 0, ref.stored_octets)
        data = expand_small(codec, stored, ref.octets)
        if not names_digest(codec, stored, ref.sha256) and hashlib.sha256(data).digest() != ref.sha256:
            raise Corruption
        return data

    def _fetch_frame(self, codec: Codec, piece: Piece) -> bytes:
        offsets = Frames.unpack(piece.ref.frames).offsets
        if piece.number + 1 >= len(offsets):
            raise Corruption
        stored = self._store.read(piece.ref.key, offsets[piece.number], offsets[piece.number + 1])
        return codec.expand(stored, piece.stop - piece.start)
