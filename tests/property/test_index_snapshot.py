"""Roots of snapshots: they come back as they were written, and what harms one is noticed."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.index.chunks import ChunkRef, ColumnRef
from lightmail.index.columns import Columns
from lightmail.index.snapshot import Damaged, Root, pack, unpack
from lightmail.model import MailboxId
from lightmail.objects import keys

COUNTER = st.integers(0, (1 << 53) - 1)
ROWS = st.lists(
    st.tuples(
        st.integers(1, (1 << 32) - 2),
        COUNTER,
        st.integers(0, (1 << 63) - 1),
        st.integers(0, (1 << 32) - 1),
        st.integers(-(1 << 50), 1 << 50),
        COUNTER,
    ),
    unique_by=lambda row: row[0],
    max_size=30,
)
NAME = st.binary(min_size=0, max_size=20)
COLUMN = st.builds(ColumnRef, st.text(max_size=10), st.just("indexes/aa/x.chunk"), COUNTER, COUNTER, COUNTER, COUNTER)
CHUNK = st.builds(
    ChunkRef,
    st.lists(COUNTER, min_size=1, max_size=5).map(lambda ids: array("Q", sorted(ids))),
    st.integers(0, 9),
    st.lists(COLUMN, max_size=3).map(tuple),
)


@st.composite
def roots(draw: st.DrawFn) -> Root:
    columns = Columns()
    columns.extend([(0, *row[:4], row[4] * 1_000_000, row[5]) for row in sorted(draw(ROWS))])
    columns.sent_days.extend(draw(st.lists(st.integers(-(1 << 31), 1 << 30), max_size=len(columns))))
    return Root(
        account=draw(st.binary(min_size=16, max_size=16)),
        mailbox=MailboxId(draw(COUNTER)),
        uidnext=(1 << 32) - 1,
        keywords=tuple(draw(st.lists(st.tuples(st.integers(16, 62), NAME), max_size=5))),
        columns=columns,
        chunks=tuple(draw(st.lists(CHUNK, max_size=3))),
        **{
            name: draw(COUNTER)
            for name in ("epoch", "uidvalidity", "modseq", "recent_uid", "keyword_version", "unseen", "octets")
        },
    )


def shown(root: Root) -> dict[str, Any]:
    found = {field.name: getattr(root, field.name) for field in fields(root)}
    return {**found, "columns": [list(column) for column in (*root.columns.all, root.columns.sent_days)]}


@given(roots())
def test_a_root_comes_back_as_it_was_written(root: Root) -> None:
    packed = pack(root)
    assert shown(unpack(packed.data, packed.sha256)) == shown(root)


@given(roots(), st.data())
def test_a_root_with_a_changed_octet_is_damaged(root: Root, data: st.DataObject) -> None:
    packed = pack(root)
    octets = bytearray(packed.data)
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        unpack(bytes(octets), packed.sha256)


@given(roots(), st.data())
def test_what_was_never_a_root_is_damaged_though_its_digest_is_right(root: Root, data: st.DataObject) -> None:
    """No exception but this one, and no memory without bound, whatever is read."""
    octets = bytearray(pack(root).data)
    kind = data.draw(st.sampled_from(["cut", "changed", "other"]))
    if kind == "cut":
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    elif kind == "changed":
        # In the head and the directory: a frame that is changed is no frame, or another root.
        octets[data.draw(st.integers(0, 20))] ^= data.draw(st.integers(1, 255))
    else:
        octets = bytearray(data.draw(st.binary(max_size=100)))
    with pytest.raises(Damaged):
        unpack(bytes(octets), hashlib.sha256(octets).digest())


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: directory.pop("modseq"),
        lambda directory: directory["columns"].append(8),
        lambda directory: directory["columns"].__setitem__(0, 0),
        lambda directory: directory["columns"].__setitem__(0, 1 << 40),
        lambda directory: directory.__setitem__("account", "x"),
        lambda directory: directory.__setitem__("chunks", [[5, [1, []]]]),
        lambda directory: directory.__setitem__("keywords", [1]),
    ],
)
def test_a_directory_that_does_not_fit_is_damaged(change: Any) -> None:
    columns = Columns()
    columns.extend([(0, uid, 1, 0, 100, 0, uid) for uid in range(1, 10)])
    data = pack(Root(b"a" * 16, MailboxId(1), 1, 1, 10, 1, 0, 0, (), 9, 900, columns)).data
    length = int.from_bytes(data[8:12], "little")
    directory = json.loads(data[12 : 12 + length])
    change(directory)
    text = json.dumps(directory).encode()
    octets = data[:8] + len(text).to_bytes(4, "little") + text + data[12 + length :]
    with pytest.raises(Damaged):
        unpack(octets, hashlib.sha256(octets).digest())


@pytest.mark.parametrize(("uids", "uidnext"), [([1, 3, 2], 4), ([1, 1], 2), ([1, 2], 2), ([0, 1], 2)])
def test_uids_that_cannot_be_are_never_written(uids: list[int], uidnext: int) -> None:
    columns = Columns()
    columns.extend([(0, uid, 1, 0, 100, 0, uid) for uid in uids])
    with pytest.raises(ValueError, match="ascend"):
        pack(Root(b"a" * 16, MailboxId(1), 1, 1, uidnext, 1, 0, 0, (), 0, 0, columns))


@given(st.sampled_from(keys.INDEX_SUFFIXES), st.integers(0, (1 << 47) * 1000))
def test_keys_tell_when_they_were_made(suffix: str, now_us: int) -> None:
    key = keys.new_index_key(suffix, now_us)
    assert keys.is_index_key(key)
    assert not keys.is_object_key(key)
    assert keys.born_us(key) == now_us
    assert not keys.is_index_key(keys.new_key("zstd", now_us))
    assert not keys.is_index_key(key + "x")
