"""Spools: memory, then a file; bounded in sum; good to read until the last reader is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from lightmail.errors import SpoolFull, StartupError
from lightmail.objects.spool import Spool, Spools
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run


@pytest.fixture
def pool() -> Iterator[BoundedPool]:
    # One thread: what is asked of it last is done last.
    pool = BoundedPool("spool", threads=1, queue=50, reactor=reactor)
    call(pool.start)
    yield pool
    run(pool.stop())


def open_files(directory: Path) -> int:
    """How many files of a directory this process has open, those without a name among them."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # another thread has closed it meanwhile
            count += os.readlink(f"/proc/self/fd/{number}").startswith(f"{directory}/")
    return count


def content(spool: Spool, prepend: bytes = b"") -> bytes:
    with spool.open(prepend) as reader:
        return reader.read()


def test_a_small_message_stays_in_memory(pool: BoundedPool, tmp_path: Path) -> None:
    spool = Spools(pool, str(tmp_path), memory_octets=100).new()
    spool.write(b"one ")
    spool.write(b"two")
    assert not spool.needs_flush
    assert spool.octets == 7
    assert content(spool) == content(spool) == b"one two"
    assert content(spool, b"zero ") == b"zero one two"
    call(spool.close)


def test_a_large_message_goes_through_a_file_that_has_no_name(pool: BoundedPool, tmp_path: Path) -> None:
    async def scenario() -> bytes:
        spool = Spools(pool, str(tmp_path), memory_octets=100).new()
        pieces = [os.urandom(70) for _ in range(33)]
        for piece in pieces:
            spool.write(piece)
            if spool.needs_flush:
                await spool.flush()
                assert not spool.needs_flush
        assert spool.octets == 70 * 33
        assert os.listdir(tmp_path) == []
        assert content(spool, b"front") == b"front" + b"".join(pieces)
        spool.close()
        return b"done"

    assert run(scenario()) == b"done"


def test_octets_that_come_during_a_flush_keep_their_place(pool: BoundedPool, tmp_path: Path) -> None:
    async def scenario() -> bytes:
        spool = Spools(pool, str(tmp_path), memory_octets=10).new()
        flushes = []
        for number in range(20):
            spool.write(b"%010d" % number)
            flushes.append(Deferred.fromCoroutine(spool.flush()))
        spool.write(b"end")
        await gatherResults(flushes)
        whole = content(spool)
        spool.close()
        return whole

    assert run(scenario()) == b"".join(b"%010d" % number for number in range(20)) + b"end"


def test_all_spools_together_are_bounded_and_closing_gives_back(pool: BoundedPool) -> None:
    spools = Spools(pool, None, total_octets=100)
    first, second = spools.new(), spools.new()
    first.write(bytes(60))
    with pytest.raises(SpoolFull):
        second.write(bytes(41))
    second.write(bytes(40))
    assert (first.octets, second.octets) == (60, 40)
    first.close()
    first.close()
    second.write(bytes(60))
    second.close()
    spools.new().write(bytes(100))


def test_a_reader_outlives_its_spool_and_the_file_goes_with_it(pool: BoundedPool, tmp_path: Path) -> None:
    async def scenario() -> tuple[int, int]:
        spool = Spools(pool, str(tmp_path), memory_octets=10).new()
        spool.write(b"0123456789")
        await spool.flush()
        reader = spool.open()
        spool.close()
        await pool.run(int)
        assert reader.read() == b"0123456789"
        before = open_files(tmp_path)
        reader.close()
        del reader
        return before, open_files(tmp_path)

    assert run(scenario()) == (1, 0)


def test_a_closed_spool_takes_and_gives_nothing(pool: BoundedPool) -> None:
    spool = Spools(pool, None).new()
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        spool.open()


def test_a_disk_that_takes_nothing_is_spool_full(pool: BoundedPool, tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = Spools(pool, str(tmp_path / "absent"), memory_octets=10).new()
        spool.write(b"0123456789")
        with pytest.raises(SpoolFull):
            await spool.flush()
        with pytest.raises(SpoolFull):
            spool.open()
        spool.close()

    run(scenario())


def test_the_start_up_check_makes_the_directory_or_says_why_not(pool: BoundedPool, tmp_path: Path) -> None:
    Spools(pool, str(tmp_path / "made" / "now")).check()
    assert (tmp_path / "made" / "now").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartupError, match=r"^The spool directory .*/file/below cannot be used: Not a directory\.$"):
        Spools(pool, str(tmp_path / "file" / "below")).check()
