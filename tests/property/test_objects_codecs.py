"""Codecs, containers, headers and keys: what is packed unpacks to the same, and nothing else unpacks at all."""

from __future__ import annotations

import io
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.errors import Corruption
from lightmail.model import MailboxId
from lightmail.objects.codecs import READERS, open_codec
from lightmail.objects.container import Frames, describe, expand_small, seek_table, small_object
from lightmail.objects.header import ObjectHeader
from lightmail.objects.keys import born_us, new_key, stem
from lightmail.objects.readers import MemorySegment, TemporaryFile, join

NAMES = ["zstd", "gzip", "lz4", "none"]
codecs = st.sampled_from(NAMES)
# Octets that compress, and octets that do not.
octets = st.one_of(
    st.binary(max_size=2000), st.builds(lambda piece, n: piece * n, st.binary(max_size=20), st.integers(0, 500))
)
headers = st.builds(
    ObjectHeader,
    octets=st.integers(0, 1 << 20),
    sha256=st.binary(min_size=32, max_size=32),
    internaldate_us=st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    owners=st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 1 << 62).map(MailboxId)), max_size=200
    ).map(tuple),
    withheld=st.booleans(),
)


@given(codecs, st.integers(1, 22), octets)
@settings(deadline=None)
def test_a_frame_expands_to_what_it_was_made_of(name: str, level: int, data: bytes) -> None:
    assert READERS[name].expand(open_codec(name, level).compress(data), len(data)) == data


@given(codecs, octets, st.integers(-3, 3).filter(bool))
def test_a_frame_of_another_length_is_corruption(name: str, data: bytes, off: int) -> None:
    with pytest.raises(Corruption):
        READERS[name].expand(READERS[name].compress(data), max(0, len(data) + off) if off > 0 or data else 1)


@given(codecs, octets, st.data())
@settings(deadline=None)
def test_a_damaged_frame_never_gives_other_octets(name: str, data: bytes, draw: st.DataObject) -> None:
    frame = READERS[name].compress(data)
    at, bit = draw.draw(st.integers(0, len(frame) - 1)), draw.draw(st.integers(0, 7))
    damaged = frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]
    with suppress(Corruption):
        assert READERS[name].expand(damaged, len(data)) == data


@given(codecs, octets.filter(bool), st.data())
def test_a_frame_cut_short_or_with_more_behind_it_is_corruption(name: str, data: bytes, draw: st.DataObject) -> None:
    frame = READERS[name].compress(data)
    for wrong in (frame[: draw.draw(st.integers(0, len(frame) - 1))], frame + b"\0", frame + frame):
        with pytest.raises(Corruption):
            READERS[name].expand(wrong, len(data))


@given(codecs, st.binary(max_size=300), st.integers(0, 5000))
def test_no_octets_whatever_make_a_reader_fail_otherwise(name: str, junk: bytes, length: int) -> None:
    for attempt in (
        lambda: READERS[name].expand(junk, length),
        lambda: expand_small(READERS[name], junk, length),
        lambda: describe(READERS[name], len(junk), lambda start, stop: junk[start:stop]),
        lambda: ObjectHeader.unpack(junk),
        lambda: Frames.unpack(junk),
    ):
        with suppress(Corruption):
            attempt()


@given(codecs, headers, octets)
@settings(deadline=None)
def test_a_small_object_holds_its_blob_and_its_header(name: str, header: ObjectHeader, data: bytes) -> None:
    stored = small_object(READERS[name], header, data)
    assert expand_small(READERS[name], stored, len(data)) == data
    assert describe(READERS[name], len(stored), lambda start, stop: stored[start:stop]) == (header, b"")


@given(codecs, headers, st.lists(st.integers(1, 1 << 20), min_size=2, max_size=50))
def test_a_large_object_tells_where_its_frames_are(name: str, header: ObjectHeader, lengths: list[int]) -> None:
    codec = READERS[name]
    large = ObjectHeader((len(lengths) - 1 << 20) + 1, header.sha256, header.internaldate_us, header.owners)
    front = codec.enclose_header(large.pack())
    frames = Frames.of(len(front), lengths)
    end = seek_table(codec, frames, large.octets)
    total = frames.offsets[-1] + len(end)

    def read(start: int, stop: int) -> bytes:
        """The object with its frames left blank, as of no interest here."""
        whole = front[start:stop]
        whole += bytes(max(0, min(stop, frames.offsets[-1]) - max(start, len(front))))
        return whole + end[max(0, start - frames.offsets[-1]) : max(0, stop - frames.offsets[-1])]

    assert describe(codec, total, read) == (large, frames.pack())
    assert Frames.unpack(frames.pack()) == frames


@given(headers)
def test_headers_come_back(header: ObjectHeader) -> None:
    assert ObjectHeader.unpack(header.pack()) == header
    assert b"\0" not in header.pack()


@given(codecs, st.integers(0, (1 << 48) * 1000 - 1))
def test_a_key_keeps_its_moment_to_the_microsecond(name: str, now_us: int) -> None:
    key = new_key(name, now_us)
    assert born_us(key) == now_us
    assert key.startswith(f"emails/{stem(key)[-2:]}/{stem(key)}.eml")


@given(codecs, st.integers(0, 1 << 52), st.integers(1, 1 << 40))
def test_keys_list_in_the_order_of_their_birth(name: str, now_us: int, later_us: int) -> None:
    assert stem(new_key(name, now_us)) < stem(new_key(name, now_us + later_us))


@given(st.text(max_size=60))
def test_what_is_no_key_was_never_born(text: str) -> None:
    with suppress(Corruption):
        assert born_us(text) >= 0


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 400))))
@settings(deadline=None)
def test_joined_segments_read_like_their_sum(pieces: list[bytes], reads: list[tuple[int, int]]) -> None:
    file = TemporaryFile(None)
    file.append(b"in a file")
    segments = [*map(MemorySegment, pieces), file, MemorySegment(b"behind")]
    expected = io.BytesIO(b"".join(pieces) + b"in a file" + b"behind")
    with join(segments) as joined:
        assert joined.read() == expected.getvalue()
        for at, count in reads:
            assert joined.seek(at) == expected.seek(at)
            assert joined.read(count) == expected.read(count)
        assert joined.seek(0, os.SEEK_END) == len(expected.getvalue())
