"""What examining an object tells, and that damage anywhere in it is seen."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import pytest

from lightmail.config import StorageConfig
from lightmail.model import BlobRef, MailboxId
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.codecs import READERS
from lightmail.objects.container import FRAME_OCTETS, Frames
from lightmail.objects.examining import Examined, Verdict, examine
from lightmail.objects.writing import BlobWriter

CODECS = ["zstd", "none", "gzip", "lz4"]
OWNERS = [(bytes(range(16)), MailboxId(7))]
SMALL = b"From: a@example.org\r\nSubject: octets\r\n\r\n" + b"A line of a message.\r\n" * 20
LARGE = SMALL + b"".join(b"%08d another line\r\n" % number for number in range(2 * FRAME_OCTETS // 23))
# How many octets of a frame may be others without its expanding to others.
MEANINGLESS = {"zstd": 0, "none": 0, "gzip": 9, "lz4": 1}


def written(codec: str, message: bytes) -> tuple[ObjectStore, BlobRef]:
    """A store with one object, and its row."""
    store = open_store(StorageConfig(driver="memory"), None)
    blob = BlobWriter(store, codec, 3, None).write(
        io.BytesIO(message), len(message), now_us=1_700_000_000_000_000, internaldate_us=5, owners=OWNERS
    )
    ref = BlobRef(b"", blob.key, blob.octets, blob.stored_octets, blob.codec, blob.sha256, blob.frames)
    return store, ref


def after(store: ObjectStore, ref: BlobRef, stored: bytes) -> Examined:
    """What is found when the object is `stored` instead."""
    store.put(ref.key, stored)
    return examine(store, ref)


def flipped(stored: bytes, place: int, bits: int) -> bytes:
    return stored[:place] + bytes([stored[place] ^ bits]) + stored[place + 1 :]


@pytest.mark.parametrize("message", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("codec", CODECS)
def test_an_object_as_it_was_written_is_sound(codec: str, message: bytes) -> None:
    store, ref = written(codec, message)
    found = examine(store, ref)
    assert found.verdict is Verdict.SOUND
    assert found.header is not None
    assert (found.header.octets, found.header.internaldate_us) == (len(message), 5)
    assert found.rendering is not None


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_octet_of_a_small_object_is_looked_at(codec: str, bits: int) -> None:
    store, ref = written(codec, SMALL)
    stored = store.read(ref.key, 0, ref.stored_octets)
    frame = READERS[codec].header_extent(stored)[2]
    unseen = []
    for place in range(len(stored)):
        found = after(store, ref, flipped(stored, place, bits))
        if found.verdict is not Verdict.SOUND:
            continue
        assert found.header is not None
        # A date or an owner that reads as another one is held against the rows, by whoever has them.
        if (found.header.internaldate_us, list(found.header.owners)) == (5, OWNERS):
            unseen.append(place)
    # Within the frame there are octets that change nothing of what it expands to: gzip's time of making, padding.
    assert [place for place in unseen if place < frame] == []
    assert len(unseen) <= MEANINGLESS[codec]


@pytest.mark.parametrize("codec", CODECS)
def test_damage_in_every_part_of_a_large_object_is_seen(codec: str) -> None:
    store, ref = written(codec, LARGE)
    offsets = Frames.unpack(ref.frames).offsets
    stored = store.read(ref.key, 0, ref.stored_octets)
    header = {0, 4, 8, offsets[0] // 2, offsets[0] - 1}
    for place in sorted(header):
        assert after(store, ref, flipped(stored, place, 0xFF)).verdict is Verdict.MISDESCRIBED, place
    for start, stop in pairwise(offsets):
        for place in (start, start + 1, (start + stop) // 2, stop - 1):
            assert after(store, ref, flipped(stored, place, 0xFF)).verdict is Verdict.DAMAGED, place
    for place in range(offsets[-1], len(stored)):
        assert after(store, ref, flipped(stored, place, 0xFF)).verdict is Verdict.MISDESCRIBED, place


@pytest.mark.parametrize("message", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("codec", CODECS)
def test_an_object_that_is_too_short_or_too_long_is_seen(codec: str, message: bytes) -> None:
    store, ref = written(codec, message)
    stored = store.read(ref.key, 0, ref.stored_octets)
    assert after(store, ref, stored[:-1]).verdict in (Verdict.DAMAGED, Verdict.MISDESCRIBED)
    assert after(store, ref, stored[: len(stored) // 2]).verdict is Verdict.DAMAGED
    assert after(store, ref, stored + b"x").verdict is Verdict.MISDESCRIBED
    assert after(store, ref, b"").verdict is Verdict.DAMAGED
    store.delete([ref.key])
    assert examine(store, ref).verdict is Verdict.ABSENT


@pytest.mark.parametrize("message", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("column", ["octets", "stored_octets", "sha256", "frames", "codec"])
def test_a_row_that_is_wrong_about_a_sound_object_is_told_the_truth(codec: str, message: bytes, column: str) -> None:
    store, ref = written(codec, message)
    wrong = {
        "octets": replace(ref, octets=ref.octets + 1),
        "stored_octets": replace(ref, stored_octets=ref.stored_octets + 1),
        "sha256": replace(ref, sha256=bytes(32)),
        "frames": replace(ref, frames=ref.frames[:-4] if ref.frames else bytes(12)),
        "codec": replace(ref, codec="lz4" if codec != "lz4" else "zstd"),
    }[column]
    found = examine(store, wrong)
    assert found.verdict is Verdict.ROW_DIFFERS
    assert found.rendering is not None
    assert column in found.detail
    truth = replace(ref, codec="zstd") if codec == "none" and column == "codec" else ref
    assert found.truth == truth


def test_a_row_that_claims_too_much_does_not_make_a_reader_take_it_in() -> None:
    store, ref = written("zstd", SMALL)
    assert examine(store, replace(ref, octets=1 << 60)).verdict is Verdict.ROW_DIFFERS
    assert examine(store, replace(ref, stored_octets=1 << 60)).verdict is Verdict.ROW_DIFFERS
    assert examine(store, replace(ref, frames=b"\xff" * 1200)).verdict is Verdict.ROW_DIFFERS
