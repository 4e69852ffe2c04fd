"""An object's layout: header enclosure, one frame, or for a blob over 1 MiB independent frames and a seek table.

::

    header | frame                                     up to FRAME_OCTETS
    header | frame | frame | … | seek table            beyond; each frame but the last holds FRAME_OCTETS of the blob

A row keeps the lengths of these pieces (`Frames`), so a range read touches only the frames it needs. The seek table
says the same to whoever has the object alone, in the format of seekable zstd: its first entry is the header, which
decompresses to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from lightmail.errors import Corruption
from lightmail.objects.codecs import SEEKABLE_MAGIC, Codec
from lightmail.objects.header import ObjectHeader

FRAME_OCTETS: Final = 1 << 20
# Enough for the header of a message to sixty recipients; and what no honest header reaches.
_FIRST_READ: Final = 4096
_LARGEST_HEADER: Final = 16 << 20
# What no object of one frame reaches: the largest header, and a frame that did not compress.
LARGEST_SMALL: Final = 20 << 20
# What no honest seek table reaches: it is read at once.
_MOST_PIECES: Final = 1 << 16
_FOOTER: Final = struct.Struct("<IBI")


@dataclass(frozen=True, slots=True)
class Frames:
    """Where the frames of a large blob are: `offsets[i]` to `offsets[i + 1]` in the object is frame i."""

    frame_octets: int
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, header_length: int, lengths: Sequence[int]) -> Frames:
        """The frames of `lengths` octets that follow a header of `header_length`."""
        return cls(FRAME_OCTETS, tuple(accumulate(lengths, initial=header_length)))

    def pack(self) -> bytes:
        """As kept in a row: octets of blob in a frame, length of the header, length of each frame; 32 bits each."""
        lengths = [b - a for a, b in pairwise(self.offsets)]
        return struct.pack(f">{len(lengths) + 2}I", self.frame_octets, self.offsets[0], *lengths)

    @classmethod
    def unpack(cls, packed: bytes) -> Frames:
        """What `pack` wrote; Corruption for anything that cannot be."""
        if len(packed) < 12 or len(packed) % 4:
            raise Corruption
        frame_octets, header_length, *lengths = struct.unpack(f">{len(packed) // 4}I", packed)
        if frame_octets == 0:
            raise Corruption
        return cls(frame_octets, tuple(accumulate(lengths, initial=header_length)))


def small_object(codec: Codec, header: ObjectHeader, blob: bytes) -> bytes:
    """The whole object of a blob of at most FRAME_OCTETS."""
    return codec.enclose_header(header.pack()) + codec.compress(blob)


def expand_small(codec: Codec, stored: bytes, octets: int) -> bytes:
    """The blob in an object of one frame; Corruption where it does not decode to `octets` octets."""
    return codec.expand(memoryview(stored)[codec.header_extent(stored)[2] :], octets)


def names_digest(codec: Codec, stored: bytes, sha256: bytes) -> bool:
    """Whether the header of an object says that `sha256` is the digest of its blob."""
    start, stop, _ = codec.header_extent(stored)
    return stored.find(b'"sha256":"%b"' % sha256.hex().encode("ascii"), start, stop) >= 0


def seek_table(codec: Codec, frames: Frames, octets: int) -> bytes:
    """The last piece of a large object: the stored and the expanded length of every piece before it."""
    offsets = frames.offsets
    pieces = [(offsets[0], 0)]
    for number, (start, stop) in enumerate(pairwise(offsets)):
        pieces.append((stop - start, min(frames.frame_octets, octets - number * frames.frame_octets)))
    table = b"".join(struct.pack("<II", *piece) for piece in pieces)
    return codec.enclose_table(table + _FOOTER.pack(len(pieces), 0, SEEKABLE_MAGIC))


def describe(codec: Codec, stored_octets: int, read: Callable[[int, int], bytes]) -> tuple[ObjectHeader, bytes]:
    """What an object without its row says of itself: its header, and the `frames` that its row had.

    `read` gives the octets of the object from an offset to another. Corruption where the object is not whole.
    """
    bound = min(stored_octets, _LARGEST_HEADER)
    wanted = min(_FIRST_READ, bound)
    while True:
        first = read(0, wanted)
        start, stop, length = codec.header_extent(first)
        if length <= len(first):
            break
        if wanted == bound:
            raise Corruption
        wanted = min(length, bound)
    header = ObjectHeader.unpack(first[start:stop])
    if header.octets <= FRAME_OCTETS:
        return header, b""
    return header, _read_table(codec, stored_octets, read).pack()


def _read_table(codec: Codec, stored_octets: int, read: Callable[[int, int], bytes]) -> Frames:
    end = stored_octets - codec.table_trailer
    if end < _FOOTER.size:
        raise Corruption
    count, _, magic = _FOOTER.unpack(read(end - _FOOTER.size, end))
    start = end - _FOOTER.size - 8 * count
    if magic != SEEKABLE_MAGIC or not 0 < count <= _MOST_PIECES or start < 0:
        raise Corruption
    entries = list(struct.iter_unpack("<II", read(start, end - _FOOTER.size)))
    return Frames.of(entries[0][0], [stored for stored, _ in entries[1:]])
