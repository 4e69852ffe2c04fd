"""Chunks: rendered metadata of some messages of a mailbox, column by column, in objects under ``indexes/``.

A chunk covers a fixed set of objects, and what is rendered of an object never changes within a render version. So a
chunk is never out of date: it goes from snapshot to snapshot, until its messages are gone or it is merged into another.
It has no head of its own: where its columns are, and what their octets must be, stands in the root of the snapshot
(:class:`ChunkRef`). One range read gets one column, and what is not exactly what was written is not used.

A column is one zstd frame. Unpacked it is, integers little-endian: the wall clocks of the Date fields as int64 (only
where the column has them), the lengths of the values as uint32, then the values one after another. A value of several
parts is several such values, all first parts before all second ones. The length _ABSENT says that there is no value:
for objects without a rendering, with one of another version, or with more of it than is worth keeping here.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from io import BytesIO, StringIO
from itertools import chain, compress
from typing import Any, AnyStr, Final, TypeAlias, cast

import zstandard

from lightmail.mime.fields import FieldList
from lightmail.model import ObjectId
from lightmail.store.blobs import SearchColumns

# The names of the columns; any other is that of a field list, whose answers the column has.
ENVELOPES: Final = "envelopes"
HEADERS: Final = "headers"
PARTS: Final = "parts"
SEARCH: Final = "search columns"

# The values of a chunk's objects, without those absent.
Values: TypeAlias = Mapping[ObjectId, Any]

# A chunk as JSON can hold it: its render version, and the fields of each ColumnRef.
Described: TypeAlias = tuple[int, Sequence[Sequence[Any]]]

# Field lists whose answers the chunks of a mailbox have.
LISTS_MAX: Final = 3
# What a column takes in memory unpacked, at most; writers close a chunk long before.
COLUMN_OCTETS_BOUND: Final = 32 << 20

_LEVEL: Final = 3
_ABSENT: Final = 0xFFFFFFFF
_NO_VALUE: Final = -(1 << 63)
_NO_DATE: Final = _NO_VALUE + 1


class Damaged(Exception):
    """The octets of a column are not those that were written."""


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """Where a column is: `octets` from `start` on of the object `key`, with their CRC-32; `unpacked` of them inside."""

    name: str
    key: str
    start: int
    octets: int
    unpacked: int
    crc: int


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """What a root tells of a chunk: whose metadata it has (ObjectIds, ascending) and where its columns are."""

    objects: array[int]
    render_version: int
    columns: tuple[ColumnRef, ...]

    @property
    def keys(self) -> set[str]:
        """The keys of the objects that its columns are in."""
        return {column.key for column in self.columns}

    @property
    def lists(self) -> list[FieldList]:
        """The field lists whose answers it has."""
        found = (FieldList.named(column.name) for column in self.columns)
        return [fields for fields in found if fields is not None]

    def column(self, name: str) -> ColumnRef | None:
        """Where a column is, None where the chunk has none of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def described(self) -> Described:
        """All but the objects, as JSON can hold it."""
        return self.render_version, [astuple(column) for column in self.columns]

    @classmethod
    def of(cls, described: Described, objects: array[int]) -> ChunkRef:
        """What was described so. ValueError or TypeError for what is no description."""
        version, columns = described
        return cls(objects, version, tuple(ColumnRef(*column) for column in columns))


def pack_column(name: str, objects: Sequence[int], values: Values) -> tuple[bytes, int]:
    """The octets of a column, and how many they are unpacked. ValueError for more than COLUMN_OCTETS_BOUND of them."""
    data = _CODECS.get(name, _OCTETS).encode(cast("Sequence[ObjectId]", objects), values)
    if len(data) > COLUMN_OCTETS_BOUND:
        raise ValueError("a column of too many octets")
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data), len(data)


def unpack_column(objects: Sequence[int], column: ColumnRef, packed: bytes) -> Values:
    """The values of a chunk's `objects` in a column. Raises Damaged where `packed` is not what was written."""
    what = f"column {column.name!r} in {column.key}"
    if len(packed) != column.octets or zlib.crc32(packed) != column.crc:
        raise Damaged(what)
    try:
        if column.unpacked > COLUMN_OCTETS_BOUND or zstandard.frame_content_size(packed) != column.unpacked:
            raise Damaged(what)
        data = zstandard.ZstdDecompressor().decompress(packed)
        return _CODECS.get(column.name, _OCTETS).decode(cast("Sequence[ObjectId]", objects), data)
    except (ValueError, TypeError, struct.error, zstandard.ZstdError) as error:
        raise Damaged(f"{what}: {error}") from error


# --- codecs ---


@dataclass(frozen=True, slots=True)
class _Codec:
    """How the values of one column become octets and are found in them again; they are those of all its objects."""

    encode: Callable[[Sequence[ObjectId], Values], bytes]
    decode: Callable[[Sequence[ObjectId], bytes], Values]


def _lengths(values: Sequence[bytes | str | None]) -> bytes:
    return struct.pack(f"<{len(values)}I", *[_ABSENT if value is None else len(value) for value in values])


def _split(
    objects: Sequence[ObjectId], lengths: Sequence[int], parts: int, read: Callable[[int], AnyStr]
) -> tuple[Sequence[ObjectId], list[list[AnyStr]]]:
    """The objects that have a value, and all first parts, all second ones and so on, read one after another."""
    count = len(objects)
    columns = [lengths[start : start + count] for start in range(0, parts * count, count)]
    if _ABSENT in columns[0]:
        present = [length != _ABSENT for length in columns[0]]
        objects = list(compress(objects, present))
        columns = [tuple(compress(column, present)) for column in columns]
    # A file that is read piece by piece: of all ways to cut octets into pieces the fastest.
    return objects, [list(map(read, column)) for column in columns]


def _encode_octets(objects: Sequence[ObjectId], values: Values) -> bytes:
    octets = [values.get(of) for of in objects]
    return _lengths(octets) + b"".join(filter(None, octets))


def _decode_octets(objects: Sequence[ObjectId], data: bytes) -> Values:
    lengths, file = _opened(data, len(objects))
    present, (octets,) = _split(objects, lengths, 1, file.read)
    return dict(zip(present, octets, strict=True))


def _encode_pairs(objects: Sequence[ObjectId], values: Values) -> bytes:
    pairs = [values.get(of, (None, b"")) for of in objects]
    octets = [first for first, _ in pairs] + [second for _, second in pairs]
    return _lengths(octets) + b"".join(filter(None, octets))


def _decode_pairs(objects: Sequence[ObjectId], data: bytes) -> Values:
    lengths, file = _opened(data, 2 * len(objects))
    present, (firsts, seconds) = _split(objects, lengths, 2, file.read)
    return dict(zip(present, zip(firsts, seconds, strict=True), strict=True))


def _opened(data: bytes, values: int) -> tuple[Sequence[int], BytesIO]:
    """The lengths of so many values, and a file that is to be read from the first of them on."""
    file = BytesIO(data)
    return struct.unpack(f"<{values}I", file.read(4 * values)), file


_TEXTS: Final = 7  # all of SearchColumns but the date


def _encode_search(objects: Sequence[ObjectId], values: Values) -> bytes:
    rows = [values.get(of, (None, None, *[""] * (_TEXTS - 1))) for of in objects]
    clocks = [_NO_VALUE if row[1] is None else _NO_DATE if row[0] is None else row[0] for row in rows]
    # Lengths in characters, so that one decoding serves all.
    texts = list(chain.from_iterable([row[at] for row in rows] for at in range(1, _TEXTS + 1)))
    return struct.pack(f"<{len(clocks)}q", *clocks) + _lengths(texts) + "".join(filter(None, texts)).encode()


def _decode_search(objects: Sequence[ObjectId], data: bytes) -> Values:
    count = len(objects)
    clocks = struct.unpack_from(f"<{count}q", data)
    lengths, file = _opened(data[8 * count :], _TEXTS * count)
    text = StringIO(file.read().decode(), newline="")
    present, texts = _split(objects, lengths, _TEXTS, text.read)
    dates = [None if clock == _NO_DATE else clock for clock in clocks if clock != _NO_VALUE]
    return dict(zip(present, map(SearchColumns._make, zip(dates, *texts, strict=True)), strict=True))


_OCTETS: Final = _Codec(_encode_octets, _decode_octets)
_PAIRS: Final = _Codec(_encode_pairs, _decode_pairs)
_CODECS: Final = {
    ENVELOPES: _PAIRS,
    HEADERS: _PAIRS,
    PARTS: _OCTETS,
    SEARCH: _Codec(_encode_search, _decode_search),
}
