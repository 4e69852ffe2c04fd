"""The caches: bounded, least recently used first out, found again after a restart, and never believed blindly."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from twisted.logger import globalLogPublisher

from lightmail.model import BlobRef
from lightmail.objects.cache import DiskCache, MemoryCache, cache_name
from lightmail.objects.keys import new_key


def name(account: bytes = b"a" * 16, frame: int = 0) -> str:
    return cache_name(BlobRef(account, new_key("zstd", 1_700_000_000_000_000), 0, 0, "zstd", b"", b""), frame)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_names_tell_accounts_objects_and_frames_apart() -> None:
    ref = BlobRef(b"a" * 16, new_key("zstd", 1), 0, 0, "zstd", b"", b"")
    other = BlobRef(b"b" * 16, ref.key, 0, 0, "zstd", b"", b"")
    assert len({cache_name(ref, 0), cache_name(ref, 1), cache_name(other, 0), name()}) == 4


def test_memory_keeps_the_recently_used_within_its_bound() -> None:
    cache = MemoryCache(100)
    for key in "abcdefghij":
        cache.put(key, key.encode() * 10)
    assert cache.get("a") == b"a" * 10
    cache.put("k", b"k" * 5)
    assert [cache.get(key) is not None for key in "abck"] == [True, False, True, True]
    assert cache.octets == 95


def test_memory_takes_nothing_too_large_and_nothing_twice() -> None:
    cache = MemoryCache(100)
    cache.put("large", bytes(13))
    cache.put("a", bytes(12))
    cache.put("a", bytes(12))
    assert cache.get("large") is None
    assert cache.octets == 12


def test_a_memory_of_nothing_keeps_nothing() -> None:
    cache = MemoryCache(0)
    cache.put("a", b"x")
    assert cache.get("a") is None
    assert cache.octets == 0


def test_disk_gives_back_ranges(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path / "cache"), 10_000)
    key = name()
    assert cache.get(key, 0, 5) is None
    cache.put(key, b"0123456789")
    assert cache.get(key, 0, 10) == b"0123456789"
    assert cache.get(key, 3, 7) == b"3456"
    assert cache.get(key, 3, 11) is None
    assert cache.get(name(b"b" * 16), 0, 1) is None


def test_disk_stays_within_its_bound_and_drops_the_least_recently_used(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), 1000)
    keys = [name() for _ in range(40)]
    first = keys[0]
    for key in keys:
        cache.put(key, random.randbytes(100))
        assert cache.get(first, 0, 100) is not None
        assert cache.octets <= 1000
        assert sum(path.stat().st_size for path in files(tmp_path)) == cache.octets
    assert [cache.get(key, 0, 100) is not None for key in keys] == [True] + [False] * 30 + [True] * 9


def test_disk_refuses_a_piece_that_would_empty_it(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), 1000)
    cache.put(name(), bytes(251))
    assert files(tmp_path) == []


def test_the_next_process_finds_what_is_there(tmp_path: Path) -> None:
    keys = [name() for _ in range(5)]
    cache = DiskCache(str(tmp_path), 1000)
    for number, key in enumerate(keys):
        cache.put(key, bytes([number]) * 100)
    for path in files(tmp_path):
        number = path.read_bytes()[0]
        os.utime(path, (number, number))
    again = DiskCache(str(tmp_path), 300)
    assert [again.get(key, 0, 100) for key in keys] == [None, None, *(bytes([n]) * 100 for n in (2, 3, 4))]
    assert len(files(tmp_path)) == 3


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "aa").mkdir()
    for path in (tmp_path / "precious", tmp_path / "aa" / "precious"):
        path.write_bytes(b"x")
    (tmp_path / "new-17").write_bytes(b"left by a crash")
    cache = DiskCache(str(tmp_path), 1000)
    assert cache.get(name(), 0, 1) is None
    assert sorted(path.name for path in files(tmp_path)) == ["precious", "precious"]


@pytest.mark.parametrize("damage", [bytes(100), b"", b"short", b"y" * 100])
def test_what_a_crash_left_behind_is_checked_before_it_is_served(tmp_path: Path, damage: bytes) -> None:
    key = name()
    DiskCache(str(tmp_path), 1000).put(key, b"x" * 100)
    (path,) = files(tmp_path)
    path.write_bytes(damage)
    cache = DiskCache(str(tmp_path), 1000)
    assert cache.get(key, 0, 5) is None
    assert files(tmp_path) == []
    cache.put(key, b"x" * 100)
    assert cache.get(key, 0, 5) == b"xxxxx"


def test_a_file_that_vanished_is_a_miss(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), 1000)
    key = name()
    cache.put(key, b"x" * 100)
    files(tmp_path)[0].unlink()
    assert cache.get(key, 0, 5) is None
    assert cache.octets == 0


def test_a_disk_that_refuses_is_bypassed_with_one_line(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    cache = DiskCache(str(directory), 1000)
    assert cache.get(name(), 0, 1) is None
    directory.rmdir()
    directory.write_bytes(b"")  # a file where the directory was: no write can succeed
    lines: list[object] = []
    globalLogPublisher.addObserver(lines.append)
    try:
        for _ in range(3):
            cache.put(name(), b"x" * 100)
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert len(lines) == 1
    assert cache.octets == 0
