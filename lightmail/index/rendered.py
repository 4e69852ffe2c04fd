"""What was rendered at delivery, in memory: what list views and searches need of a message, without its object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import zstandard

from lightmail.metrics import CACHE_HITS
from lightmail.model import Account, AccountId, BlobRef, ObjectId
from lightmail.store import blobs
from lightmail.store.blobs import SearchColumns
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

T = TypeVar("T")

# Objects per query.
_AT_ONCE: Final = 500
# What CPython takes for an entry besides the octets in it: key, value and their places in dictionaries.
_ENTRY_OCTETS: Final = 300


_Read: TypeAlias = Callable[[Cursor, Account, Sequence[ObjectId]], dict[ObjectId, T]]


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """One kind of metadata: how it is read, and about how many octets a value has."""

    name: str
    read: _Read[T]
    octets: Callable[[T], int]


# The entries of one kind and account, and all of them.
_Shelf = dict[ObjectId, Any]
_Shelves = dict[tuple[str, AccountId], _Shelf]


class RenderedCache:
    """Rendered metadata of the messages used lately, at most about `octets` of it.

    Every answer lacks the objects that have no row, or a damaged one. What is missing here is read 500 objects at a
    time; raises Unavailable when that fails. Entries are kept per account: that one account has something in memory
    must not make it sooner readable to another (P11).

    Entries live in two generations. What is used moves to the young one; when that has half of the bound it becomes
    the old one, and what nobody used in a whole generation is dropped. So a hit costs one look-up and no bookkeeping.
    """

    def __init__(self, database: Database, octets: int) -> None:
        self._database = database
        self._bound: Final = octets // 2
        self._young: _Shelves = {}
        self._old: _Shelves = {}
        self._young_octets = 0
        self._old_octets = 0

    @property
    def octets(self) -> int:
        """About how much memory the entries take."""
        return self._young_octets + self._old_octets

    def clear(self) -> None:
        """Forget everything: ids of objects may have come to name others."""
        self._young, self._old = {}, {}
        self._young_octets = self._old_octets = 0

    async def envelopes(self, account: Account, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """ENVELOPE and BODYSTRUCTURE as wire bytes."""
        return await self._get(_ENVELOPES, account, objects)

    async def headers(self, account: Account, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """Header blocks, and their packed field offsets for ``mime.fields``."""
        return await self._get(_HEADERS, account, objects)

    async def parts(self, account: Account, objects: Sequence[ObjectId]) -> Mapping[ObjectId, bytes]:
        """Packed part offsets for ``mime.parts``."""
        return await self._get(_PARTS, account, objects)

    async def refs(self, account: Account, objects: Sequence[ObjectId]) -> Mapping[ObjectId, BlobRef]:
        """Where the octets are."""
        return await self._get(_REFS, account, objects)

    async def search_columns(self, account: Account, objects: Sequence[ObjectId]) -> Mapping[ObjectId, SearchColumns]:
        """Decoded, folded text and the Date field's wall clock, for SEARCH and SORT."""
        return await self._get(_COLUMNS, account, objects)

    async def _get(self, kind: _Kind[T], account: Account, objects: Sequence[ObjectId]) -> dict[ObjectId, T]:
        place = (kind.name, account.id)
        young = self._young.get(place)
        if young is not None:
            found = {of: young[of] for of in objects if of in young}
            if len(found) == len(objects):
                CACHE_HITS.labels(kind.name, "hit").inc(len(objects))
                return found
        else:
            found = {}
        missing = self._promote(kind, place, objects, found)
        CACHE_HITS.labels(kind.name, "hit").inc(len(found))
        CACHE_HITS.labels(kind.name, "miss").inc(len(missing))
        for start in range(0, len(missing), _AT_ONCE):
            read = await self._database.read(kind.name, kind.read, account, missing[start : start + _AT_ONCE])
            found.update(read)
            self._keep(kind, place, read)
        return found

    def _promote(
        self, kind: _Kind[T], place: tuple[str, AccountId], objects: Sequence[ObjectId], found: dict[ObjectId, T]
    ) -> list[ObjectId]:
        """Move what only the old generation has of `objects` to the young one and `found`; the rest is returned."""
        missing = [of for of in dict.fromkeys(objects) if of not in found]
        old = self._old.get(place)
        if not old:
            return missing
        used = {of: old.pop(of) for of in missing if of in old}
        self._old_octets -= sum(map(kind.octets, used.values())) + _ENTRY_OCTETS * len(used)
        found.update(used)
        self._keep(kind, place, used)
        return [of for of in missing if of not in used]

    def _keep(self, kind: _Kind[T], place: tuple[str, AccountId], entries: Mapping[ObjectId, T]) -> None:
        """Put entries into the young generation."""
        octets = kind.octets
        shelf = self._young.setdefault(place, {})
        for of, value in entries.items():
            size = octets(value) + _ENTRY_OCTETS
            if of in shelf or size > self._bound // 8:
                continue  # read by two at once, or so large that it would displace what many need
            shelf[of] = value
            self._young_octets += size
            if self._young_octets > self._bound:
                self._old, self._young = self._young, {}
                self._old_octets, self._young_octets = self._young_octets, 0
                shelf = self._young.setdefault(place, {})


def _headers_txn(cursor: Cursor, account: Account, objects: Sequence[ObjectId]) -> dict[ObjectId, tuple[bytes, bytes]]:
    """Header blocks, decompressed here in the thread; damaged ones are left out."""
    headers = {}
    for of, (packed, fields) in blobs.headers_txn(cursor, objects).items():
        try:
            headers[of] = (blobs.unpacked_header(packed), fields)
        except zstandard.ZstdError:
            continue
    return headers


def _by_object(read: Callable[[Cursor, Sequence[ObjectId]], dict[ObjectId, T]]) -> _Read[T]:
    """A reading that is the same for every account."""
    return lambda cursor, account, objects: read(cursor, objects)


def _octets(value: bytes) -> int:
    return len(value)


def _pair_octets(pair: tuple[bytes, bytes]) -> int:
    return len(pair[0]) + len(pair[1])


def _ref_octets(ref: BlobRef) -> int:
    return len(ref.key) + len(ref.frames) + 200


def _columns_octets(columns: SearchColumns) -> int:
    # Four octets a character at most, and one for nearly all text.
    texts = (columns.subject, columns.base_subject, columns.from_, columns.to, columns.cc, columns.bcc)
    return sum(map(len, texts)) + len(columns.message_id) + 400


_ENVELOPES: Final = _Kind("envelopes", _by_object(blobs.envelopes_txn), _pair_octets)
_HEADERS: Final = _Kind("headers", _headers_txn, _pair_octets)
_PARTS: Final = _Kind("parts", _by_object(blobs.parts_txn), _octets)
_REFS: Final = _Kind("refs", blobs.refs_txn, _ref_octets)
_COLUMNS: Final = _Kind("search columns", _by_object(blobs.search_columns_txn), _columns_octets)
