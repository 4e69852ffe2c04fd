"""Reading columns of chunks, for whoever lacks what is rendered of many messages at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.flights import Flight
from lightmail.index.chunks import HEADERS, ChunkRef, ColumnRef, Damaged, Values, unpack_column
from lightmail.metrics import CACHE_HITS
from lightmail.mime.fields import FieldList
from lightmail.mime.rendering import RENDER_VERSION
from lightmail.mime.strings import literal
from lightmail.model import ObjectId
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.threads import BoundedPool

log = Logger()

# A column of two thousand values costs what reading some 60 of them from rows does. Of the objects that are asked for,
# one in so many stands for all, and a chunk is read where it has two of those or more.
_SAMPLE: Final = 16
# A store of objects that takes longer costs more time than it saves, and is left alone for a while.
_READ_SECONDS: Final = 5.0
_AVOID_SECONDS: Final = 60.0
# Columns that are known to be of no use; beyond that they are tried again.
_USELESS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it was read: its values, and about how many octets they have."""

    values: Values
    octets: int


def worthwhile(chunks: Sequence[ChunkRef], objects: Sequence[ObjectId]) -> list[ChunkRef]:
    """The chunks, of those of a mailbox, that have enough of `objects` to be read for them."""
    if len(objects) < 2 * _SAMPLE or not chunks:
        return []
    sample = sorted(objects[::_SAMPLE])
    low, high = sample[0], sample[-1]
    near = [chunk for chunk in chunks if chunk.objects[0] <= high and chunk.objects[-1] >= low]
    return [chunk for chunk in near if sum(_has(chunk, of) for of in sample) > 1]


def _has(chunk: ChunkRef, of: ObjectId) -> bool:
    objects = chunk.objects
    at = bisect_left(objects, of)
    return at < len(objects) and objects[at] == of


class ChunkReader:
    """Reads columns from a store of objects, in its `pool`. Methods belong to the reactor's thread."""

    def __init__(self, store: ObjectStore, pool: BoundedPool, *, reactor: Any) -> None:
        self._store = store
        self._pool = pool
        self._reactor = reactor
        self._flights: dict[tuple[str, str], Flight[Column | None]] = {}
        self._useless: set[ColumnRef] = set()
        self._avoided_until = 0.0

    def is_useful(self, chunk: ChunkRef) -> bool:
        """Whether nothing is known that speaks against a chunk."""
        return chunk.render_version == RENDER_VERSION and self._useless.isdisjoint(chunk.columns)

    async def read(self, chunk: ChunkRef, name: str) -> Column | None:
        """A column of a chunk, None where it cannot be had. Never raises a MailError.

        The answers of a field list that has no column are cut from the header blocks. Whoever asks for a column that
        is being read waits for that reading.
        """
        column = chunk.column(name)
        fields = FieldList.named(name) if column is None else None
        if fields is not None:
            column = chunk.column(HEADERS)
        if column is None or chunk.render_version != RENDER_VERSION or column in self._useless:
            return None
        if self._reactor.seconds() < self._avoided_until:
            return None
        of = column.key, name
        flight = self._flights.get(of)
        if flight is None:
            flight = self._flights[of] = Flight(self._read(chunk, column, fields))
            flight.when_landed(lambda: self._flights.pop(of))
        return await flight.result()

    async def _read(self, chunk: ChunkRef, column: ColumnRef, fields: FieldList | None) -> Column | None:
        try:
            reading = Deferred.fromCoroutine(self._pool.run(_read_column, self._store, chunk, column, fields))
            found: Column = await reading.addTimeout(_READ_SECONDS, self._reactor)
        except (ObjectMissing, Damaged) as error:
            if len(self._useless) == _USELESS_MAX:
                self._useless.clear()
            self._useless.add(column)
            why = "missing" if isinstance(error, ObjectMissing) else "damaged"
        except (MailError, WaitedTooLong):
            self._avoided_until = self._reactor.seconds() + _AVOID_SECONDS
            why = "unavailable"
        else:
            CACHE_HITS.labels("chunk", "hit").inc()
            return found
        CACHE_HITS.labels("chunk", why).inc()
        log.info("{name} of chunk {key} cannot be used: it is {why}", name=column.name, key=column.key, why=why)
        return None


def _read_column(store: ObjectStore, chunk: ChunkRef, column: ColumnRef, fields: FieldList | None) -> Column:
    packed = store.read(column.key, column.start, column.start + column.octets)
    values = unpack_column(chunk.objects, column, packed)
    if fields is None:
        return Column(values, column.unpacked)
    answers = {of: literal(fields.cut(*header)) for of, header in values.items()}
    return Column(answers, sum(map(len, answers.values())))
