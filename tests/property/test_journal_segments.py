"""Segments of the journal: they come back as they were written, and what harms one is noticed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.jobs.journal.segments import (
    Damaged,
    Head,
    SegmentWriter,
    first_key,
    new_key,
    number_of,
    read_segment,
)

HEAD = Head(shard=0, number=7, fence=3, epoch=2, taken_us=1_700_000_000_000_000, mailbox_ids=9)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["rows", "mailbox", "ä"]), st.text() | st.integers()), max_size=20)


def written(records: list[dict[str, Any]]) -> bytes:
    segment = SegmentWriter(HEAD)
    for record in records:
        segment.add(record)
    return segment.finish()


def readable(octets: bytes) -> tuple[list[Any], bool]:
    """The records that can be read, and whether these are all."""
    read: list[Any] = []
    try:
        for record in read_segment(octets):
            read.append(record)  # what came before the damage counts
    except Damaged:
        return read, False
    return read, True


@given(RECORDS)
def test_a_segment_comes_back(records: list[dict[str, Any]]) -> None:
    head, *rest = read_segment(written(records))
    assert Head.of(head) == HEAD
    assert rest == records


@settings(max_examples=60)
@given(st.data())
def test_a_harmed_segment_gives_what_stands_before_the_harm_and_says_so(data: st.DataObject) -> None:
    records = [{"rows": ["x" * 40_000, number]} for number in range(12)]
    octets = bytearray(written(records))
    place = data.draw(st.integers(0, len(octets) - 1))
    if data.draw(st.booleans()):
        del octets[place:]
    else:
        octets[place] ^= data.draw(st.integers(1, 255))
    read, is_whole = readable(bytes(octets))
    # An octet may be one that changes nothing, such as an unused bit of a frame's header.
    assert read == [HEAD.record(), *records][: None if is_whole else len(read)]


def test_frames_that_are_whole_are_read_from_a_segment_that_is_cut() -> None:
    records = [{"rows": ["x", number, "y" * 50_000]} for number in range(20)]
    read, is_whole = readable(written(records)[:-40])
    assert not is_whole
    assert len(read) > 15


@given(st.binary(max_size=200))
def test_what_is_no_segment_is_damaged(octets: bytes) -> None:
    with pytest.raises(Damaged):
        list(read_segment(octets))


def test_a_newer_format_is_not_guessed_at() -> None:
    lines = b'{"format":2,"shard":0}\n{"end":1}\n'
    with pytest.raises(Damaged, match="its format is 2, not 1"):
        list(read_segment(zstandard.ZstdCompressor().compress(lines)))


def test_keys_list_in_the_order_of_numbers() -> None:
    keys = [new_key(Head(0, number, 1, 1, 1, 1)) for number in (1, 2, 10, 99_999)]
    assert keys == sorted(keys)
    assert [number_of(key) for key in keys] == [1, 2, 10, 99_999]
    assert first_key(0, 10) < keys[2]
    assert keys[1] < first_key(0, 10)
    assert number_of("journal/0/notes.txt") is None


def test_the_tool_everybody_has_reads_it(tmp_path: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd: install Debian's zstd")
    path = tmp_path / "segment.jsonl.zst"
    path.write_bytes(written([{"mailbox": {"name": "Entwürfe"}}]))
    done = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[1:] == ['{"mailbox":{"name":"Entwürfe"}}', '{"end":2}']
