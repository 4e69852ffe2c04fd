"""What a search reads: the columns of a mailbox, in memory, and what is fetched for some messages at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lightmail.model import ObjectId


class Messages(Protocol):
    """The messages to search, column by column and aligned; ``internaldates`` are Unix seconds."""

    @property
    def seqs(self) -> Sequence[int]: ...
    @property
    def uids(self) -> Sequence[int]: ...
    @property
    def flags(self) -> Sequence[int]: ...
    @property
    def octets(self) -> Sequence[int]: ...
    @property
    def internaldates(self) -> Sequence[int]: ...
    @property
    def objects(self) -> Sequence[ObjectId]: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: one session's view of a mailbox.

    ``flag_mask`` gives the bit of a flag's name, 0 for one that no message has; ``recent`` is the bit that marks
    \\Recent in ``messages.flags``.
    """

    messages: Messages
    flag_mask: Callable[[bytes], int]
    recent: int


class Columns(Protocol):
    """What was kept of a message at delivery: decoded, folded text, and the Date field's wall clock."""

    @property
    def sent_us(self) -> int | None: ...
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

    async def columns(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, Columns]:
        """The rendered columns."""

    async def headers(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """Header blocks and their packed field offsets."""

    async def containing(self, objects: Sequence[ObjectId], text: str, or_header: bool) -> set[ObjectId]:
        """Those whose decoded text parts (`or_header`: or header) contain `text`, which is folded."""
