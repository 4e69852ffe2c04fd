"""Expanded octets kept near: hot small bodies in memory, everything else in files. Losing either costs time only.

Keys carry the account that reads, so nobody learns from an answer's speed what another account has read.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
import zlib
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from twisted.logger import Logger

from lightmail.metrics import CACHE_HITS, CACHE_OCTETS
from lightmail.model import BlobRef
from lightmail.objects.keys import stem

log = Logger()

# What a piece costs beside its octets: its entry in memory, and whole blocks on a disk.
_ENTRY_OCTETS: Final = 300
_BLOCK_OCTETS: Final = 4096

# Uses between two halvings of their counts, and the highest count. About 2 MB of names at most.
_USES_COUNTED: Final = 16_384
_USES_MOST: Final = 15

_SHELVES: Final = 16
_NAME: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f-]{36}-\d{1,6}(\.new-[0-9a-f]{8})?\Z")
_CHECKSUM_OCTETS: Final = 4
# How long a cache whose disk refused a write leaves it alone.
_BYPASS_SECONDS: Final = 60.0


def cache_name(ref: BlobRef, frame: int) -> str:
    """What names frame `frame` of a blob, as one account reads it, in a cache."""
    return f"{ref.account.hex()}-{stem(ref.key)}-{frame}"


class MemoryCache:
    """The pieces in use, `bound` octets in all and none over an eighth of it. For the reactor's thread.

    A piece that is new lives among the newest, an eighth of the bound. When it is pushed out there it takes the place
    of the least recently used only if those were used once, or less often lately than itself: whoever reads a mailbox
    once from end to end, however large, pushes out nothing that is read again and again.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._octets = 0
        self._new_octets = 0
        self._new: OrderedDict[str, bytes] = OrderedDict()
        self._proven: OrderedDict[str, bytes] = OrderedDict()
        self._uses = _Uses()
        self._hits = CACHE_HITS.labels("memory", "hit")
        self._misses = CACHE_HITS.labels("memory", "miss")
        CACHE_OCTETS.watch(self, lambda cache: [(("memory",), cache.octets)])

    @property
    def octets(self) -> int:
        """Octets held, with what it takes to hold them."""
        return self._octets

    def admits(self, octets: int) -> bool:
        """Whether a piece of that size would be kept."""
        return octets + _ENTRY_OCTETS <= self._bound // 8

    def has(self, name: str) -> bool:
        """Whether the piece of that name is here. Does not count as its use."""
        return name in self._new or name in self._proven

    def get(self, name: str) -> bytes | None:
        """The piece of that name, or None."""
        self._uses.count(name)
        for pieces in (self._proven, self._new):
            piece = pieces.get(name)
            if piece is not None:
                pieces.move_to_end(name)
                self._hits.inc()
                return piece
        self._misses.inc()
        return None

    def put(self, name: str, piece: bytes) -> None:
        """Keep `piece`, unless it is too large; what is used least makes room."""
        if not self.admits(len(piece)) or self.has(name):
            return
        self._new[name] = piece
        self._octets += len(piece) + _ENTRY_OCTETS
        self._new_octets += len(piece) + _ENTRY_OCTETS
        while self._new_octets > self._bound // 8:
            name, piece = self._new.popitem(last=False)
            self._new_octets -= len(piece) + _ENTRY_OCTETS
            self._prove(name, piece)

    def _prove(self, name: str, piece: bytes) -> None:
        """Keep a piece that is new no longer, in place of others that are used less; or drop it."""
        needed = self._octets - self._bound
        enough = max(self._uses.of(name), 2)
        victims: list[str] = []
        for victim, old in self._proven.items():
            if needed <= 0:
                break
            if self._uses.of(victim) >= enough:
                self._octets -= len(piece) + _ENTRY_OCTETS
                return
            victims.append(victim)
            needed -= len(old) + _ENTRY_OCTETS
        for victim in victims:
            self._octets -= len(self._proven.pop(victim)) + _ENTRY_OCTETS
        self._proven[name] = piece


class _Uses:
    """How often names were used lately: counts that are halved now and then, so that none lives on old glory."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._since = 0

    def count(self, name: str) -> None:
        self._counts[name] = min(self._counts.get(name, 0) + 1, _USES_MOST)
        self._since += 1
        if self._since >= _USES_COUNTED:
            self._since = 0
            self._counts = {name: uses // 2 for name, uses in self._counts.items() if uses > 1}

    def of(self, name: str) -> int:
        return self._counts.get(name, 0)


class DiskCache:
    """Pieces as files below `directory`, about `bound` octets in all, the least recently used deleted first.

    Methods block and may be called in any thread. Nothing is held in memory, so a cache may be as large as its disk,
    and the next process finds what is there. Files are written without fsync: each carries a checksum and is believed
    only if that holds. A disk that is full or broken is left alone for a minute, and everything goes past the cache.
    """

    def __init__(self, directory: str, bound: int) -> None:
        # The last digit of an object's random part names its shelf: each has a fair share of pieces and of the bound.
        self._shelves = {
            f"{n:x}": _Shelf(os.path.join(directory, f"{n:x}"), bound // _SHELVES) for n in range(_SHELVES)
        }
        self._bypass_until = 0.0
        self._hits = CACHE_HITS.labels("disk", "hit")
        self._misses = CACHE_HITS.labels("disk", "miss")

    def _shelf(self, name: str) -> _Shelf:
        return self._shelves[name.rpartition("-")[0][-1]]

    def get(self, name: str) -> bytes | None:
        """The piece of that name, or None where it is not here whole."""
        piece = self._shelf(name).get(name)
        (self._misses if piece is None else self._hits).inc()
        return piece

    def put(self, name: str, piece: bytes) -> None:
        """Keep `piece`; too large a one, or one the disk does not take, goes without."""
        if time.monotonic() < self._bypass_until:
            return
        try:
            self._shelf(name).put(name, piece)
        except OSError as error:
            self._bypass_until = time.monotonic() + _BYPASS_SECONDS
            log.warn("cache: bypassed for a minute: {error}", error=error)


class _Shelf:
    """One directory of a disk cache."""

    def __init__(self, path: str, bound: int) -> None:
        self._path = path
        self._bound = bound
        self._lock = threading.Lock()
        self._octets: int | None = None  # counted at the first put

    def get(self, name: str) -> bytes | None:
        path = os.path.join(self._path, name)
        try:
            content = _used(path)
        except OSError:
            return None
        piece = content[_CHECKSUM_OCTETS:]
        if zlib.crc32(piece).to_bytes(_CHECKSUM_OCTETS, "big") == content[:_CHECKSUM_OCTETS]:
            return piece
        with suppress(OSError):
            os.unlink(path)
        return None

    def put(self, name: str, piece: bytes) -> None:
        if _on_disk(len(piece)) > self._bound // 2:
            return
        path = os.path.join(self._path, name)
        temporary = f"{path}.new-{secrets.token_hex(4)}"
        try:
            self._write(temporary, piece)
            os.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        with self._lock:
            if self._octets is not None:
                self._octets += _on_disk(len(piece))
            if self._octets is None or self._octets > self._bound:
                self._octets = self._make_room()

    def _write(self, path: str, piece: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            for directory in (os.path.dirname(self._path), self._path):  # the mode is for the last of a path alone
                os.makedirs(directory, mode=0o700, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "wb") as file:
            file.write(zlib.crc32(piece).to_bytes(_CHECKSUM_OCTETS, "big"))
            file.write(piece)
            file.flush()
            _touch(descriptor)

    def _make_room(self) -> int:
        """Count what is here; if that is over the bound, delete the oldest down to seven eighths. The octets left."""
        entries = []
        with os.scandir(self._path) as files:
            for file in files:
                if _NAME.match(file.name):  # whatever else lies here is not ours to delete
                    with suppress(FileNotFoundError):
                        stat = file.stat(follow_symlinks=False)
                        entries.append((stat.st_mtime_ns, _on_disk(stat.st_size), file.path))
        octets = sum(entry[1] for entry in entries)
        if octets <= self._bound:
            return octets
        for _, size, path in sorted(entries):
            if octets <= self._bound * 7 // 8:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            octets -= size
        return octets


def _used(path: str) -> bytes:
    """What is in a file, which counts as used now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _touch(descriptor)
        left = os.fstat(descriptor).st_size
        content = os.read(descriptor, left)
        while len(content) < left and (more := os.read(descriptor, left - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def _touch(descriptor: int) -> None:
    # The kernel's own times come in steps of milliseconds, too coarse to tell what was used last.
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))


def _on_disk(octets: int) -> int:
    return -(-octets // _BLOCK_OCTETS) * _BLOCK_OCTETS
