"""What a SEARCH asks for, as a tree (RFC 3501 section 6.4.4); nothing here knows how IMAP writes it.

Leaves name what they compare with in the store's own terms: microseconds, octets, folded text. Every node has a
`stage`, the dearest kind of data that it needs; the evaluation does what is cheap first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias


class Stage(IntEnum):
    """What must be at hand to answer, cheapest first."""

    INDEX = 0  # the mailbox index, in memory, with the days on which messages were sent
    COLUMNS = 1  # the columns rendered at delivery: one narrow query for hundreds of messages
    HEADER = 2  # the header block
    BODY = 3  # the message's object


class NumberSet(Protocol):
    """A sequence set: see `lightmail.imap.sequences.SequenceSet`."""

    def resolve(self, largest: int) -> list[tuple[int, int]]:
        """Ascending, disjoint (low, high) ranges where `*` is `largest`."""


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""

    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class HasFlag:
    """Messages with this flag or keyword, compared without regard to case."""

    name: bytes
    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class IsRecent:
    """Messages that are \\Recent in the session that asks."""

    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Messages whose sequence number, or UID, is in the set."""

    numbers: NumberSet
    by_uid: bool
    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class Sized:
    """Messages of more than `above` octets, and fewer than `below` where that is given."""

    above: int = -1
    below: int | None = None
    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Messages whose INTERNALDATE is in [`since_us`, `before_us`), Unix microseconds UTC; None is no bound."""

    since_us: int | None
    before_us: int | None
    stage: Stage = field(default=Stage.INDEX, init=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """Messages whose Date field is of a day in [`since_day`, `before_day`), by its own clock; without Date, none.

    Days are counted from 1 January 1970; None is no bound.
    """

    since_day: int | None
    before_day: int | None
    stage: Stage = field(default=Stage.INDEX, init=False)


class Column(IntEnum):
    """The header fields that are kept decoded and folded beside the message."""

    SUBJECT = 0
    FROM = 1
    TO = 2
    CC = 3
    BCC = 4


@dataclass(frozen=True, slots=True)
class InColumn:
    """Messages whose field contains `text`, which is folded."""

    column: Column
    text: str
    stage: Stage = field(default=Stage.COLUMNS, init=False)


@dataclass(frozen=True, slots=True)
class InHeader:
    """Messages with a field `name` (lower-case) that contains `text`, folded; empty text asks for the field alone."""

    name: bytes
    text: str
    stage: Stage = field(default=Stage.HEADER, init=False)


@dataclass(frozen=True, slots=True)
class InBody:
    """Messages whose decoded text parts contain `text`, folded; `or_header`: or whose header does (TEXT)."""

    text: str
    or_header: bool
    stage: Stage = field(default=Stage.BODY, init=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Messages that `node` does not match."""

    node: Criteria

    @property
    def stage(self) -> Stage:
        return self.node.stage


@dataclass(frozen=True, slots=True)
class And:
    """Messages that every node matches; of no nodes, all."""

    nodes: Sequence[Criteria]

    @property
    def stage(self) -> Stage:
        return max((node.stage for node in self.nodes), default=Stage.INDEX)


@dataclass(frozen=True, slots=True)
class Or:
    """Messages that any node matches."""

    nodes: Sequence[Criteria]

    @property
    def stage(self) -> Stage:
        return max((node.stage for node in self.nodes), default=Stage.INDEX)


Criteria: TypeAlias = (
    All | HasFlag | IsRecent | Numbered | Sized | Arrived | Sent | InColumn | InHeader | InBody | Not | And | Or
)
