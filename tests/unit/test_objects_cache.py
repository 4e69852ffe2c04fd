"""The caches: bounded, least recently used first out, found again after a restart, and never believed blindly."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from twisted.logger import globalLogPublisher

from lightmail.model import BlobRef
from lightmail.objects.cache import DiskCache, MemoryCache, cache_name
from lightmail.objects.keys import new_key

MIB = 1 << 20


def name(account: bytes = b"a" * 16, frame: int = 0) -> str:
    return cache_name(BlobRef(account, new_key("zstd", 1_700_000_000_000_000), 0, 0, "zstd", b"", b""), frame)


def on_shelf(shelf: int) -> str:
    return f"{name()[:-3]}{shelf:x}-0"


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_names_tell_accounts_objects_and_frames_apart() -> None:
    ref = BlobRef(b"a" * 16, new_key("zstd", 1), 0, 0, "zstd", b"", b"")
    other = BlobRef(b"b" * 16, ref.key, 0, 0, "zstd", b"", b"")
    assert len({cache_name(ref, 0), cache_name(ref, 1), cache_name(other, 0), name()}) == 4


def test_memory_keeps_the_recently_used_within_its_bound() -> None:
    cache = MemoryCache(10_000)
    for key in "abcdefghij":
        cache.put(key, key.encode() * 700)
    assert cache.get("a") == b"a" * 700
    cache.put("k", b"k" * 700)
    assert [cache.get(key) is not None for key in "abck"] == [True, False, True, True]
    assert cache.octets == 10_000


def read_through(cache: MemoryCache, keys: Iterable[str]) -> int:
    """Ask for each piece and keep it where it was missing, as reading does; how many were there."""
    hits = 0
    for key in keys:
        if cache.get(key) is None:
            cache.put(key, bytes(700))
        else:
            hits += 1
        assert cache.octets <= 100_000
    return hits


def test_reading_a_mailbox_once_pushes_nothing_out_that_is_read_again_and_again() -> None:
    cache = MemoryCache(100_000)
    hot = [f"hot {number}" for number in range(40)]
    for _ in range(4):
        read_through(cache, hot)
    read_through(cache, (str(number) for number in range(2000)))
    assert read_through(cache, hot) >= 38


def test_reading_more_than_fits_again_and_again_finds_what_fits() -> None:
    cache = MemoryCache(100_000)
    rounds = [read_through(cache, (str(number) for number in range(400))) for _ in range(5)]
    assert rounds[0] == 0
    assert min(rounds[3:]) > 70


def test_what_is_read_now_takes_the_place_of_what_was_read_long_ago() -> None:
    cache = MemoryCache(100_000)
    for era in range(3):
        now = [f"{era} {number}" for number in range(80)]
        for _ in range(600):
            read_through(cache, now)
        assert read_through(cache, now) == 80


def test_memory_takes_nothing_too_large_and_nothing_twice() -> None:
    cache = MemoryCache(10_000)
    cache.put("large", bytes(1000))
    cache.put("a", bytes(900))
    once = cache.octets
    cache.put("a", bytes(900))
    assert cache.get("large") is None
    assert cache.octets == once


def test_memory_counts_what_the_smallest_pieces_cost() -> None:
    cache = MemoryCache(10_000)
    for number in range(100):
        cache.put(str(number), b"")
    assert sum(cache.get(str(number)) is not None for number in range(100)) < 40


def test_a_memory_of_nothing_keeps_nothing() -> None:
    cache = MemoryCache(0)
    cache.put("a", b"x")
    assert cache.get("a") is None
    assert cache.octets == 0


def test_disk_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path / "cache"), MIB)
    pieces = {name(): random.randbytes(octets) for octets in (0, 1, 4096, 30_000)}
    for key, piece in pieces.items():
        assert cache.get(key) is None
        cache.put(key, piece)
    assert {key: cache.get(key) for key in pieces} == pieces
    assert cache.get(name(b"b" * 16)) is None


def test_disk_stays_within_its_bound_and_keeps_what_is_used(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), MIB)
    keys = [on_shelf(number % 16) for number in range(400)]
    for key in keys:
        cache.put(key, bytes(8000))
        assert cache.get(keys[0]) is not None
        assert sum(path.stat().st_size for path in files(tmp_path)) <= MIB
    assert all(cache.get(key) is not None for key in keys[-32:])
    assert all(cache.get(key) is None for key in keys[1:200])


def test_disk_refuses_a_piece_that_would_empty_a_shelf(tmp_path: Path) -> None:
    DiskCache(str(tmp_path), MIB).put(name(), bytes(MIB // 16))
    assert files(tmp_path) == []


def test_the_next_process_finds_what_is_there_and_keeps_to_its_bound(tmp_path: Path) -> None:
    keys = [name() for _ in range(200)]
    cache = DiskCache(str(tmp_path), 16 * MIB)
    for key in keys:
        cache.put(key, bytes(8000))
    again = DiskCache(str(tmp_path), MIB)
    assert all(again.get(key) is not None for key in keys)
    for shelf in range(16):
        again.put(on_shelf(shelf), bytes(8000))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= MIB


def test_files_of_others_are_left_alone_and_what_a_crash_left_is_not(tmp_path: Path) -> None:
    key = name()
    shelf = tmp_path / key[-3]
    shelf.mkdir()
    (shelf / "precious").write_bytes(bytes(MIB))
    (shelf / f"{name()}.new-01234567").write_bytes(bytes(MIB))
    DiskCache(str(tmp_path), MIB).put(key, b"x")
    assert sorted(path.name for path in files(tmp_path)) == sorted([key, "precious"])


@pytest.mark.parametrize("damage", [bytes(104), b"", b"sho", b"y" * 104])
def test_what_a_crash_damaged_is_a_miss_once(tmp_path: Path, damage: bytes) -> None:
    cache = DiskCache(str(tmp_path), MIB)
    key = name()
    cache.put(key, b"x" * 100)
    (path,) = files(tmp_path)
    path.write_bytes(damage)
    assert cache.get(key) is None
    assert files(tmp_path) == []
    cache.put(key, b"x" * 100)
    assert cache.get(key) == b"x" * 100


def test_a_disk_that_refuses_is_bypassed_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")  # a file where the directory should be: no write can succeed
    cache = DiskCache(str(tmp_path / "cache"), MIB)
    lines: list[object] = []
    globalLogPublisher.addObserver(lines.append)
    try:
        for _ in range(3):
            cache.put(name(), b"x" * 100)
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert len(lines) == 1
    assert cache.get(name()) is None
