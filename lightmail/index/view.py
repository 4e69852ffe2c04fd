"""One session's numbering on a mailbox index: what the client has been told, and what it must be told next.

A sequence number means the same message from one :meth:`View.updates` to the next, whatever happens to the index
(RFC 3501 section 7.4.1). A message that was expunged but not announced keeps its number and what the index knew of
it, so it can still be fetched (RFC 2180 section 4.1.2).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from lightmail.index.columns import Columns, Rows, picked, positions_in
from lightmail.index.keywords import RECENT
from lightmail.index.mailbox import MailboxIndex
from lightmail.model import FlagMode

# A sequence set: pairs of its ranges' ends in either order, both included, single numbers as (n, n).
Ranges: TypeAlias = Sequence[tuple[int, int]]
# ``*`` in a sequence set; no message has this number.
STAR: Final = 0
EVERYTHING: Final[Ranges] = ((1, STAR),)


@dataclass(frozen=True, slots=True)
class Flagged(Collection[tuple[int, int, int]]):
    """(sequence number, UID, bits with ``RECENT``) of messages, kept as columns: there may be very many."""

    seqs: Sequence[int] = ()
    uids: Sequence[int] = ()
    bits: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.seqs)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.seqs, self.uids, self.bits, strict=True)

    def __contains__(self, item: object) -> bool:
        return any(item == each for each in self)

    def part(self, start: int, stop: int) -> Flagged:
        """Some of them, by their places here."""
        return Flagged(self.seqs[start:stop], self.uids[start:stop], self.bits[start:stop])

    def but_for(self, known: Mapping[int, int]) -> Flagged:
        """Those whose bits, without ``RECENT``, are not what `known` says of their UIDs."""
        kept = [item for item in self if known.get(item[1]) != item[2] & ~RECENT]
        return Flagged(*zip(*kept, strict=True)) if kept else Flagged()


@dataclass(frozen=True, slots=True)
class Updates:
    """What a client must be told, in this order of fields.

    ``expunged`` are sequence numbers to send as they stand: highest first, so none shifts another. ``exists`` and
    ``recent`` are None unless they must be sent. ``flags`` are (sequence number, UID, bits with ``RECENT``) in the
    numbering after all expunges. ``keywords_changed``: the mailbox has new keywords, FLAGS has to be sent first.
    """

    expunged: Sequence[int] = ()
    exists: int | None = None
    recent: int | None = None
    flags: Flagged = Flagged()
    keywords_changed: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.expunged or self.flags or self.exists is not None or self.recent is not None or self.keywords_changed
        )


NOTHING: Final = Updates()


@dataclass(frozen=True, slots=True)
class Whole:
    """All that a view has, without a copy: the first `count` messages of `columns`, which may grow at their ends.

    ``flags`` are as the index has them, at every moment, but for what went while the view still has it. ``recent`` are
    the positions, from 0, of what is \\Recent in this session, which the bits do not say.
    """

    count: int
    columns: Columns
    flags: array[int]
    recent: tuple[range, ...]


class View:
    """A session's numbering on an index, starting with all that the index has now.

    :param recent: UIDs that are \\Recent in this session.

    ``exists`` is the number of messages that the client knows of.
    """

    __slots__ = (
        "_columns",
        "_expunges",
        "_keywords",
        "_known",
        "_log_position",
        "_modseq",
        "_own_columns",
        "_recent",
        "_recent_told",
        "_tick",
        "exists",
        "index",
    )

    def __init__(self, index: MailboxIndex, recent: Iterable[range] = ()) -> None:
        self.index: Final = index
        self._recent: list[range] = []
        self._known: dict[int, int] = {}
        self._columns = index.columns
        self._own_columns = False
        self._expunges = index.expunges
        self.exists = len(index)
        for uids in recent:
            self.add_recent(uids)
        self._recent_told = self.recent
        self.follow()

    # Numbers and UIDs

    def uid_at(self, seq: int) -> int:
        """The UID of sequence number `seq`; LookupError when there is none."""
        if not 1 <= seq <= self.exists:
            raise LookupError(seq)
        return self._columns.uids[seq - 1]

    def seq_of(self, uid: int) -> int:
        """The sequence number of a UID, 0 if the client knows of no such message."""
        position = bisect_left(self._columns.uids, uid, 0, self.exists)
        return position + 1 if position < self.exists and self._columns.uids[position] == uid else 0

    def covers(self, ranges: Ranges) -> bool:
        """Whether every sequence number in the set names a message, ``*`` included (RFC 3501 section 9, seq-number)."""
        return all(1 <= (first or self.exists) <= self.exists >= (last or self.exists) >= 1 for first, last in ranges)

    def spans(self, ranges: Ranges, by_uid: bool) -> list[tuple[int, int]]:
        """The messages that a set of sequence numbers (or of UIDs) names, each once and ascending.

        Numbers that name no message count for nothing. ``*`` is the last message, even where a range begins above
        it (RFC 3501 section 6.4.8).
        """
        exists = self.exists
        if not exists:
            return []
        uids = self._columns.uids
        last = uids[exists - 1] if by_uid else exists
        spans: list[tuple[int, int]] = []
        for one, other in ranges:
            low, high = one or last, other or last
            if low > high:
                low, high = high, low
            if by_uid:
                start = bisect_left(uids, low, 0, exists)
                if low == high:
                    stop = start + 1 if start < exists and uids[start] == low else start
                else:
                    stop = bisect_right(uids, high, start, exists)
            else:
                start, stop = low - 1, min(high, exists)
            if start < stop:
                spans.append((start, stop))
        return _merged(spans)

    def uids(self, ranges: Ranges, by_uid: bool) -> list[tuple[int, int]]:
        """(sequence number, UID) of each message that the set names, ascending."""
        uids = self._columns.uids
        return [(position + 1, uids[position]) for position in positions_in(self.spans(ranges, by_uid))]

    def rows(self, ranges: Ranges, by_uid: bool) -> Rows:
        """All that the index knows of the messages that the set names, ascending.

        Flags and modseqs are as the index has them now, newer perhaps than what was announced.
        """
        rows = self._columns.rows(self.spans(ranges, by_uid))
        flags = cast("array[int]", rows.flags)
        if self._columns is not self.index.columns:
            modseqs = cast("array[int]", rows.modseqs)
            columns, position_of = self.index.columns, self.index.position
            for place, uid in enumerate(rows.uids):
                position = position_of(uid)
                if position >= 0:
                    flags[place] = columns.flags[position]
                    modseqs[place] = columns.modseqs[position]
        self._mark_recent(rows.uids, flags)
        return rows

    def whole(self) -> Whole:
        """All messages, for who looks at many of them and keeps none."""
        columns, exists = self._columns, self.exists
        if columns is self.index.columns:
            flags = columns.flags
        else:
            flags = cast("array[int]", self.rows(EVERYTHING, by_uid=False).flags)
        uids = columns.uids
        recent = tuple(
            range(bisect_left(uids, span.start, 0, exists), bisect_left(uids, span.stop, 0, exists))
            for span in self._recent
        )
        return Whole(exists, columns, flags, recent)

    # \Recent

    def _mark_recent(self, uids: Sequence[int], flags: array[int]) -> None:
        """Set RECENT in the flags of ascending UIDs, where it is due."""
        for span in self._recent:
            marked = slice(bisect_left(uids, span.start), bisect_left(uids, span.stop))
            flags[marked] = array("q", [bits | RECENT for bits in flags[marked]])

    @property
    def recent(self) -> int:
        """How many of the messages that the client knows of are \\Recent in this session."""
        uids, exists = self._columns.uids, self.exists
        return sum(
            bisect_left(uids, span.stop, 0, exists) - bisect_left(uids, span.start, 0, exists) for span in self._recent
        )

    def is_recent(self, uid: int) -> bool:
        """Whether a UID is \\Recent in this session."""
        return any(uid in span for span in self._recent)

    def add_recent(self, uids: range) -> None:
        """Make more UIDs \\Recent in this session: those that it was the first to be told of."""
        if not uids:
            return
        if self._recent and self._recent[-1].stop == uids.start:
            uids = range(self._recent.pop().start, uids.stop)
        self._recent.append(uids)

    # What to tell the client

    @property
    def unannounced(self) -> int:
        """How many messages the next updates will announce as new; a read-write session claims \\Recent for them."""
        if self._tick == self.index.tick:
            return 0
        uids = self.index.columns.uids
        return len(uids) - bisect_right(uids, self._last_uid())

    @property
    def level(self) -> bool:
        """Whether the client has been told all that the index knows, but for expunges that are held back."""
        return self._tick == self.index.tick

    def pending(self) -> set[int]:
        """UIDs with changes of flags that the client was not told of."""
        if self.level:
            return set()
        changed = self.index.flags_changed_since(self._log_position, self._modseq)
        return set(picked(self.index.columns.uids, changed))

    def follow(self) -> None:
        """Take for told what changed in the index since the view was `level` with it, but for expunges.

        For changes of the client's own, which it knows, where the index has made no others since.
        """
        self._tick = self.index.tick
        self._keywords = self.index.keywords
        self._modseq = self.index.highest_modseq
        self._log_position = self.index.log_position()

    def knows(self, flags: Mapping[int, int]) -> None:
        """Note that the client knows these flags (UID to bits) already: the next updates do not repeat them."""
        self._known.update(flags)

    def updates(self, may_expunge: bool) -> Updates:
        """All that the client must be told to be level with the index, and take it for told.

        Without `may_expunge` messages that went keep their numbers until a later call (RFC 3501 section 7.4.1).
        Costs next to nothing when nothing has changed.
        """
        index = self.index
        if self._tick == index.tick and not (may_expunge and self._expunges.next):
            self._known.clear()
            return NOTHING
        last_uid, known = self._last_uid(), self._known
        changed = index.flags_changed_since(self._log_position, self._modseq)
        keywords_changed = index.keywords is not self._keywords
        expunged = self._announce_expunges() if may_expunge else []
        grown = self._announce_new(last_uid)
        recent = self.recent
        recent_told, self._recent_told = self._recent_told, recent
        flags = self._flags_of(changed, last_uid) if changed else Flagged()
        if known:
            flags = flags.but_for(known)
            self._known = {}
        self.follow()
        return Updates(
            expunged,
            self.exists if grown else None,
            recent if grown or recent != recent_told else None,
            flags,
            keywords_changed,
        )

    def _last_uid(self) -> int:
        return self._columns.uids[self.exists - 1] if self.exists else 0

    def _announce_expunges(self) -> list[int]:
        """Take out the messages that went; their sequence numbers until now, highest first."""
        gone: list[int] = []
        while self._expunges.next:
            gone += filter(None, map(self.seq_of, self._expunges.gone))
            self._expunges = self._expunges.next
        if self._columns is not self.index.columns:
            self._columns = self.index.columns
            self._own_columns = False
            self.exists -= len(gone)
        gone.sort(reverse=True)
        return gone

    def _announce_new(self, last_uid: int) -> bool:
        """Number the messages above `last_uid`; whether there were any."""
        known, theirs = self.exists, self.index.columns
        if self._columns is theirs:
            self.exists = len(theirs)
            return self.exists > known
        start = bisect_right(theirs.uids, last_uid)
        if start == len(theirs):
            return False
        # Expunged messages hold their numbers: from here on this numbering is no other session's.
        if not self._own_columns:
            self._columns = self._columns.first(known)
            self._own_columns = True
        self._columns.append_from(theirs, start)
        self.exists = len(self._columns)
        return True

    def _flags_of(self, positions: Sequence[int], last_uid: int) -> Flagged:
        """The flags of messages by their ascending positions in the index, up to a UID."""
        columns = self.index.columns
        positions = positions[: bisect_left(positions, bisect_right(columns.uids, last_uid))]
        uids, flags = picked(columns.uids, positions), picked(columns.flags, positions)
        self._mark_recent(uids, flags)
        if self._columns is not columns:
            return Flagged([self.seq_of(uid) for uid in uids], uids, flags)
        if isinstance(positions, range):
            return Flagged(range(positions.start + 1, positions.stop + 1), uids, flags)
        return Flagged([position + 1 for position in positions], uids, flags)


def combine(present: int, mode: FlagMode, bits: int) -> int:
    """The flags of a message after STORE (RFC 3501 section 6.4.6)."""
    if mode is FlagMode.ADD:
        return present | bits
    if mode is FlagMode.REMOVE:
        return present & ~bits
    return bits


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans ascending and apart."""
    if len(spans) < 2:
        return spans
    spans.sort()
    merged: list[tuple[int, int]] = []
    start, stop = spans[0]
    for next_start, next_stop in spans:
        if next_start > stop:
            merged.append((start, stop))
            start, stop = next_start, next_stop
        elif next_stop > stop:
            stop = next_stop
    merged.append((start, stop))
    return merged
