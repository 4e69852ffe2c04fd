"""The contract of blobs over every store and codec: what went in comes out, whole or in ranges, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from twisted.internet import reactor

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import Corruption, MailError, Unavailable
from lightmail.model import BlobRef, MailboxId, StoredBlob
from lightmail.objects.backends import ObjectMissing, ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.cache import DiskCache, MemoryCache
from lightmail.objects.codecs import READERS
from lightmail.objects.container import describe
from lightmail.objects.datagrams import BLOB_OCTETS
from lightmail.objects.keys import born_us
from lightmail.objects.spool import Spools
from lightmail.objects.writers import Writers, open_writers
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.seaweedfs import s3_config
from tests.support.writers import started

ACCOUNT = bytes(range(16))
OTHER = bytes(range(16, 32))
OWNERS = [(ACCOUNT, MailboxId(7)), (OTHER, MailboxId(9))]
HEADER = b"From: a@example.org\r\nSubject: octets\r\n\r\n"
MIB = 1 << 20


@dataclass
class Bench:
    """A pool, a store and spools; `blobs` makes the thing under test, where it says so with a writer process."""

    pool: BoundedPool
    store: ObjectStore
    spools: Spools
    directory: Path
    storage: StorageConfig
    s3: S3Config | None
    processes: int
    writers: list[Writers] = field(default_factory=list)

    def blobs(self, codec: str = "zstd", **options: object) -> Blobs:
        if self.processes:
            storage = dataclasses.replace(self.storage, compression=codec, writer_processes=self.processes)
            self.writers.append(started(open_writers(storage, self.s3, 4, reactor=reactor)))
            options["writers"] = self.writers[-1]
        return Blobs(self.store, self.pool, codec=codec, **options)  # type: ignore[arg-type]

    def write(self, blobs: Blobs, message: bytes, prepend: bytes = b"") -> StoredBlob:
        async def scenario() -> StoredBlob:
            spool = self.spools.new()
            try:
                for at in range(0, len(message), 60_000):
                    spool.write(message[at : at + 60_000])
                    if spool.needs_flush:
                        await spool.flush()
                return await blobs.write(spool, internaldate_us=5, owners=OWNERS, prepend=prepend)
            finally:
                spool.close()

        return run(scenario())


@pytest.fixture(params=["memory", "directory", pytest.param("s3", marks=pytest.mark.s3)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    driver, _, processes = request.param.partition("+")
    s3 = s3_config(request.getfixturevalue("s3_server"), f"test-{os.urandom(6).hex()}") if driver == "s3" else None
    storage = StorageConfig(driver=driver, path=str(tmp_path / "objects"))
    store = open_store(storage, s3)
    store.check()
    pool = BoundedPool("objects", threads=4, queue=100, reactor=reactor)
    call(pool.start)
    made = Bench(pool, store, Spools(pool, str(tmp_path)), tmp_path, storage, s3, 1 if processes else 0)
    yield made
    for writers in made.writers:
        run(writers.stop())
    run(pool.stop())


# For tests of writing; each start of a process takes a while.
by_threads_and_by_a_process = pytest.mark.parametrize(
    "bench",
    [
        "memory",
        "directory",
        "directory+process",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("s3+process", marks=pytest.mark.s3),
    ],
    indirect=True,
)


def ref_of(stored: StoredBlob, account: bytes = ACCOUNT) -> BlobRef:
    return BlobRef(account, stored.key, stored.octets, stored.stored_octets, stored.codec, stored.sha256, stored.frames)


def message(octets: int, seed: int = 0) -> bytes:
    """Mail-like octets, half of which compress."""
    source = random.Random(seed)
    half = octets // 2
    text = b"".join(b"line %06d of a text that compresses\r\n" % source.randrange(10**6) for _ in range(half // 38 + 1))
    return (HEADER + text[:half] + source.randbytes(octets - half))[:octets]


SIZES = [0, 1, 10_000, BLOB_OCTETS, BLOB_OCTETS + 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 777]


@by_threads_and_by_a_process
@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4", "none"])
def test_blobs_of_all_sizes_come_back_and_describe_themselves(bench: Bench, codec: str) -> None:
    blobs = bench.blobs(codec)
    for octets in SIZES:
        body = message(octets)
        stored = bench.write(blobs, body)
        assert run(blobs.read(ref_of(stored))) == body
        assert (stored.octets, stored.sha256) == (octets, hashlib.sha256(body).digest())
        assert bench.store.size(stored.key) == stored.stored_octets
        header, frames = describe(
            READERS[codec], stored.stored_octets, lambda start, stop, key=stored.key: bench.store.read(key, start, stop)
        )
        assert (header.octets, header.sha256, header.internaldate_us) == (octets, stored.sha256, 5)
        assert list(header.owners) == OWNERS
        assert frames == stored.frames


@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4", "none"])
def test_every_range_is_the_slice(bench: Bench, codec: str) -> None:
    body = message(2 * MIB + 500_000)
    blobs = bench.blobs(codec)
    ref = ref_of(bench.write(blobs, body))
    source = random.Random(1)
    edges = [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, len(body) - 1, len(body), len(body) + 5]
    ranges = [(a, b) for a in edges for b in edges]
    ranges += [tuple(sorted(source.choices(range(len(body)), k=2))) for _ in range(20)]  # type: ignore[misc]
    for (start, stop), data in zip(ranges, run(blobs.read_many([(ref, a, b) for a, b in ranges])), strict=True):
        assert data == body[start:stop], (start, stop)


@by_threads_and_by_a_process
def test_what_is_prepended_stands_in_front(bench: Bench) -> None:
    blobs = bench.blobs()
    for body in (message(5000), message(2 * MIB)):
        trace = b"Return-Path: <b@example.org>\r\n"
        stored = bench.write(blobs, body, prepend=trace)
        assert run(blobs.read(ref_of(stored))) == trace + body
        assert stored.rendering.header.startswith(trace)
        assert stored.sha256 == hashlib.sha256(trace + body).digest()


@by_threads_and_by_a_process
def test_one_spool_serves_several_objects(bench: Bench) -> None:
    async def scenario() -> list[bytes]:
        spool = bench.spools.new()
        spool.write(HEADER)
        stored = [
            await blobs.write(spool, internaldate_us=1, owners=OWNERS, prepend=b"Delivered-To: %s\r\n" % name)
            for name in (b"a", b"b")
        ]
        spool.close()
        return [await blobs.read(ref_of(blob)) for blob in stored]

    blobs = bench.blobs()
    assert run(scenario()) == [b"Delivered-To: a\r\n" + HEADER, b"Delivered-To: b\r\n" + HEADER]


@by_threads_and_by_a_process
def test_a_key_is_fresh_and_tells_when_it_was_born(bench: Bench) -> None:
    blobs = bench.blobs(clock=lambda: 1_700_000_000.123456)
    first, second = bench.write(blobs, HEADER), bench.write(blobs, HEADER)
    assert first.key != second.key
    assert first.born_us == born_us(first.key) == 1_700_000_000_123_456
    assert bench.store.keys("emails") == sorted([first.key, second.key])


def test_chunks_are_the_whole(bench: Bench) -> None:
    async def chunked(ref: BlobRef, start: int, stop: int | None) -> list[bytes]:
        return [chunk async for chunk in blobs.chunks(ref, start, stop)]

    blobs = bench.blobs(memory=MemoryCache(8 * MIB))
    for octets in (0, 5000, 3 * MIB + 777):
        body = message(octets)
        ref = ref_of(bench.write(blobs, body))
        for start, stop in ((0, None), (100, octets - 100), (MIB - 1, MIB + 1)):
            parts = run(chunked(ref, start, stop))
            assert b"".join(parts) == body[start : stop if stop is None else max(stop, 0)]
            assert all(len(part) <= MIB for part in parts)


def test_one_bad_object_spoils_no_other_read(bench: Bench) -> None:
    blobs = bench.blobs()
    bodies = [message(2000, seed) for seed in range(9)]
    refs = [ref_of(bench.write(blobs, body)) for body in bodies]
    bench.store.delete([refs[4].key])
    results = run(blobs.read_many([(ref, 10, 90) for ref in refs]))
    assert isinstance(results[4], ObjectMissing)
    assert [r for r in results if not isinstance(r, MailError)] == [b[10:90] for i, b in enumerate(bodies) if i != 4]
    with pytest.raises(ObjectMissing):
        run(blobs.read(refs[4]))


@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4", "none"])
def test_damage_is_corruption_never_wrong_octets(bench: Bench, codec: str) -> None:
    blobs = bench.blobs(codec)
    for octets in (3000, 2 * MIB + 5):
        body = message(octets)
        stored = bench.write(blobs, body)
        whole = bench.store.read(stored.key, 0, stored.stored_octets)
        source = random.Random(octets)
        for _ in range(12):
            at = source.randrange(len(whole))
            damaged = whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1 :]
            bench.store.put(stored.key, damaged)
            with suppress(Corruption):
                assert run(blobs.read(ref_of(stored))) == body  # the damage is in the header or the seek table
        for cut in (0, 1, 9, len(whole) // 2, stored.stored_octets - 1 if not stored.frames else len(whole) // 3):
            bench.store.put(stored.key, whole[:cut] or b"x")
            with pytest.raises(Corruption):
                run(blobs.read(ref_of(stored)))


def test_a_row_that_tells_another_story_is_corruption(bench: Bench) -> None:
    blobs = bench.blobs()
    small, large = ref_of(bench.write(blobs, message(3000))), ref_of(bench.write(blobs, message(2 * MIB)))
    for wrong in (
        dataclasses.replace(small, octets=2999),
        dataclasses.replace(small, octets=3001),
        dataclasses.replace(small, sha256=bytes(32)),
        dataclasses.replace(small, codec="gzip"),
        dataclasses.replace(small, codec="brotli"),
        dataclasses.replace(large, frames=large.frames[:-4]),
        dataclasses.replace(large, frames=b"\0\0"),
        dataclasses.replace(large, octets=3 * MIB),
    ):
        with pytest.raises(Corruption):
            run(blobs.read(wrong))


def test_caches_serve_what_the_store_no_longer_has_to_the_same_account_alone(bench: Bench) -> None:
    disk = DiskCache(str(bench.directory / "cache"), 64 * MIB)
    for blobs in (bench.blobs(cache=disk), bench.blobs(memory=MemoryCache(32 * MIB))):
        for body in (message(3000), message(2 * MIB + 5)):
            stored = bench.write(blobs, body)
            edges = [(at, min(at + 10, len(body))) for at in range(0, len(body), MIB - 5)]
            for start, stop in edges:
                assert run(blobs.read(ref_of(stored), start, stop)) == body[start:stop]
            bench.store.delete([stored.key])
            for start, _ in edges:
                assert run(blobs.read(ref_of(stored), start, start + 5)) == body[start : start + 5]
            with pytest.raises(ObjectMissing):
                run(blobs.read(ref_of(stored, OTHER), 0, 10))


def test_a_large_body_read_whole_does_not_crowd_the_memory(bench: Bench) -> None:
    memory = MemoryCache(32 * MIB)
    blobs = bench.blobs(memory=memory)
    small, large = message(200_000), message(900_000)
    refs = [ref_of(bench.write(blobs, body)) for body in (small, large)]
    assert [run(blobs.read(ref)) for ref in refs] == [small, large]
    assert len(small) <= memory.octets < len(small) + 1000
    assert run(blobs.read(refs[1], 10, 5000)) == large[10:5000]
    assert memory.octets > len(small) + len(large)


def test_a_full_queue_is_unavailable_for_each(bench: Bench) -> None:
    blobs = bench.blobs()
    ref = ref_of(bench.write(blobs, message(3000)))
    run(bench.pool.stop())
    results = run(blobs.read_many([(ref, 0, 5)] * 3))
    assert [type(result) for result in results] == [Unavailable] * 3


@by_threads_and_by_a_process
@pytest.mark.parametrize(("codec", "tool"), [("zstd", "zstd"), ("none", "zstd"), ("gzip", "gzip"), ("lz4", "lz4")])
def test_the_format_s_own_tool_gives_the_exact_message(bench: Bench, codec: str, tool: str) -> None:
    blobs = bench.blobs(codec)
    for octets in (10_000, 2 * MIB + 5):
        body = message(octets)
        stored = bench.write(blobs, body)
        path = bench.directory / stored.key.rpartition("/")[2]
        path.write_bytes(bench.store.read(stored.key, 0, stored.stored_octets))
        try:
            done = subprocess.run([tool, "-dc", str(path)], capture_output=True, check=True, timeout=60)
        except FileNotFoundError:
            pytest.skip(f"no {tool} program here")
        assert done.stdout == body
