"""Expanded octets kept near: hot small bodies in memory, everything else in files. Losing either costs time only.

Keys carry the account that reads, so nobody learns from an answer's speed what another account has read.
"""

from __future__ import annotations

import os
import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from lightmail.metrics import CACHE_HITS
from lightmail.model import BlobRef
from lightmail.objects.keys import stem

log = Logger()

_NAME: Final = re.compile(r"([0-9a-f]{32}-[0-9a-f-]{36}-\d{1,6})\.([0-9a-f]{8})\Z")
_SHELF: Final = re.compile(r"[0-9a-f]{2}\Z")
_LEFTOVER: Final = re.compile(r"new-\d+\Z")
# How long a cache whose disk refused a write leaves it alone.
_BYPASS_SECONDS: Final = 60.0


def cache_name(ref: BlobRef, frame: int) -> str:
    """What names frame `frame` of a blob, as one account reads it, in a cache."""
    return f"{ref.account.hex()}-{stem(ref.key)}-{frame}"


class MemoryCache:
    """The most recently used pieces, `bound` octets in all and none over an eighth of it. For the reactor's thread."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._octets = 0
        self._pieces: OrderedDict[str, bytes] = OrderedDict()
        self._hits = CACHE_HITS.labels("memory", "hit")
        self._misses = CACHE_HITS.labels("memory", "miss")

    @property
    def octets(self) -> int:
        """Octets held."""
        return self._octets

    def admits(self, octets: int) -> bool:
        """Whether a piece of that size would be kept."""
        return octets <= self._bound // 8

    def get(self, name: str) -> bytes | None:
        """The piece of that name, or None."""
        piece = self._pieces.get(name)
        if piece is None:
            self._misses.inc()
            return None
        self._pieces.move_to_end(name)
        self._hits.inc()
        return piece

    def put(self, name: str, piece: bytes) -> None:
        """Keep `piece`, unless it is too large; the least recently used make room."""
        if not self.admits(len(piece)) or name in self._pieces:
            return
        self._pieces[name] = piece
        self._octets += len(piece)
        while self._octets > self._bound:
            _, old = self._pieces.popitem(last=False)
            self._octets -= len(old)


@dataclass(slots=True)
class _Entry:
    octets: int
    checksum: int
    verified: bool


class DiskCache:
    """Pieces as files below `directory`, `bound` octets in all, the least recently used deleted first.

    Methods block and may be called in any thread. One process owns a directory; the next one finds its files there and
    checks each once before it believes it: they are written without fsync. A disk that is full or broken is left
    alone for a minute, and everything goes past the cache meanwhile.
    """

    def __init__(self, directory: str, bound: int) -> None:
        self._directory = directory
        self._bound = bound
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] | None = None  # read from the directory at first use
        self._octets = 0
        self._bypass_until = 0.0
        self._serial = 0
        self._hits = CACHE_HITS.labels("disk", "hit")
        self._misses = CACHE_HITS.labels("disk", "miss")

    @property
    def octets(self) -> int:
        """Octets held, as far as known."""
        return self._octets

    def get(self, name: str, start: int, stop: int) -> bytes | None:
        """Octets `start` to `stop` of a piece, or None where it is not here."""
        with self._lock:
            entries = self._load()
            entry = entries.get(name)
            if entry is not None:
                entries.move_to_end(name)
        data = self._read(name, entry, start, stop) if entry is not None else None
        (self._misses if data is None else self._hits).inc()
        return data

    def _read(self, name: str, entry: _Entry, start: int, stop: int) -> bytes | None:
        data = b""
        with suppress(OSError), open(self._path(name, entry.checksum), "rb", buffering=0) as file:
            if entry.verified:
                data = os.pread(file.fileno(), stop - start, start)
            else:
                whole = file.readall()
                if zlib.crc32(whole) == entry.checksum:
                    entry.verified = True
                    data = whole[start:stop]
        if len(data) == stop - start:
            return data
        self._forget(name)
        return None

    def put(self, name: str, piece: bytes) -> None:
        """Keep `piece`; too large a one, or one the disk does not take, goes without."""
        if len(piece) > self._bound // 4 or time.monotonic() < self._bypass_until:
            return
        entry = _Entry(len(piece), zlib.crc32(piece), verified=True)
        with self._lock:
            if name in self._load():
                return
            self._serial += 1
            temporary = os.path.join(self._directory, f"new-{self._serial}")
        try:
            self._write(temporary, self._path(name, entry.checksum), piece)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            self._bypass_until = time.monotonic() + _BYPASS_SECONDS
            log.warn("cache: bypassed for a minute: {error}", error=error)
            return
        with self._lock:
            # Another thread may have been faster with the same piece, and so with the same file.
            if self._load().setdefault(name, entry) is entry:
                self._octets += len(piece)
            stale = list(self._evict())
        for path in stale:
            with suppress(OSError):
                os.unlink(path)

    def _write(self, temporary: str, path: str, piece: bytes) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            if file.write(piece) != len(piece):
                raise OSError(f"short write to {temporary}")
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.rename(temporary, path)

    def _evict(self) -> Iterator[str]:
        """Drop what is over the bound; the paths to delete."""
        entries = self._load()
        while self._octets > self._bound:
            name, entry = entries.popitem(last=False)
            self._octets -= entry.octets
            yield self._path(name, entry.checksum)

    def _forget(self, name: str) -> None:
        with self._lock:
            entry = self._load().pop(name, None)
            if entry is not None:
                self._octets -= entry.octets
        if entry is not None:
            with suppress(OSError):
                os.unlink(self._path(name, entry.checksum))

    def _path(self, name: str, checksum: int) -> str:
        # The last two digits of the object's random part spread the files over 256 directories.
        return os.path.join(self._directory, name.rpartition("-")[0][-2:], f"{name}.{checksum:08x}")

    def _load(self) -> OrderedDict[str, _Entry]:
        """The entries; with the lock held. The first call finds what an earlier process left, oldest first."""
        if self._entries is not None:
            return self._entries
        self._entries = OrderedDict()
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            for _, octets, name, checksum in sorted(self._found()):
                self._entries[name] = _Entry(octets, checksum, verified=False)
                self._octets += octets
        except OSError as error:
            log.warn("cache: {directory}: {error}", directory=self._directory, error=error)
        for path in list(self._evict()):
            with suppress(OSError):
                os.unlink(path)
        return self._entries

    def _found(self) -> Iterator[tuple[float, int, str, int]]:
        """(time of writing, octets, name, checksum) of each entry; files that are not ours are left alone."""
        with os.scandir(self._directory) as top:
            for child in top:
                if _LEFTOVER.match(child.name):
                    os.unlink(child.path)
                elif _SHELF.match(child.name) and child.is_dir(follow_symlinks=False):
                    yield from _entries_of(child.path)


def _entries_of(shelf: str) -> Iterator[tuple[float, int, str, int]]:
    with os.scandir(shelf) as files:
        for file in files:
            match = _NAME.match(file.name)
            if match is not None:
                stat = file.stat(follow_symlinks=False)
                yield stat.st_mtime, stat.st_size, match[1], int(match[2], 16)
