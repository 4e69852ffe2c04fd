"""Sequence sets (RFC 3501 section 9, ``sequence-set``): read, resolved and written in linear time.

A set is kept as the ranges its author wrote, never as its members: ``1:4294967295`` is as small as ``1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

NUMBER_MAX: Final = 0xFFFFFFFF
# No message has this number: it stands for `*` until the largest number is known, here and in index views.
STAR: Final = 0

_SHAPE: Final = re.compile(rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?")


class SequenceSet:
    """Numbers named by ranges; ``*`` is the largest number in use, so membership needs to be told that number.

    ``ranges`` holds (low, high) pairs, both ends included, in the order written. :data:`STAR` stands for ``*`` and is
    always the second of its pair.
    """

    __slots__ = ("ranges",)

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.ranges: tuple[tuple[int, int], ...] = tuple(ranges)

    @classmethod
    def parse(cls, text: bytes) -> SequenceSet:
        """The set that `text` writes, such as ``1,3:5,*``. ValueError for anything else, zero and 33 bits included."""
        ranges = []
        for item in text.split(b","):
            if _SHAPE.fullmatch(item) is None:
                raise ValueError("Not a sequence set")
            first, _, last = item.partition(b":")
            low = _number(first)
            high = _number(last) if last else low
            ranges.append((high, low) if low == STAR or (high and low > high) else (low, high))
        return cls(ranges)

    def resolve(self, largest: int) -> list[tuple[int, int]]:
        """The set as ascending, disjoint, non-adjacent (low, high) ranges, where `*` is `largest`.

        With `largest` 0 (an empty mailbox) `*` names nothing. As RFC 3501 section 6.4.8 has it, ``559:*`` contains
        the largest number even where that is below 559. Numbers above `largest` stay: whether they are an error
        (sequence numbers) or simply absent (UIDs) is for the caller to say.
        """
        ranges = []
        for low, high in self.ranges:
            if high == STAR:
                if not largest:
                    continue
                low, high = min(low or largest, largest), max(low, largest)
            ranges.append((low, high))
        return _merge(ranges)

    def highest(self) -> int:
        """The largest number written in the set, :data:`STAR` aside; 0 where there is none but ``*``."""
        return max((max(pair) for pair in self.ranges), default=0)

    def __eq__(self, other: object) -> bool:
        return self.ranges == other.ranges if isinstance(other, SequenceSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __bytes__(self) -> bytes:
        return b",".join(_written(low, high) for low, high in self.ranges)

    def __repr__(self) -> str:
        return f"SequenceSet({bytes(self).decode('ascii')})"


def _number(digits: bytes) -> int:
    if digits == b"*":
        return STAR
    number = int(digits)
    if number > NUMBER_MAX:
        raise ValueError("Number above 4294967295")
    return number


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(ranges) < 2:
        return ranges
    ranges.sort()
    merged = [ranges[0]]
    for low, high in ranges[1:]:
        last_low, last_high = merged[-1]
        if low <= last_high + 1:
            if high > last_high:
                merged[-1] = (last_low, high)
        else:
            merged.append((low, high))
    return merged


def _written(low: int, high: int) -> bytes:
    first = b"*" if low == STAR else b"%d" % low
    if low == high:
        return first
    return first + (b":*" if high == STAR else b":%d" % high)


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(low, high) of each run of consecutive numbers in `numbers`, in their order."""
    low = high = -1
    for number in numbers:
        if number == high + 1 and low >= 0:
            high = number
            continue
        if low >= 0:
            yield low, high
        low = high = number
    if low >= 0:
        yield low, high


def write_set(numbers: Iterable[int]) -> bytes:
    """`numbers` as a sequence set that keeps their order, consecutive ones as a range: ``3:5,9``. Empty for none.

    COPYUID and APPENDUID (RFC 4315) need the order: both their sets run in parallel.
    """
    return b",".join(_written(low, high) for low, high in runs(numbers))
