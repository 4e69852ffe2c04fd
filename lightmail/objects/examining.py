"""Whether an object is whole, and whether its row and its own description tell the truth of it. Blocking, for a thread.

The object is read to its end and expanded piece by piece, so that memory is bounded whatever its size.

`examine` holds an object against its row, and what it says of itself octet for octet against what its writer would have
said. Octets inside a compressed frame that change nothing of what it expands to (reserved bits, gzip's time of making)
cannot be told from those that were written.

`read_alone` is for an object without a row: whatever leads to octets of the SHA-256 that its header tells is good
enough to get a message back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import BinaryIO, Final, cast

from lightmail.errors import Corruption
from lightmail.mime import render
from lightmail.model import BlobRef, Rendering, StoredBlob
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.objects.codecs import READERS, Codec
from lightmail.objects.container import FRAME_OCTETS, LARGEST_SMALL, Frames, describe, expand_small, seek_table
from lightmail.objects.header import ObjectHeader
from lightmail.objects.keys import born_us, codecs_of

# Most objects come whole with the first read.
_FIRST_READ: Final = 2 << 20


class Verdict(Enum):
    """What became of an object."""

    SOUND = "sound"
    ABSENT = "absent"
    DAMAGED = "damaged"  # neither the row nor the object's own description leads to octets of their SHA-256
    ROW_DIFFERS = "row differs"  # the object is sound by its own description, and the row says otherwise
    MISDESCRIBED = "misdescribed"  # the row leads to the right octets, the object's own description does not


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. `truth` is what the row ought to say, `header` the object's own, where they are known.

    `rendering` is a fresh one, of octets that are right; `detail` is for people.
    """

    verdict: Verdict
    detail: str = ""
    header: ObjectHeader | None = None
    truth: BlobRef | None = None
    rendering: Rendering | None = None


def examine(store: ObjectStore, ref: BlobRef) -> Examined:
    """Read the object of a row whole. Raises Unavailable where the store does not answer."""
    try:
        problem, header, rendering = _as_the_row_says(store, ref)
    except ObjectMissing:
        return Examined(Verdict.ABSENT)
    except Corruption:
        rendering = None
        problem, header = "its octets do not expand to what the row says", None
    if not problem:
        return Examined(Verdict.SOUND, header=header, rendering=rendering)
    try:
        own, truth, fresh = _as_the_object_says(store, ref)
    except ObjectMissing:
        return Examined(Verdict.ABSENT)
    except Corruption:
        verdict = Verdict.DAMAGED if rendering is None else Verdict.MISDESCRIBED
        return Examined(verdict, problem, header, rendering=rendering)
    if rendering is not None and truth.sha256 != ref.sha256:
        return Examined(Verdict.MISDESCRIBED, problem, own, rendering=rendering)
    return Examined(Verdict.ROW_DIFFERS, _difference(ref, truth), own, truth, fresh)


def read_alone(store: ObjectStore, key: str) -> tuple[ObjectHeader, StoredBlob]:
    """An object's header, and the row that it would have, by what it says of itself.

    Raises ObjectMissing, Corruption where that does not hold, Unavailable.
    """
    born = born_us(key)
    source = _Source(store, key)
    codec = READERS[codecs_of(key)[0]]
    header, packed = describe(codec, source.octets, source.read)
    if packed:
        pieces = _expanded(codec, Frames.unpack(packed), header.octets, source.read)
    else:
        if source.octets > LARGEST_SMALL:
            raise Corruption
        pieces = iter([expand_small(codec, source.read(0, source.octets), header.octets)])
    rendering = _rendered(pieces, header.octets, header.sha256)
    return header, StoredBlob(key, born, header.octets, source.octets, codec.name, header.sha256, packed, rendering)


class _Source:
    """An object's octets by range; what the first read brought is not asked for again."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        self._first = store.read(key, 0, _FIRST_READ)
        self.octets = len(self._first)
        if self.octets == _FIRST_READ:
            self.octets = store.size(key) or 0

    def read(self, start: int, stop: int) -> bytes:
        """The octets from `start` to `stop`."""
        if stop <= len(self._first) or len(self._first) == self.octets:
            return self._first[start:stop]
        return self._store.read(self._key, start, stop)


def own_header(store: ObjectStore, ref: BlobRef) -> ObjectHeader | None:
    """What the object says of itself in its first octets; None where it is absent, or says nothing that can be read."""
    try:
        return _described(store, ref)[1]
    except Corruption:
        return None


def _difference(ref: BlobRef, truth: BlobRef) -> str:
    names = [
        name for name in ("octets", "stored_octets", "codec", "sha256", "frames") if _of(ref, name) != _of(truth, name)
    ]
    return "the row is wrong about " + ", ".join(names)


def _of(ref: BlobRef, name: str) -> object:
    return getattr(ref, name)


# --- by the row ---


def _as_the_row_says(store: ObjectStore, ref: BlobRef) -> tuple[str, ObjectHeader | None, Rendering]:
    """What is wrong with the description of octets that are right, the header, and the rendering; else Corruption."""
    codec = READERS.get(ref.codec)
    if codec is None:
        raise Corruption
    if ref.frames:
        frames = Frames.unpack(ref.frames)
        rendering = _rendered(
            _expanded(codec, frames, ref.octets, partial(store.read, ref.key)), ref.octets, ref.sha256
        )
        table, end = seek_table(codec, frames, ref.octets), frames.offsets[-1]
        header, problem = _own_front(codec, store.read(ref.key, 0, frames.offsets[0]), ref)
        if not problem and store.read(ref.key, end, end + len(table) + 1) != table:
            problem = "its seek table is not the one that belongs to it"
        if not problem and end + len(table) != ref.stored_octets:
            problem = "its length is not what the row says"
        return problem, header, rendering
    if ref.octets > FRAME_OCTETS or ref.stored_octets > LARGEST_SMALL:
        raise Corruption
    stored = store.read(ref.key, 0, ref.stored_octets + 1)
    blob = expand_small(codec, stored[: ref.stored_octets], ref.octets)
    rendering = _rendered(iter([blob]), ref.octets, ref.sha256)
    header, problem = _own_front(codec, stored[: codec.header_extent(stored)[2]], ref)
    if not problem and len(stored) != ref.stored_octets:
        problem = "its length is not what the row says"
    return problem, header, rendering


def _own_front(codec: Codec, front: bytes, ref: BlobRef) -> tuple[ObjectHeader | None, str]:
    """The header in an object's first octets, and what is wrong with it."""
    try:
        start, stop, _ = codec.header_extent(front)
        header = ObjectHeader.unpack(front[start:stop])
    except Corruption:
        return None, "its header cannot be read"
    if (header.octets, header.sha256) != (ref.octets, ref.sha256):
        return header, "its header tells of other octets"
    if front != codec.enclose_header(header.pack()):
        return header, "its header is not as it was written"
    return header, ""


def _expanded(codec: Codec, frames: Frames, octets: int, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """The octets of a large blob, frame by frame; `read` gives those of the object by range."""
    left = octets
    for start, stop in pairwise(frames.offsets):
        next_octets = min(frames.frame_octets, left)
        if not 0 < stop - start <= 2 * FRAME_OCTETS or not 0 < next_octets <= FRAME_OCTETS:
            raise Corruption
        yield codec.expand(read(start, stop), next_octets)
        left -= next_octets
    if left:
        raise Corruption


# --- by the object's own description ---


def _described(store: ObjectStore, ref: BlobRef) -> tuple[Codec, ObjectHeader, BlobRef]:
    """What the object says of itself: its codec, its header, and what its row would be. Corruption, ObjectMissing."""
    size = store.size(ref.key)
    if size is None:
        raise ObjectMissing
    if size == 0:
        raise Corruption
    names = codecs_of(ref.key)
    name = ref.codec if ref.codec in names else names[0]
    codec = READERS[name]
    header, frames = describe(codec, size, partial(store.read, ref.key))
    truth = replace(ref, octets=header.octets, stored_octets=size, codec=name, sha256=header.sha256, frames=frames)
    return codec, header, truth


def _as_the_object_says(store: ObjectStore, ref: BlobRef) -> tuple[ObjectHeader, BlobRef, Rendering]:
    """The header, what the row ought to be, and the rendering, where all of them hold; else Corruption."""
    _, header, truth = _described(store, ref)
    problem, _, rendering = _as_the_row_says(store, truth)
    if problem:
        raise Corruption
    return header, truth, rendering


# --- octets ---


class _Hashed:
    """Pieces of a blob as one stream, counted and hashed on their way to the reader."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.digest = hashlib.sha256()
        self.octets = 0

    def read(self, size: int) -> bytes:
        """At most `size` octets, at least one before the end."""
        if not self._rest:
            piece = next(self._pieces, b"")
            self.digest.update(piece)
            self.octets += len(piece)
            self._rest = memoryview(piece)
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)


def _rendered(pieces: Iterator[bytes], octets: int, sha256: bytes) -> Rendering:
    """The rendering of the pieces; Corruption unless they are `octets` octets of that SHA-256."""
    stream = _Hashed(pieces)
    rendering = render(cast(BinaryIO, stream))
    while stream.read(FRAME_OCTETS):
        pass
    if stream.octets != octets or stream.digest.digest() != sha256:
        raise Corruption
    return rendering
