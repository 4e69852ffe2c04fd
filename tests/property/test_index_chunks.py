"""Chunks of rendered metadata: what is packed comes back, and what is damaged never passes for what was packed."""

from __future__ import annotations

import json
import zlib
from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.index.chunks import (
    ENVELOPES,
    HEADERS,
    PARTS,
    SEARCH,
    ChunkRef,
    ColumnRef,
    Damaged,
    Values,
    pack_column,
    unpack_column,
)
from lightmail.mime.fields import FieldList, Fields, cut_fields
from lightmail.model import ObjectId
from lightmail.store.blobs import SearchColumns

LIST = FieldList(frozenset([b"subject", b"from"]))

octets = st.binary(max_size=40)
# The store holds UTF-8: no lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=12)
values_of: dict[str, st.SearchStrategy[Any]] = {
    ENVELOPES: st.tuples(octets, octets),
    HEADERS: st.tuples(octets, octets),
    PARTS: octets,
    SEARCH: st.builds(
        SearchColumns, st.none() | st.integers(-(10**16), 10**16), texts, texts, texts, texts, texts, texts, texts
    ),
    LIST.name or "": octets,
}
ids = st.integers(1, 1 << 62).map(ObjectId)


@st.composite
def columns(draw: st.DrawFn) -> tuple[array[int], Values, ColumnRef, bytes]:
    name = draw(st.sampled_from(sorted(values_of)))
    objects = array("Q", sorted(draw(st.sets(ids, min_size=1, max_size=12))))
    present = draw(st.sets(st.sampled_from(objects)))
    values = {ObjectId(of): draw(values_of[name]) for of in present}
    packed, unpacked = pack_column(name, objects, values)
    return objects, values, ColumnRef(name, "key", 7, len(packed), unpacked, zlib.crc32(packed)), packed


@given(columns())
def test_a_column_comes_back_as_it_was(column: tuple[array[int], Values, ColumnRef, bytes]) -> None:
    objects, values, ref, packed = column
    assert unpack_column(objects, ref, packed) == values


@given(columns(), st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_flipped_octet_is_noticed(column: tuple[array[int], Values, ColumnRef, bytes], place: int, bits: int) -> None:
    objects, _, ref, packed = column
    damaged = bytearray(packed)
    damaged[place % len(packed)] ^= bits
    with pytest.raises(Damaged):
        unpack_column(objects, ref, bytes(damaged))


@given(columns(), st.binary(max_size=5), st.integers(0, 1 << 20))
def test_what_is_cut_off_or_goes_on_is_noticed(
    column: tuple[array[int], Values, ColumnRef, bytes], more: bytes, place: int
) -> None:
    objects, values, ref, packed = column
    with pytest.raises(Damaged):
        unpack_column(objects, ref, packed[: place % len(packed)])
    if more:
        with pytest.raises(Damaged):
            unpack_column(objects, ref, packed + more)
    assert unpack_column(objects, ref, packed) == values


@given(columns(), st.binary(max_size=60), st.booleans())
def test_a_wrong_reference_gives_absence_at_most(
    column: tuple[array[int], Values, ColumnRef, bytes], rubbish: bytes, resized: bool
) -> None:
    """Whatever passes the checksum is unpacked without any other trouble, or is damage."""
    objects, _, ref, packed = column
    found = rubbish if resized else packed
    lying = replace(ref, octets=len(found), crc=zlib.crc32(found), unpacked=ref.unpacked + (not resized))
    with pytest.raises(Damaged):
        unpack_column(objects, lying, found)


@given(st.lists(st.builds(ColumnRef, st.text(max_size=9), st.text(max_size=9), *[st.integers(0, 1 << 40)] * 4)))
def test_references_are_described_in_json(refs: list[ColumnRef]) -> None:
    chunk = ChunkRef(array("Q", [1, 5]), 3, tuple(refs))
    assert ChunkRef.of(json.loads(json.dumps(chunk.described())), chunk.objects) == chunk


names = st.sampled_from([b"from", b"to", b"subject", b"x-odd", b'100%d"', b"", b"a b", b"\xff", b"a:b", b"x" * 300])
headers = st.lists(
    st.tuples(st.sampled_from([b"From", b"to", b"Subject", b"X-Odd", b'100%d"', b"x" * 300]), octets), max_size=6
).map(lambda fields: b"".join(b"%b: %b\r\n" % (name, value.hex().encode()) for name, value in fields) + b"\r\n")


@given(st.frozensets(names, max_size=4), st.booleans(), headers)
def test_a_list_that_has_a_name_is_found_by_it(wanted: frozenset[bytes], inverted: bool, header: bytes) -> None:
    fields = FieldList(wanted, inverted)
    if fields.name is not None:
        assert FieldList.named(fields.name) == fields
    packed = Fields(header).pack()
    assert fields.cut(header, packed) == cut_fields(header, packed, wanted, inverted)


@given(st.text(max_size=20) | st.sampled_from([ENVELOPES, HEADERS, PARTS, SEARCH, "only", "not  a", "only b a"]))
def test_other_names_are_no_lists(name: str) -> None:
    found = FieldList.named(name)
    assert found is None or found.name == name
