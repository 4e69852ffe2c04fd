"""Reading octets that lie in several places, and a temporary file that lives as long as somebody reads it."""

from __future__ import annotations

import io
import os
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, Protocol, cast


class Segment(Protocol):
    """A run of octets that can be read at any place, by several threads at once."""

    octets: int

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the number of octets read, at least one before the end."""


class MemorySegment:
    """Octets in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.octets = len(data)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


class TemporaryFile:
    """A file without a name that grows at its end.

    It closes with its last reference, not before: a reader in a thread may outlive the connection whose message it
    reads, and a closed descriptor's number soon names somebody else's file.
    """

    def __init__(self, directory: str | None) -> None:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        self.octets = 0

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def append(self, data: bytes | memoryview) -> None:
        """Add `data` at the end. OSError (a full disk) leaves the file unusable."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, self.octets)
            self.octets += written
            rest = rest[written:]

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return os.preadv(self._descriptor, [buffer], offset)


class _JoinedReader(io.RawIOBase):
    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = [segment for segment in segments if segment.octets]
        self._starts = list(accumulate((segment.octets for segment in self._segments), initial=0))
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._starts[-1]}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def tell(self) -> int:
        return self._offset

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        number = bisect_right(self._starts, self._offset) - 1
        if number >= len(self._segments):
            return 0
        within = self._offset - self._starts[number]
        # A file may have grown since: its length at the time of joining counts.
        read = self._segments[number].read_into(view[: self._starts[number + 1] - self._offset], within)
        self._offset += read
        return read


def join(segments: Sequence[Segment]) -> BinaryIO:
    """One seekable reader of all `segments`, in order; they must stay as they are meanwhile."""
    return io.BufferedReader(_JoinedReader(segments), 128 << 10)
