"""What the index answers of a search, for all messages of a mailbox at the speed of C.

A set of messages is a string of marks: an octet for each message, 1 where it is in the set and 0 where it is not. So
the bits of a flag are found by a translation of octets, and sets are joined as if they were long integers; only sizes
and dates are compared one by one, in 40 ns.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import and_, or_, xor
from typing import Final

from lightmail.mime.dates import UNDATED
from lightmail.search.criteria import (
    All,
    And,
    Arrived,
    Criteria,
    HasFlag,
    IsRecent,
    Not,
    Numbered,
    Or,
    Sent,
    Sized,
)
from lightmail.search.sources import Scope, Sources
from lightmail.turns import Turn

# Messages looked at between two offers to yield: with as many keys as a search may have, for about 5 ms.
SLICE: Final = 2048
_OCTETS_PER_FLAGS: Final = 8
_MICROSECONDS: Final = 1_000_000
_FAR: Final = 1 << 62

# For each bit of an octet: what to make of every octet so that the bit is left as a mark.
_BIT_MARKS: Final = [bytes(octet >> bit & 1 for octet in range(256)) for bit in range(8)]


class IndexMatcher:
    """Answers the nodes of stage INDEX."""

    def __init__(self, scope: Scope, sources: Sources, turn: Turn) -> None:
        self._scope = scope
        self._sources = sources
        self._turn = turn
        self._days: Sequence[int] = ()
        self._known: dict[int, bytes] = {}

    async def marks(self, node: Criteria) -> bytes:
        """The marks of all messages that match, found once for each node. Raises what the sources raise."""
        marks = self._known.get(id(node))
        if marks is None:
            if not self._days and _asks_for_days(node):
                self._days = await self._sources.sent_days()
            pieces = []
            for start in range(0, self._scope.count, SLICE):
                pieces.append(self._slice(node, start, min(start + SLICE, self._scope.count)))
                await self._turn.offer()
            marks = self._known[id(node)] = b"".join(pieces)
        return marks

    def _slice(self, node: Criteria, start: int, stop: int) -> bytes:
        """The marks of the messages from position `start` to `stop`."""
        scope = self._scope
        match node:
            case All():
                return _all(stop - start)
            case And():
                return reduce(_both, [self._slice(inner, start, stop) for inner in node.nodes], _all(stop - start))
            case Or():
                return reduce(_either, [self._slice(inner, start, stop) for inner in node.nodes])
            case Not():
                return _but(_all(stop - start), self._slice(node.node, start, stop))
            case HasFlag():
                return _with_bit(scope.flags[start:stop], scope.flag_mask(node.name))
            case IsRecent() | Numbered():
                return self._spanned(node)[start:stop]
            case Sized():
                above, below = node.above, _FAR if node.below is None else node.below
                return bytes([above < octets < below for octets in scope.octets[start:stop]])
            case Arrived():
                since = -_FAR if node.since_us is None else node.since_us // _MICROSECONDS
                before = _FAR if node.before_us is None else node.before_us // _MICROSECONDS
                return bytes([since <= date < before for date in scope.internaldates[start:stop]])
            case Sent():
                since = UNDATED + 1 if node.since_day is None else node.since_day
                before = _FAR if node.before_day is None else node.before_day
                return bytes([since <= day < before for day in self._days[start:stop]])
            case _:
                raise TypeError(f"the index does not answer {node!r}")

    def _spanned(self, node: IsRecent | Numbered) -> bytes:
        """The marks of what is named by its place, for the whole mailbox."""
        marks = self._known.get(id(node))
        if marks is None:
            spans = self._scope.recent if isinstance(node, IsRecent) else self._positions(node)
            made = bytearray(self._scope.count)
            for span in spans:
                made[span.start : span.stop] = b"\1" * len(span)
            marks = self._known[id(node)] = bytes(made)
        return marks

    def _positions(self, node: Numbered) -> Iterable[range]:
        uids, count = self._scope.uids, self._scope.count
        for low, high in node.numbers.resolve(uids[count - 1] if node.by_uid else count):
            if node.by_uid:
                yield range(bisect_left(uids, low, 0, count), bisect_right(uids, high, 0, count))
            else:
                yield range(min(low - 1, count), min(high, count))


def _asks_for_days(node: Criteria) -> bool:
    match node:
        case And() | Or():
            return any(map(_asks_for_days, node.nodes))
        case Not():
            return _asks_for_days(node.node)
        case _:
            return isinstance(node, Sent)


def _with_bit(flags: array[int], mask: int) -> bytes:
    """The marks of the flags that have the one bit of `mask`."""
    if not mask:
        return bytes(len(flags))
    octet, bit = divmod(mask.bit_length() - 1, 8)
    if sys.byteorder == "big":
        octet = _OCTETS_PER_FLAGS - 1 - octet
    return flags.tobytes()[octet::_OCTETS_PER_FLAGS].translate(_BIT_MARKS[bit])


def _all(count: int) -> bytes:
    return b"\1" * count


def _joined(one: bytes, other: bytes, join: Callable[[int, int], int]) -> bytes:
    return join(int.from_bytes(one, "little"), int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _both(one: bytes, other: bytes) -> bytes:
    return _joined(one, other, and_)


def _either(one: bytes, other: bytes) -> bytes:
    return _joined(one, other, or_)


def _but(everything: bytes, other: bytes) -> bytes:
    return _joined(everything, other, xor)
