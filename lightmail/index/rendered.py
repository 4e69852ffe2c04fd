"""What was rendered at delivery, in memory: what list views and searches need of a message, without its object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

import zstandard
from prometheus_client import Counter

from lightmail.index.chunk_reader import ChunkReader, worthwhile
from lightmail.index.chunks import ENVELOPES, HEADERS, PARTS, SEARCH, ChunkRef
from lightmail.metrics import CACHE_HITS, CACHE_OCTETS
from lightmail.mime.fields import FieldList
from lightmail.mime.strings import literal
from lightmail.model import Account, AccountId, BlobRef, ObjectId
from lightmail.store import blobs
from lightmail.store.blobs import SearchColumns
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

T = TypeVar("T")

# Objects per query.
_AT_ONCE: Final = 500
# What a shelf takes besides its entries and its name.
_SHELF_OCTETS: Final = 500

_Read: TypeAlias = Callable[[Cursor, Account, Sequence[ObjectId]], dict[ObjectId, T]]


@cache
def _counter(label: str, result: str) -> Counter:
    return CACHE_HITS.labels(label, result)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """One kind of metadata: how it is read, and about how many octets a value has.

    ``name`` is that of its column in chunks, ``label`` what it is called in metrics; ``overhead`` is what CPython takes
    for an entry besides the octets in it: key, value, and their places in dictionaries.
    """

    name: str
    label: str
    read: _Read[T]
    octets: Callable[[T], int]
    overhead: int


# The entries of one kind and account, and all of them.
_Shelf = dict[ObjectId, Any]
_Shelves = dict[tuple[str, AccountId], _Shelf]


class RenderedCache:
    """Rendered metadata of the messages used lately, at most about `octets` of it.

    Every answer lacks the objects that have no row, or a damaged one. What is missing here is read from the mailbox's
    chunks, where those named in the call have much of it, else from rows, 500 objects at a time; raises Unavailable
    when that fails. Entries are kept per account: that one account has something in memory must not make it sooner
    readable to another (P11).

    Entries live in two generations. What is used moves to the young one; when that has half of the bound it becomes
    the old one, and what nobody used in a whole generation is dropped. So a hit costs one look-up and no bookkeeping.
    """

    def __init__(self, database: Database, octets: int, reader: ChunkReader | None = None) -> None:
        self._database = database
        self._reader = reader
        self._bound: Final = octets // 2
        self._young: _Shelves = {}
        self._old: _Shelves = {}
        self._young_octets = 0
        self._old_octets = 0
        self._era = 0
        CACHE_OCTETS.watch(self, lambda cache: [(("rendered",), cache.octets)])

    @property
    def octets(self) -> int:
        """About how much memory the entries take."""
        return self._young_octets + self._old_octets

    def clear(self) -> None:
        """Forget everything, what is being read too: ids of objects may have come to name others."""
        self._era += 1
        self._young, self._old = {}, {}
        self._young_octets = self._old_octets = 0

    async def envelopes(
        self, account: Account, objects: Sequence[ObjectId], chunks: Sequence[ChunkRef] = ()
    ) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """ENVELOPE and BODYSTRUCTURE as wire bytes."""
        return await self._get(_ENVELOPES, account, objects, chunks)

    async def headers(
        self, account: Account, objects: Sequence[ObjectId], chunks: Sequence[ChunkRef] = ()
    ) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """Header blocks, and their packed field offsets for ``mime.fields``."""
        return await self._get(_HEADERS, account, objects, chunks)

    async def answers(
        self, account: Account, objects: Sequence[ObjectId], fields: FieldList, chunks: Sequence[ChunkRef] = ()
    ) -> Mapping[ObjectId, bytes]:
        """The literals that answer a BODY[HEADER.FIELDS (…)] or BODY[HEADER.FIELDS.NOT (…)].

        They are kept, and not the blocks that they are cut from: whoever lists a mailbox asks for the same again.
        """
        name = fields.name
        if name is None:
            return _cut(fields, await self.headers(account, objects, chunks))
        kind = _Kind(name, "header fields", _answers_read(fields), len, 150)
        return await self._get(kind, account, objects, chunks)

    async def parts(
        self, account: Account, objects: Sequence[ObjectId], chunks: Sequence[ChunkRef] = ()
    ) -> Mapping[ObjectId, bytes]:
        """Packed part offsets for ``mime.parts``."""
        return await self._get(_PARTS, account, objects, chunks)

    async def refs(
        self,
        account: Account,
        objects: Sequence[ObjectId],
        following: Callable[[], Sequence[ObjectId]] | None = None,
    ) -> Mapping[ObjectId, BlobRef]:
        """Where the octets are.

        `following` names objects that will be asked for next: where the database must be asked, it is for them, too.
        """
        here = self._found((_REFS.name, account.id), objects)
        if len(here) == len(objects):
            _counter(_REFS.label, "hit").inc(len(objects))
            return here
        if following is not None and not self._has(_REFS, account, objects):
            await self._get(_REFS, account, [*objects, *following()], ())
        return await self._get(_REFS, account, objects, ())

    async def search_columns(
        self, account: Account, objects: Sequence[ObjectId], chunks: Sequence[ChunkRef] = ()
    ) -> Mapping[ObjectId, SearchColumns]:
        """Decoded, folded text and the Date field's wall clock, for SEARCH and SORT."""
        return await self._get(_COLUMNS, account, objects, chunks)

    def _has(self, kind: _Kind[Any], account: Account, objects: Sequence[ObjectId]) -> bool:
        """Whether entries of all `objects` are here."""
        place = (kind.name, account.id)
        young, old = self._young.get(place, {}), self._old.get(place, {})
        return all(of in young or of in old for of in objects)

    async def _get(
        self, kind: _Kind[T], account: Account, objects: Sequence[ObjectId], chunks: Sequence[ChunkRef]
    ) -> dict[ObjectId, T]:
        place = (kind.name, account.id)
        found = self._found(place, objects)
        if len(found) == len(objects):
            _counter(kind.label, "hit").inc(len(objects))
            return found
        missing: Sequence[ObjectId] = self._promote(kind, place, objects, found)
        _counter(kind.label, "hit").inc(len(found))
        _counter(kind.label, "miss").inc(len(missing))
        if chunks and self._reader is not None:
            missing = await self._from_chunks(kind, place, missing, found, chunks)
        era = self._era
        for start in range(0, len(missing), _AT_ONCE):
            read = await self._database.read(kind.label, kind.read, account, missing[start : start + _AT_ONCE])
            found.update(read)
            self._keep(kind, place, read, era)
        return found

    def _found(self, place: tuple[str, AccountId], objects: Sequence[ObjectId]) -> dict[ObjectId, Any]:
        """What the young generation has of `objects`."""
        young = self._young.get(place)
        return {} if young is None else _picked(young, objects)

    async def _from_chunks(
        self,
        kind: _Kind[T],
        place: tuple[str, AccountId],
        missing: Sequence[ObjectId],
        found: dict[ObjectId, T],
        chunks: Sequence[ChunkRef],
    ) -> Sequence[ObjectId]:
        """Put what the mailbox's chunks have of `missing` into `found`; the rest is returned."""
        assert self._reader is not None
        for chunk in worthwhile(chunks, missing):
            era = self._era
            column = await self._reader.read(chunk, kind.name)
            if column is None or era != self._era:
                continue
            here: dict[ObjectId, T] = _picked(column.values, missing)
            found.update(here)
            # All of a chunk: whoever lists a mailbox asks for the rest of it next.
            if not self._keep_all(kind, place, column.values, column.octets, self._bound // 2):
                self._keep(kind, place, here, era)
            missing = [] if len(here) == len(missing) else [of for of in missing if of not in here]
        return missing

    def _promote(
        self, kind: _Kind[T], place: tuple[str, AccountId], objects: Sequence[ObjectId], found: dict[ObjectId, T]
    ) -> list[ObjectId]:
        """Move what only the old generation has of `objects` to the young one and `found`; the rest is returned."""
        missing = list(dict.fromkeys(objects))
        if found:
            missing = [of for of in missing if of not in found]
        old = self._old.get(place)
        if not old:
            return missing
        used = {of: old.pop(of) for of in missing if of in old}
        self._old_octets -= sum(map(kind.octets, used.values())) + kind.overhead * len(used)
        found.update(used)
        self._keep(kind, place, used, self._era)
        return [of for of in missing if of not in used]

    def _keep(self, kind: _Kind[T], place: tuple[str, AccountId], entries: Mapping[ObjectId, T], era: int) -> None:
        """Put entries into the young generation, unless they are of an `era` that is over."""
        octets = sum(map(kind.octets, entries.values()))
        if era != self._era or self._keep_all(kind, place, entries, octets, self._bound // 8):
            return
        for of, value in entries.items():
            size = kind.octets(value) + kind.overhead
            if size > self._bound // 8:
                continue  # it would displace what many need
            shelf = self._shelf(place, size)
            if of not in shelf:  # read by two at once
                shelf[of] = value
                self._young_octets += size

    def _keep_all(
        self, kind: _Kind[T], place: tuple[str, AccountId], entries: Mapping[ObjectId, T], octets: int, bound: int
    ) -> bool:
        """Put entries of `octets` into the young generation at once, if they keep to `bound` and are all new."""
        size = octets + kind.overhead * len(entries)
        if size > bound:
            return False
        shelf = self._shelf(place, size)
        if not shelf.keys().isdisjoint(entries):
            return False
        shelf.update(entries)
        self._young_octets += size
        return True

    def _shelf(self, place: tuple[str, AccountId], octets: int) -> _Shelf:
        """The young generation's shelf, with room for more `octets`: at most half of what a generation has.

        A shelf counts for something, too: field lists are named by clients.
        """
        own = _SHELF_OCTETS + len(place[0])
        if self._young_octets + octets + own > self._bound:
            self._turn()
        shelf = self._young.get(place)
        if shelf is None:
            shelf = self._young[place] = {}
            self._young_octets += own
        return shelf

    def _turn(self) -> None:
        """What is young becomes old."""
        self._old, self._young = self._young, {}
        self._old_octets, self._young_octets = self._young_octets, 0


def _picked(values: Mapping[ObjectId, T], objects: Sequence[ObjectId]) -> dict[ObjectId, T]:
    """What `values` has of `objects`."""
    try:
        return dict(zip(objects, map(values.__getitem__, objects), strict=True))
    except KeyError:
        return {of: values[of] for of in objects if of in values}


def _headers_txn(cursor: Cursor, account: Account, objects: Sequence[ObjectId]) -> dict[ObjectId, tuple[bytes, bytes]]:
    """Header blocks, decompressed here in the thread; damaged ones are left out."""
    headers = {}
    for of, (packed, fields) in blobs.headers_txn(cursor, objects).items():
        try:
            headers[of] = (blobs.unpacked_header(packed), fields)
        except zstandard.ZstdError:
            continue
    return headers


def _answers_read(fields: FieldList) -> _Read[bytes]:
    """Reads header blocks and cuts them, in the thread."""
    return lambda cursor, account, objects: _cut(fields, _headers_txn(cursor, account, objects))


def _cut(fields: FieldList, headers: Mapping[ObjectId, tuple[bytes, bytes]]) -> dict[ObjectId, bytes]:
    return {of: literal(fields.cut(*header)) for of, header in headers.items()}


def _by_object(read: Callable[[Cursor, Sequence[ObjectId]], dict[ObjectId, T]]) -> _Read[T]:
    """A reading that is the same for every account."""
    return lambda cursor, account, objects: read(cursor, objects)


def _pair_octets(pair: tuple[bytes, bytes]) -> int:
    return len(pair[0]) + len(pair[1])


def _ref_octets(ref: BlobRef) -> int:
    return len(ref.key) + len(ref.frames)


def _columns_octets(columns: SearchColumns) -> int:
    # Four octets a character at most, and one for nearly all text.
    texts = (columns.subject, columns.base_subject, columns.from_, columns.to, columns.cc, columns.bcc)
    return sum(map(len, texts)) + len(columns.message_id)


_ENVELOPES: Final = _Kind(ENVELOPES, "envelopes", _by_object(blobs.envelopes_txn), _pair_octets, 300)
_HEADERS: Final = _Kind(HEADERS, "headers", _headers_txn, _pair_octets, 300)
_PARTS: Final = _Kind(PARTS, "parts", _by_object(blobs.parts_txn), len, 200)
_REFS: Final = _Kind("refs", "refs", blobs.refs_txn, _ref_octets, 500)
_COLUMNS: Final = _Kind(SEARCH, "search columns", _by_object(blobs.search_columns_txn), _columns_octets, 700)
