"""Some messages of one FETCH with all that was read for them, on its way to the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lightmail.imap.fetch.sections import Section
from lightmail.index.columns import Rows
from lightmail.mime.fields import FieldList
from lightmail.model import ObjectId

T = TypeVar("T")


@dataclass(slots=True)
class Window:
    """Messages, column by column, and what the plan asked to read of them.

    ``flag_text`` turns flag bits into the text of a FLAGS item. ``structures`` holds (ENVELOPE, BODYSTRUCTURE) and
    ``headers`` (header block, packed field offsets) of every message here, where the plan needs them; ``answers`` for
    each field list asked for its literals. ``cuts`` holds for each section that comes from objects its octets in each
    message, in order; None for a part that is not there.
    """

    rows: Rows
    flag_text: Mapping[int, bytes]
    structures: Mapping[ObjectId, tuple[bytes, bytes]] = field(default_factory=dict)
    headers: Mapping[ObjectId, tuple[bytes, bytes]] = field(default_factory=dict)
    answers: dict[FieldList, Mapping[ObjectId, bytes]] = field(default_factory=dict)
    cuts: Mapping[Section, Sequence[bytes | None]] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Window:
        """The window of the messages at positions `start` to `stop`: itself, where those are all."""
        rows = self.rows.part(start, stop)
        return self if rows is self.rows else replace(self, rows=rows)


def chosen(rows: Rows, positions: Sequence[int]) -> Rows:
    """The messages at `positions` of `rows`."""
    if len(positions) == len(rows):
        return rows

    def pick(column: Sequence[T]) -> list[T]:
        return [column[at] for at in positions]

    return Rows(
        pick(rows.seqs),
        pick(rows.uids),
        pick(rows.modseqs),
        pick(rows.flags),
        pick(rows.octets),
        pick(rows.internaldates),
        pick(rows.objects),
    )
