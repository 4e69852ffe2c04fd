"""Compression formats: how one frame is packed, and how octets that are no message ride along in the same file.

A frame decompresses on its own and carries a checksum. An *enclosure* decompresses to nothing, so the format's own
tool (``zstd -dc``, ``gzip -dc``, ``lz4 -dc``) gives exactly the message: a skippable frame for zstd and lz4
(RFC 8878 section 3.1.2), an empty member with a FCOMMENT or FEXTRA field for gzip (RFC 1952 section 2.3.1).

Objects are safe in many threads. A zstd compressor of its own would cost each frame 460 µs instead of 28, and 2.6 MB
once it has seen 1 MiB, so idle ones are kept, as many as have ever worked at once.
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import lz4.frame
import zstandard

from lightmail.errors import Corruption

T = TypeVar("T")

# The seekable zstd format: https://github.com/facebook/zstd/tree/dev/contrib/seekable_format
SEEKABLE_MAGIC: Final = 0x8F92EAB1
_SKIPPABLE_HEADER: Final = 0x184D2A50
_SKIPPABLE_TABLE: Final = 0x184D2A5E


class Codec(ABC):
    """One compression format. `name` goes into rows; `table_trailer` octets follow a seek table in the file."""

    name: str
    table_trailer: int = 0

    @abstractmethod
    def compress(self, data: bytes) -> bytes:
        """One frame that holds `data`."""

    @abstractmethod
    def expand(self, frame: bytes | memoryview, octets: int) -> bytes:
        """The `octets` octets that `frame` holds; Corruption when it does not decode to exactly so many."""

    @abstractmethod
    def enclose_header(self, payload: bytes) -> bytes:
        """An enclosure for the start of an object; `payload` is ASCII without NUL."""

    @abstractmethod
    def header_extent(self, start: bytes) -> tuple[int, int, int]:
        """Where an object's header is, seen from the object's first octets: (start, stop, length of the enclosure).

        The length may lie beyond `start`: more octets are needed then. Corruption where no header begins.
        """

    @abstractmethod
    def enclose_table(self, table: bytes) -> bytes:
        """An enclosure for the end of an object; `table` ends in a footer of known size."""


class _Idle(Generic[T]):
    """Tools that only one thread may use at a time, kept for the next; list operations are atomic."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: list[T] = []

    def take(self) -> T:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give_back(self, tool: T) -> None:
        self._idle.append(tool)


class _SkippableFrames(Codec):
    """Enclosures of zstd and lz4, whose formats share skippable frames."""

    def enclose_header(self, payload: bytes) -> bytes:
        return struct.pack("<II", _SKIPPABLE_HEADER, len(payload)) + payload

    def header_extent(self, start: bytes) -> tuple[int, int, int]:
        if len(start) < 8:
            raise Corruption
        magic, length = struct.unpack_from("<II", start)
        if magic != _SKIPPABLE_HEADER:
            raise Corruption
        return 8, 8 + length, 8 + length

    def enclose_table(self, table: bytes) -> bytes:
        return struct.pack("<II", _SKIPPABLE_TABLE, len(table)) + table


class Zstd(_SkippableFrames):
    """zstd (RFC 8878). ``none`` is its fastest level: text stays as it is in raw blocks, yet with a checksum."""

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        level = -131_072 if name == "none" else level
        self._compressors = _Idle(lambda: zstandard.ZstdCompressor(level=level, write_checksum=True))
        self._decompressors = _Idle(zstandard.ZstdDecompressor)

    def compress(self, data: bytes) -> bytes:
        compressor = self._compressors.take()
        try:
            return compressor.compress(data)
        finally:
            self._compressors.give_back(compressor)

    def expand(self, frame: bytes | memoryview, octets: int) -> bytes:
        decompressor = self._decompressors.take()
        try:
            # The size a damaged frame claims would be allocated before anything is checked.
            if zstandard.frame_content_size(frame) != octets:
                raise Corruption
            return decompressor.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError:
            raise Corruption from None
        finally:
            self._decompressors.give_back(decompressor)


class Lz4(_SkippableFrames):
    """lz4's frame format. Up to level 3, the default for zstd, means its fast mode."""

    name = "lz4"

    def __init__(self, level: int) -> None:
        self._level = 0 if level <= 3 else min(level, lz4.frame.COMPRESSIONLEVEL_MAX)

    def compress(self, data: bytes) -> bytes:
        packed: bytes = lz4.frame.compress(data, self._level, content_checksum=True, store_size=True)
        return packed

    def expand(self, frame: bytes | memoryview, octets: int) -> bytes:
        # Not all at once: that would allocate whatever size the frame claims, and expand without a bound.
        decompressor = lz4.frame.LZ4FrameDecompressor()
        try:
            data = decompressor.decompress(frame, octets + 1)
        except (RuntimeError, ValueError, MemoryError):
            raise Corruption from None
        if len(data) != octets or not decompressor.eof or decompressor.unused_data:
            raise Corruption
        return bytes(data)


class Gzip(Codec):
    """gzip (RFC 1952): the header is the comment of an empty first member, the seek table the extra field of a last."""

    name = "gzip"
    _EMPTY = b"\x03\x00" + bytes(8)  # a deflate stream of nothing, CRC-32 and size of nothing
    _COMMENT = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff"
    _EXTRA = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
    table_trailer = len(_EMPTY)

    def __init__(self, level: int) -> None:
        self._level = min(level, 9)

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, self._level, 31)

    def expand(self, frame: bytes | memoryview, octets: int) -> bytes:
        decompressor = zlib.decompressobj(31)
        try:
            data = decompressor.decompress(frame, octets + 1)
        except zlib.error:
            raise Corruption from None
        if len(data) != octets or not decompressor.eof or decompressor.unused_data:
            raise Corruption
        return data

    def enclose_header(self, payload: bytes) -> bytes:
        return self._COMMENT + payload + b"\0" + self._EMPTY

    def header_extent(self, start: bytes) -> tuple[int, int, int]:
        if not start.startswith(self._COMMENT):
            raise Corruption
        end = start.find(b"\0", len(self._COMMENT))
        if end < 0:
            # Its length is written nowhere: look at twice as much.
            return len(self._COMMENT), 2 * len(start), 2 * len(start)
        return len(self._COMMENT), end, end + 1 + len(self._EMPTY)

    def enclose_table(self, table: bytes) -> bytes:
        return self._EXTRA + struct.pack("<H2sH", len(table) + 4, b"LM", len(table)) + table + self._EMPTY


def open_codec(name: str, level: int) -> Codec:
    """The codec of a configured name: zstd, gzip, lz4 or none; `level` as each of them understands it."""
    if name in ("zstd", "none"):
        return Zstd(name, level)
    return Gzip(level) if name == "gzip" else Lz4(level)


# Reading knows no level.
READERS: Final[dict[str, Codec]] = {name: open_codec(name, 1) for name in ("zstd", "none", "gzip", "lz4")}
