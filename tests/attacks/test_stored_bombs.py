"""Whoever can write to the bucket puts bombs under known keys: they are damaged objects, and cost next to nothing."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import lz4.frame
import pytest

from lightmail.config import StorageConfig
from lightmail.errors import Corruption
from lightmail.jobs.recover.examine import examine as recovered
from lightmail.model import BlobRef
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.codecs import READERS, SEEKABLE_MAGIC
from lightmail.objects.examining import Verdict, examine, own_header
from lightmail.objects.keys import new_key
from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection

MIB = 1 << 20


@cache
def zstd_bomb(claimed: int | None) -> bytes:
    """A frame of 1 MiB, of blocks that each repeat one octet 128 KiB long: 32 GiB. `claimed`: the size it states."""
    head = b"\x00\x58" if claimed is None else b"\xe0" + struct.pack("<Q", claimed)
    return b"\x28\xb5\x2f\xfd" + head + _repeating_blocks(MIB // 4)


def _repeating_blocks(count: int) -> bytes:
    repeats = (128 << 10) << 3 | 1 << 1  # RFC 8878 section 3.1.1.2; the lowest bit marks the last block
    return (repeats.to_bytes(3, "little") + b"A") * (count - 1) + (repeats | 1).to_bytes(3, "little") + b"A"


@cache
def gzip_bomb(claimed: int | None) -> bytes:
    """A member of 1 MiB that expands to a gigabyte; a member states its size at its end only."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    trailer = struct.pack("<II", 0, (claimed or 0) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + block * 1000 + b"\x03\x00" + trailer


@cache
def lz4_bomb(claimed: int | None) -> bytes:
    """A frame of 1 MiB whose blocks expand to 4 MiB each, 256 MiB in all."""
    compressor = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB, block_linked=False)
    head = compressor.begin(claimed or 0)
    block = compressor.compress(bytes(4 * MIB))
    return bytes(head + block * (MIB // len(block)) + struct.pack("<I", 0))


BOMBS: dict[str, Callable[[int | None], bytes]] = {
    "zstd": zstd_bomb,
    "none": zstd_bomb,
    "gzip": gzip_bomb,
    "lz4": lz4_bomb,
}
# What a frame or header says of its size: nothing, what the row says, a tebibyte.
CLAIMS = [None, 100, 1 << 40]


@contextmanager
def cheaply(most_octets: int = 16 * MIB, most_seconds: float = 1.0) -> Iterator[None]:
    """What is done within takes little memory and processor time."""
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
    finally:
        seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < most_octets
    assert seconds < most_seconds


def header(codec: str, octets: object, **more: object) -> bytes:
    """An enclosure that says so of its object."""
    fields = {"format": 1, "octets": octets, "sha256": "00" * 32, "internaldate_us": 0, "owners": [], **more}
    return READERS[codec].enclose_header(json.dumps(fields).encode())


@pytest.fixture
def store() -> ObjectStore:
    return open_store(StorageConfig(driver="memory"), None)


def put(store: ObjectStore, codec: str, stored: bytes) -> str:
    key = new_key(codec, 1_700_000_000_000_000)
    store.put(key, stored)
    return key


@pytest.mark.parametrize("claimed", CLAIMS)
@pytest.mark.parametrize("codec", BOMBS)
def test_a_frame_expands_to_what_its_row_says_or_not_at_all(codec: str, claimed: int | None) -> None:
    bomb = BOMBS[codec](claimed)
    with cheaply(), pytest.raises(Corruption):
        READERS[codec].expand(bomb, 100)


@pytest.mark.parametrize("octets", [100, 0, -1, -2, 1 << 40, 1 << 70, 1e400, 0.5, "x", None, [], True])
@pytest.mark.parametrize("codec", BOMBS)
def test_an_object_that_lies_about_itself_is_damaged(store: ObjectStore, codec: str, octets: object) -> None:
    key = put(store, codec, header(codec, octets) + BOMBS[codec](100))
    size = store.size(key) or 0
    ref = BlobRef(b"u" * 16, key, 100, size, codec, bytes(32), b"")
    with cheaply():
        assert recovered(store, key).trouble == "damaged"
        assert examine(store, ref).verdict is Verdict.DAMAGED


@pytest.mark.parametrize(
    "more",
    [
        {"internaldate_us": 1 << 62},
        {"internaldate_us": 1e999},
        {"sha256": "00"},
        {"sha256": "00" * MIB},
        {"owners": [["00", 1]]},
        {"owners": [["00" * 16, -1]]},
        {"owners": [["00" * 16, 1 << 64]]},
        {"owners": [[["00"], 1]]},
        {"owners": {"a": 1}},
        {"format": 2},
    ],
)
def test_what_no_row_can_hold_is_not_read_from_a_bucket(store: ObjectStore, more: dict[str, object]) -> None:
    key = put(store, "zstd", header("zstd", 3, **more) + READERS["zstd"].compress(b"abc"))
    assert own_header(store, BlobRef(b"u" * 16, key, 3, store.size(key) or 0, "zstd", bytes(32), b"")) is None
    assert recovered(store, key).trouble == "damaged"


@pytest.mark.parametrize("depth", [b"[" * MIB, b'{"a":' * MIB, b"9" * MIB], ids=["lists", "objects", "digits"])
def test_a_header_that_is_a_bomb_itself(store: ObjectStore, depth: bytes) -> None:
    key = put(store, "zstd", READERS["zstd"].enclose_header(depth))
    with cheaply(most_octets=64 * MIB, most_seconds=3):
        assert recovered(store, key).trouble == "damaged"


def seek_table(entries: bytes, count: int, magic: int = SEEKABLE_MAGIC) -> bytes:
    return READERS["zstd"].enclose_table(entries + struct.pack("<IBI", count, 0, magic))


TABLES = {
    "more entries than there are octets": seek_table(b"", 0xFFFFFFFF),
    "none": seek_table(b"", 0),
    "a header of 4 GiB": seek_table(struct.pack("<II", 0xFFFFFFFF, 0) + struct.pack("<II", 1, MIB) * 3, 4),
    "frames of 4 GiB": seek_table(struct.pack("<II", 0xFFFFFFFF, MIB) * 4, 4),
    "frames of nothing": seek_table(bytes(8 * 4), 4),
    "many frames of nothing": seek_table(bytes(8 * 60_000), 60_000),
    "a million frames": seek_table(bytes(8 * 1_000_000), 1_000_000),
    "another magic": seek_table(struct.pack("<II", 1, 1), 1, 1),
    "skippable, and longer than the object": struct.pack("<II", 0x184D2A5E, 0xFFFFFFF0),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("octets", [3 * MIB, 1 << 40])
def test_a_table_of_frames_that_lies(store: ObjectStore, name: str, octets: int) -> None:
    front = header("zstd", octets)
    stored = front + zstd_bomb(MIB) + TABLES[name]
    key = put(store, "zstd", stored)
    frames = struct.pack(">5I", MIB, len(front), len(stored) - len(front), 1, 0xFFFFFFFF)
    with cheaply(most_octets=48 * MIB):
        assert recovered(store, key).trouble == "damaged"
        verdict = examine(store, BlobRef(b"u" * 16, key, 3 * MIB, len(stored), "zstd", bytes(32), frames)).verdict
    assert verdict is Verdict.DAMAGED


def test_an_object_of_skippable_frames_only(store: ObjectStore) -> None:
    skippable = struct.pack("<II", 0x184D2A50, 0xFFFFFFFF)
    for stored in (skippable, skippable * MIB, header("zstd", 100) + skippable * 1000):
        with cheaply(), pytest.raises(Corruption):
            READERS["zstd"].expand(memoryview(stored)[8:], 100)
        key = put(store, "zstd", stored)
        with cheaply(most_octets=64 * MIB):
            assert recovered(store, key).trouble == "damaged"


@pytest.mark.parametrize("large", [False, True], ids=["one frame", "several"])
@pytest.mark.parametrize("claimed", [None, MIB])
def test_a_client_is_told_of_damage_and_goes_on(tmp_path: Path, large: bool, claimed: int | None) -> None:
    world = ImapWorld(tmp_path).open()
    try:
        world.add_account("alice@example.org", "secret")
        client = Connection(world.port)
        body = b"Subject: x\r\n\r\n" + bytes(3 * MIB if large else 100).replace(b"\0", b"y")
        client.send(b"a LOGIN alice@example.org secret\r\nb APPEND INBOX {%d+}\r\n%b\r\n" % (len(body), body))
        while not client.line().startswith(b"b OK"):
            pass
        (key,) = world.store.keys("emails")
        stored = world.store.read(key, 0, 4 * MIB)
        front = READERS["zstd"].header_extent(stored)[2]
        world.store.put(key, stored[:front] + zstd_bomb(claimed if large else len(body)))
        with cheaply(most_octets=32 * MIB, most_seconds=3):
            client.send(b"c SELECT INBOX\r\nd FETCH 1 BODY.PEEK[]\r\ne FETCH 1 (UID ENVELOPE)\r\n")
            lines = []
            while not lines or not lines[-1].startswith((b"e ", b"* BYE")):
                lines.append(client.line())
        assert any(line.startswith(b"d NO [CORRUPTION]") for line in lines), lines
        assert lines[-1].startswith(b"e OK")
        with suppress(OSError):
            client.close()
    finally:
        world.close()
