"""What one FETCH needs, found out before anything is read: from the index, the renderings, or the objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from lightmail.bounded import runs
from lightmail.errors import LimitReached
from lightmail.imap.fetch.items import FLAGS, UID, Item, Needs
from lightmail.imap.fetch.sections import Section
from lightmail.mime.fields import FieldList

ITEMS_MAX: Final = 64
_RENDERED: Final = Needs.STRUCTURE | Needs.HEADER | Needs.FIELDS

# Messages rendered in one go: about 64 KiB of what the index answers, and one query's worth of renderings. A message
# may have a mebibyte of header or structure, and hardly more than it has octets, so these are bounded as well.
INDEX_MESSAGES: Final = 1000
RENDERED_MESSAGES: Final = 500
RENDERING_OCTETS: Final = 1 << 20
RENDERED_OCTETS: Final = 32 << 20

# Octets of objects held for one session at a time. What is longer by itself is sent while it is read.
HELD_OCTETS: Final = 1 << 20
BATCH_MESSAGES: Final = 250
# A message that wants more than that in all has even its smaller sections sent so, down to this.
STREAMED_OCTETS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a FETCH.

    ``form`` is the format of one answer, for the sequence number and then the items' columns. ``lists`` are the field
    lists whose answers are wanted whole. ``sections`` are those that come from objects. ``rendered`` is how many items
    are made from renderings, ``metadata`` whether anything is read but the index and objects.
    """

    items: tuple[Item, ...]
    needs: Needs
    lists: tuple[FieldList, ...]
    sections: tuple[Section, ...]
    sets_seen: bool
    form: bytes
    rendered: int
    metadata: bool

    def with_flags(self) -> Plan:
        """The plan that tells the flags too: they have changed by the FETCH itself."""
        return self if FLAGS in self.items else make_plan((FLAGS, *self.items))


def make_plan(items: Iterable[Item], with_uid: bool = False) -> Plan:
    """The plan for some items; `with_uid` adds the UID, which answers to UID commands need (RFC 3501 section 6.4.8).

    Items that are asked for twice are answered once; more than ITEMS_MAX different ones raise LimitReached.
    """
    chosen: dict[bytes, Item] = {UID.slot: UID} if with_uid else {}
    for item in items:
        # BODY[] and BODY.PEEK[] have one answer, and the first does more.
        if item.slot not in chosen or item.sets_seen:
            chosen[item.slot] = item
    if len(chosen) > ITEMS_MAX:
        raise LimitReached("Too many FETCH items.")
    needs = reduce(or_, (item.needs for item in chosen.values()), Needs.INDEX)
    return Plan(
        items=tuple(chosen.values()),
        needs=needs,
        lists=tuple({item.fields for item in chosen.values() if item.fields is not None}),
        sections=tuple(
            item.section for item in chosen.values() if item.section is not None and Needs.OBJECT in item.needs
        ),
        sets_seen=any(item.sets_seen for item in chosen.values()),
        form=b"* %d FETCH (" + b" ".join(chosen) + b")\r\n",
        rendered=sum(bool(item.needs & _RENDERED) for item in chosen.values()),
        metadata=bool(needs & ~Needs.OBJECT),
    )


def windows(plan: Plan, octets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut messages of `octets` into runs (start, stop) to render in one go."""
    if len(octets) == 1:
        yield 0, 1
        return
    most = INDEX_MESSAGES if plan.needs is Needs.INDEX else RENDERED_MESSAGES
    # Each rendered item may repeat most of what was rendered.
    bound = RENDERED_OCTETS // max(plan.rendered, 1)
    for start in range(0, len(octets), most):
        part = octets[start : start + most]
        if plan.needs is Needs.INDEX or sum(part) <= bound:
            yield start, start + len(part)
            continue
        costs = [min(size, RENDERING_OCTETS) for size in part]
        yield from ((start + first, start + last) for first, last in runs(costs, most_octets=bound, most=most))


def batches(octets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut messages that cost `octets` to hold into runs (start, stop) to read in one go, those to stream apart."""
    if len(octets) == 1:
        return iter(((0, 1),))
    return runs(octets, most_octets=HELD_OCTETS, most=BATCH_MESSAGES)
