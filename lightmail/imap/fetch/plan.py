"""What one FETCH needs, found out before anything is read: from the index, the renderings, or the objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from lightmail.errors import LimitReached
from lightmail.imap.fetch.items import FLAGS, UID, Item, Needs
from lightmail.imap.fetch.sections import Section

ITEMS_MAX: Final = 128

# Messages rendered in one go: about 64 KiB of what the index answers, and one query's worth of renderings.
INDEX_MESSAGES: Final = 1000
RENDERED_MESSAGES: Final = 250

# Octets of objects held for one session at a time. A section that is longer is sent while it is read.
BATCH_OCTETS: Final = 2 << 20
STREAM_OCTETS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a FETCH.

    ``form`` is the format of one answer, for the sequence number and then the items' columns. ``sections`` are those
    that come from objects. ``window`` is how many messages to render in one go.
    """

    items: tuple[Item, ...]
    needs: Needs
    sections: tuple[Section, ...]
    sets_seen: bool
    form: bytes
    window: int

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
        sections=tuple(
            item.section for item in chosen.values() if item.section is not None and Needs.OBJECT in item.needs
        ),
        sets_seen=any(item.sets_seen for item in chosen.values()),
        form=b"* %d FETCH (" + b" ".join(chosen) + b")\r\n",
        window=INDEX_MESSAGES if needs is Needs.INDEX else RENDERED_MESSAGES,
    )


def batches(octets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut messages that cost `octets` to hold into runs (start, stop) of at most BATCH_OCTETS each.

    A message over STREAM_OCTETS is a run of its own, since it is not held but streamed.
    """
    start = held = 0
    for at, cost in enumerate(octets):
        if at > start and (held + cost > BATCH_OCTETS or cost > STREAM_OCTETS):
            yield start, at
            start, held = at, 0
        held += cost
        if cost > STREAM_OCTETS:
            yield start, at + 1
            start, held = at + 1, 0
    if start < len(octets):
        yield start, len(octets)
