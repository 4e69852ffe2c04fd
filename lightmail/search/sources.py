"""What a search reads: the columns of a mailbox, in memory, and what is fetched for some messages at a time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lightmail.model import ObjectId


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: the first `count` messages of some columns that are aligned and ascend by UID.

    The columns may grow at their ends while the search goes on, and flags may change. ``flags`` are of 64 bits each,
    ``internaldates`` Unix seconds, ``recent`` the positions, from 0, of what is \\Recent in the session that asks.
    ``flag_mask`` gives the one bit of a flag's name, 0 for one that no message has.
    """

    count: int
    uids: array[int]
    flags: array[int]
    octets: array[int]
    internaldates: array[int]
    objects: Sequence[ObjectId]
    recent: Sequence[range]
    flag_mask: Callable[[bytes], int]


class Columns(Protocol):
    """What was kept of a message at delivery: decoded, folded text."""

    @property
    def subject(self) -> str: ...
    @property
    def from_(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def cc(self) -> str: ...
    @property
    def bcc(self) -> str: ...


class Sources(Protocol):
    """Reads for a bounded number of objects; an object that is gone, or damaged, is missing from the answer."""

    async def sent_days(self) -> Sequence[int]:
        """The day of each message's Date field by its own clock, counted from 1 January 1970, for the whole scope.

        Without a Date field it is UNDATED (:mod:`lightmail.mime.dates`).
        """

    async def columns(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, Columns]:
        """The rendered columns."""

    async def headers(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """Header blocks and their packed field offsets."""

    async def containing(self, objects: Sequence[ObjectId], text: str, or_header: bool) -> set[ObjectId]:
        """Those whose decoded text parts (`or_header`: or header) contain `text`, which is folded."""
