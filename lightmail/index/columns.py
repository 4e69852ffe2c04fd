"""What an index holds of its messages: one array a column, at most 44 octets a message, ascending by UID."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import itemgetter
from typing import Final, TypeAlias, cast

from lightmail.model import ObjectId

# A message as the store's functions give it: id, uid, modseq, flags, octets, internaldate_us, object.
Row: TypeAlias = tuple[int, int, int, int, int, int, int]

# Half-open runs of positions (sequence number - 1), ascending, not touching each other.
Spans: TypeAlias = Sequence[tuple[int, int]]

OCTETS_PER_MESSAGE: Final = 4 + 8 + 8 + 4 + 8 + 8 + 4
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Some messages of a view, column by column and aligned; zip the columns that an answer needs.

    ``seqs`` are sequence numbers, ``flags`` bits with ``RECENT`` set where the session says so, ``internaldates``
    Unix seconds. The columns are copies: nothing that happens to the index later changes them.
    """

    seqs: Sequence[int]
    uids: Sequence[int]
    modseqs: Sequence[int]
    flags: Sequence[int]
    octets: Sequence[int]
    internaldates: Sequence[int]
    objects: Sequence[ObjectId]

    def __len__(self) -> int:
        return len(self.uids)

    def part(self, start: int, stop: int) -> Rows:
        """The messages at positions `start` to `stop` of these."""
        if start == 0 and stop >= len(self.uids):
            return self
        cut = slice(start, stop)
        return Rows(
            self.seqs[cut],
            self.uids[cut],
            self.modseqs[cut],
            self.flags[cut],
            self.octets[cut],
            self.internaldates[cut],
            self.objects[cut],
        )


class Columns:
    """The arrays of an index. They only ever grow at their end; removing messages makes new columns.

    So whoever holds columns and a length holds a numbering that cannot shift under it.

    ``sent_days`` are the days of the messages' Date fields by their own clocks, counted from 1 January 1970, or UNDATED
    (:mod:`lightmail.mime.dates`). It is no part of what the index is read from, and ends where nobody has asked further
    yet (:mod:`lightmail.index.sent`).
    """

    __slots__ = ("flags", "internaldates", "modseqs", "objects", "octets", "sent_days", "uids")

    def __init__(self) -> None:
        self.uids = array("I")
        self.modseqs = array("Q")
        self.flags = array("q")
        self.octets = array("I")
        self.internaldates = array("q")
        self.objects = array("Q")
        self.sent_days = array("i")

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def all(self) -> tuple[array[int], ...]:
        """Every column that is as long as the index, in the order in which they are named here."""
        return self.uids, self.modseqs, self.flags, self.octets, self.internaldates, self.objects

    @property
    def _with_days(self) -> tuple[array[int], ...]:
        return *self.all, self.sent_days

    def extend(self, rows: Collection[Row]) -> None:
        """Append messages; their UIDs ascend and are above every one here."""
        if not rows:
            return
        _, uids, modseqs, flags, octets, dates_us, objects = zip(*rows, strict=True)
        self.uids.extend(uids)
        self.modseqs.extend(modseqs)
        self.flags.extend(flags)
        self.octets.extend(octets)
        self.internaldates.extend([us // _MICROSECONDS for us in dates_us])
        self.objects.extend(objects)

    def append_from(self, other: Columns, start: int) -> None:
        """Append what `other` has from position `start` on."""
        if len(self.sent_days) == len(self):
            self.sent_days.extend(other.sent_days[start:])
        for mine, theirs in zip(self.all, other.all, strict=True):
            mine.extend(theirs[start:])

    def first(self, length: int) -> Columns:
        """A copy of the first `length` messages."""
        copy = Columns()
        for mine, theirs in zip(copy._with_days, self._with_days, strict=True):
            mine.extend(theirs[:length])
        return copy

    def without(self, positions: Sequence[int]) -> Columns:
        """New columns that lack the messages at `positions` (ascending)."""
        kept = Columns()
        if isinstance(positions, range) or len(positions) * 16 <= len(self):
            runs = [positions] if isinstance(positions, range) else [range(at, at + 1) for at in positions]
            starts = [0, *(run.stop for run in runs)]
            spans = list(zip(starts, [*(run.start for run in runs), len(self)], strict=True))
            for mine, theirs in zip(kept._with_days, self._with_days, strict=True):
                for start, stop in spans:
                    mine.extend(theirs[start:stop])
            return kept
        keep = bytearray(b"\1") * len(self)
        for position in positions:
            keep[position] = 0
        for mine, theirs in zip(kept._with_days, self._with_days, strict=True):
            mine.extend(compress(theirs, keep))
        return kept

    def rows(self, spans: Spans) -> Rows:
        """Copies of the messages in `spans`, whose flags and modseqs are arrays that the caller may change."""
        if not spans:
            spans = ((0, 0),)
        if len(spans) == 1:
            start, stop = spans[0]
            return Rows(
                range(start + 1, stop + 1),
                self.uids[start:stop],
                self.modseqs[start:stop],
                self.flags[start:stop],
                self.octets[start:stop],
                self.internaldates[start:stop],
                cast("Sequence[ObjectId]", self.objects[start:stop]),
            )
        # Two spans or more are two positions or more, for which itemgetter gives a tuple.
        pick = itemgetter(*positions_in(spans))
        return Rows(
            [position + 1 for position in positions_in(spans)],
            pick(self.uids),
            array("Q", pick(self.modseqs)),
            array("q", pick(self.flags)),
            pick(self.octets),
            pick(self.internaldates),
            pick(self.objects),
        )


def positions_in(spans: Spans) -> Iterable[int]:
    """The positions of all spans, ascending."""
    return chain.from_iterable(range(start, stop) for start, stop in spans)


def as_range(positions: Sequence[int]) -> Sequence[int]:
    """Ascending positions, as a range where they follow one another: `picked` and `put` are much quicker with it."""
    if positions and positions[-1] - positions[0] == len(positions) - 1:
        return range(positions[0], positions[-1] + 1)
    return positions


def picked(column: array[int], positions: Sequence[int]) -> array[int]:
    """A copy of what a column holds at `positions`."""
    if isinstance(positions, range):
        return column[positions.start : positions.stop]
    return array(column.typecode, [column[position] for position in positions])


def put(column: array[int], positions: Sequence[int], values: array[int]) -> None:
    """Set a column at `positions` to `values`."""
    if isinstance(positions, range):
        column[positions.start : positions.stop] = values
        return
    for position, value in zip(positions, values, strict=True):
        column[position] = value
