"""Writing chunks: what a new snapshot of a mailbox has beyond the last one.

Messages that no chunk has are packed into new ones, _CHUNK_OBJECTS at a time in the order of UIDs. Small chunks are
merged with what comes after them as soon as that is half as much as they have: so there are few of them, and of each
message's metadata little more is written than the logarithm of their number times. A chunk most of whose messages are
gone is written again. The answers of field lists that were asked for since are added to the chunks that stay, as
columns in objects of their own.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final, NamedTuple

import zstandard

from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.chunks import (
    ENVELOPES,
    HEADERS,
    LISTS_MAX,
    PARTS,
    SEARCH,
    ChunkRef,
    ColumnRef,
    Values,
    pack_column,
)
from lightmail.mime.fields import FieldList
from lightmail.mime.rendering import RENDER_VERSION
from lightmail.mime.strings import literal
from lightmail.model import ObjectId
from lightmail.objects.backends import ObjectStore
from lightmail.store.blobs import WholeRow, unpacked_header, whole_rows_txn
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

# What is written before the snapshot is that has it: a second's work, which a crash may lose.
OBJECTS_AT_ONCE: Final = 10_000
# A hand-off to a thread costs as much as the answers of 500 messages: not too few. And not more than fits into a cache.
_CHUNK_OBJECTS: Final = 2000
_CHUNK_OCTETS: Final = 8 << 20
# Fewer messages than these are read from rows as fast as from a chunk.
_LEAST: Final = 64
# Rows per query. What is rendered of a message stays in its row where it has more octets than so many.
_PAGE: Final = 250
_ROW_OCTETS: Final = 1 << 15
_SLICE: Final = 50_000
_RENDERED: Final = frozenset({ENVELOPES, HEADERS, PARTS, SEARCH})


def wanted_lists(chunks: Sequence[ChunkRef], asked: Iterable[FieldList]) -> list[FieldList]:
    """The lists whose answers the chunks of a mailbox are to have: those `asked` for, then those that they have."""
    known = chain.from_iterable(chunk.lists for chunk in chunks)
    return list(dict.fromkeys(chain(asked, known)))[:LISTS_MAX]


def lack_lists(chunks: Sequence[ChunkRef], asked: Sequence[FieldList]) -> bool:
    """Whether some of the chunks lack the answers of a list that was asked for."""
    names = {fields.name for fields in asked}
    return any(names.difference(column.name for column in chunk.columns) for chunk in chunks)


class Renewed(NamedTuple):
    """The chunks of a mailbox; `whole` says whether they have all messages that they are to have."""

    chunks: tuple[ChunkRef, ...]
    whole: bool


class ChunkWriter:
    """Writes chunks to a store of objects, in its `pool`; `new_key` makes a fresh key for each object.

    Methods belong to the reactor's thread.
    """

    def __init__(
        self, database: Database, store: ObjectStore, pool: BoundedPool, reader: ChunkReader, new_key: Callable[[], str]
    ) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._reader = reader
        self._new_key = new_key

    async def renewed(self, objects: array[int], present: Sequence[ChunkRef], asked: Sequence[FieldList]) -> Renewed:
        """The chunks for a mailbox of `objects` (in the order of UIDs): those of the `present` that stay, and new ones.

        New ones for OBJECTS_AT_ONCE objects at most. `asked` are the field lists that were asked for, the latest first;
        each has a name. The array is read in another thread, and must not change meanwhile. Raises Unavailable.
        """
        useful = [chunk for chunk in present if self._reader.is_useful(chunk)]
        kept, loose = await self._pool.run(_sorted_out, objects, useful)
        lists = {fields.name or "": fields for fields in wanted_lists(present, asked)}
        stay = [await self._with_lists(chunk, lists) for chunk in kept]
        new = await self._packed(loose[:OBJECTS_AT_ONCE], lists)
        return Renewed((*stay, *new), len(loose) <= OBJECTS_AT_ONCE)

    async def _with_lists(self, chunk: ChunkRef, lists: Mapping[str, FieldList]) -> ChunkRef:
        """A chunk with the answers of these lists and no others."""
        columns = tuple(column for column in chunk.columns if column.name in _RENDERED or column.name in lists)
        present = {column.name for column in columns}
        answers: dict[str, Values] = {}
        for name in lists:
            if name not in present:
                found = await self._reader.read(chunk, name)
                if found is not None:
                    answers[name] = found.values
        if answers:
            columns += await self._pool.run(_put, self._store, self._new_key(), chunk.objects, answers)
        return replace(chunk, columns=columns)

    async def _packed(self, loose: Sequence[ObjectId], lists: Mapping[str, FieldList]) -> list[ChunkRef]:
        """New chunks for objects that are in none."""
        chunks: list[ChunkRef] = []
        rows: list[WholeRow] = []
        first = 0
        for start in range(0, len(loose), _PAGE):
            page = loose[start : start + _PAGE]
            rows += await self._database.read("chunks", whole_rows_txn, page, RENDER_VERSION, _ROW_OCTETS)
            last = start + len(page)
            if last - first >= _CHUNK_OBJECTS or last == len(loose) or sum(map(_octets, rows)) >= _CHUNK_OCTETS:
                objects = array("Q", sorted(loose[first:last]))
                chunks.append(await self._pool.run(_write, self._store, self._new_key(), objects, rows, lists))
                first, rows = last, []
        return chunks


def _sorted_out(objects: array[int], chunks: Sequence[ChunkRef]) -> tuple[list[ChunkRef], list[ObjectId]]:
    """The chunks that stay, and the objects that are in none of them and are to be."""
    # In slices: a call of C's over all of a very large mailbox would keep every other thread waiting.
    live: set[int] = set()
    for start in range(0, len(objects), _SLICE):
        live.update(objects[start : start + _SLICE])
    kept = [chunk for chunk in chunks if 2 * len(live.intersection(chunk.objects)) >= len(chunk.objects)]
    loose = live.copy()
    for chunk in kept:
        loose.difference_update(chunk.objects)
    if len(loose) < _LEAST:
        return kept, []
    full = [chunk for chunk in kept if _is_full(chunk)]
    small = sorted((chunk for chunk in kept if not _is_full(chunk)), key=_size, reverse=True)
    while small and _size(small[-1]) < min(2 * len(loose), _CHUNK_OBJECTS // 2):
        loose |= live.intersection(small.pop().objects)
    wanted: list[ObjectId] = []
    for of in objects:
        if of in loose:
            loose.remove(of)
            wanted.append(ObjectId(of))
    return full + small, wanted


def _is_full(chunk: ChunkRef) -> bool:
    """Whether a chunk was closed for its octets, however few objects it has."""
    return sum(column.unpacked for column in chunk.columns if column.name in _RENDERED) >= _CHUNK_OCTETS // 2


def _size(chunk: ChunkRef) -> int:
    return len(chunk.objects)


def _octets(row: WholeRow) -> int:
    return len(row.envelope) + len(row.bodystructure) + len(row.header_fields) + len(row.parts) + _unpacked(row)


def _unpacked(row: WholeRow) -> int:
    """The octets of the header block, or too many where that is not to be found out."""
    try:
        octets = zstandard.frame_content_size(row.header_zstd)
    except zstandard.ZstdError:
        return _ROW_OCTETS
    return octets if 0 <= octets < _ROW_OCTETS else _ROW_OCTETS


def _write(
    store: ObjectStore, key: str, objects: array[int], rows: Sequence[WholeRow], lists: Mapping[str, FieldList]
) -> ChunkRef:
    headers = _headers(rows)
    columns: dict[str, Values] = {
        ENVELOPES: {row.object: (row.envelope, row.bodystructure) for row in rows},
        HEADERS: headers,
        PARTS: {row.object: row.parts for row in rows},
        SEARCH: {row.object: row.columns for row in rows},
    }
    for name, fields in lists.items():
        columns[name] = {of: literal(fields.cut(*header)) for of, header in headers.items()}
    return ChunkRef(objects, RENDER_VERSION, _put(store, key, objects, columns))


def _headers(rows: Sequence[WholeRow]) -> dict[ObjectId, tuple[bytes, bytes]]:
    """Header blocks and their packed field offsets, without those that are damaged or too long."""
    headers = {}
    for row in rows:
        if _unpacked(row) < _ROW_OCTETS:
            try:
                headers[row.object] = (unpacked_header(row.header_zstd), row.header_fields)
            except zstandard.ZstdError:
                continue
    return headers


def _put(store: ObjectStore, key: str, objects: array[int], columns: Mapping[str, Values]) -> tuple[ColumnRef, ...]:
    """Store columns as one object."""
    frames: list[bytes] = []
    refs: list[ColumnRef] = []
    start = 0
    for name, values in columns.items():
        packed, unpacked = pack_column(name, objects, values)
        refs.append(ColumnRef(name, key, start, len(packed), unpacked, zlib.crc32(packed)))
        frames.append(packed)
        start += len(packed)
    store.put(key, b"".join(frames))
    return tuple(refs)
