"""Reading what a plan needs: renderings for a window of messages, octets for a batch of them in one hand-off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from lightmail.errors import MailError
from lightmail.imap.fetch.items import Needs
from lightmail.imap.fetch.plan import HELD_OCTETS, Plan
from lightmail.imap.fetch.sections import Section
from lightmail.imap.fetch.window import Window, chosen
from lightmail.model import BlobRef, ObjectId

if TYPE_CHECKING:
    from lightmail.imap.services import ImapServices
    from lightmail.index.chunks import ChunkRef
    from lightmail.index.columns import Rows
    from lightmail.index.mailbox import MailboxIndex
    from lightmail.index.rendered import RenderedCache
    from lightmail.model import Account
    from lightmail.objects.ahead import Ahead, Following

# Sections of one message are read as one range where that costs little more than what lies between them.
_GAP_OCTETS: Final = 1 << 16

Range: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class Loaded:
    """A window whose renderings are there, the octets that its sections want, and the messages that lack something."""

    window: Window
    wants: list[MessageWants]
    missing: list[int]


@dataclass(slots=True)
class MessageWants:
    """What one message's sections want of its object.

    ``ranges`` is a range for each section, None for a part that is not there. ``reads`` are the ranges to read for
    them, one for all where they lie close together. ``octets`` is what they take in memory, read or answered: sections
    may overlap.
    """

    ref: BlobRef
    ranges: Sequence[Range | None]
    reads: Sequence[Range]
    octets: int

    @property
    def large(self) -> bool:
        """Whether it is to be streamed, not held."""
        return self.octets > HELD_OCTETS


def message_wants(ref: BlobRef, ranges: Sequence[Range | None]) -> MessageWants:
    """The reads that some ranges of a message take; empty ranges take none."""
    reads = [pair for pair in ranges if pair is not None and pair[0] < pair[1]]
    octets = sum(stop - start for start, stop in reads)
    if len(reads) > 1:
        first, last = min(start for start, _ in reads), max(stop for _, stop in reads)
        if last - first <= octets + _GAP_OCTETS:
            reads, octets = [(first, last)], max(octets, last - first)
    return MessageWants(ref, ranges, reads, octets)


async def load(
    services: ImapServices,
    account: Account,
    plan: Plan,
    rows: Rows,
    index: MailboxIndex,
    following: Callable[[], Sequence[ObjectId]],
) -> Loaded:
    """Read the renderings and places of objects that `plan` needs for `rows`, a window of those of `index`.

    `following` names objects whose octets will be wanted next; their places are asked for along with those.
    """
    window = Window(rows, index.keywords.text)
    objects = rows.objects
    read: list[Mapping[ObjectId, object]] = []
    parts: Mapping[ObjectId, bytes] = {}
    refs: Mapping[ObjectId, BlobRef] = {}
    if plan.metadata:
        parts = await _load_metadata(services.rendered, account, plan, window, index.chunk_refs, read)
    if plan.sections:
        refs = await services.rendered.refs(account, objects, following)
        read.append(refs)
    missing: list[int] = []
    if any(len(found) < len(objects) for found in read):
        present = [at for at, of in enumerate(objects) if all(of in found for found in read)]
        missing = sorted(set(rows.uids).difference(rows.uids[at] for at in present))
        window.rows = chosen(rows, present)
    return Loaded(window, _wants(plan.sections, window.rows, refs, parts), missing)


async def _load_metadata(
    rendered: RenderedCache,
    account: Account,
    plan: Plan,
    window: Window,
    chunks: Sequence[ChunkRef],
    read: list[Mapping[ObjectId, object]],
) -> Mapping[ObjectId, bytes]:
    """Put into `window` what `plan` needs of renderings, and into `read` what was read; the packed parts."""
    needs, objects = plan.needs, window.rows.objects
    if Needs.STRUCTURE in needs:
        window.structures = await rendered.envelopes(account, objects, chunks)
        read.append(window.structures)
    if Needs.HEADER in needs:
        window.headers = await rendered.headers(account, objects, chunks)
        read.append(window.headers)
    for fields in plan.lists:
        window.answers[fields] = await rendered.answers(account, objects, fields, chunks)
        read.append(window.answers[fields])
    if Needs.PARTS not in needs:
        return {}
    parts = await rendered.parts(account, objects, chunks)
    read.append(parts)
    return parts


def _wants(
    sections: Sequence[Section], rows: Rows, refs: Mapping[ObjectId, BlobRef], parts: Mapping[ObjectId, bytes]
) -> list[MessageWants]:
    if not sections:
        return []
    wants = []
    for of in rows.objects:
        ref, packed = refs[of], parts.get(of, b"")
        wants.append(message_wants(ref, [section.wanted(packed, ref.octets) for section in sections]))
    return wants


async def read_batch(
    services: ImapServices,
    sections: Sequence[Section],
    wants: Sequence[MessageWants],
    ahead: Ahead,
    following: Following,
) -> list[list[bytes | None] | MailError]:
    """For each message the octets that answer its sections, or why they cannot be had. One hand-off for all."""
    jobs = [(message.ref, start, stop) for message in wants for start, stop in message.reads]
    results = iter(await services.blobs.read_many(jobs, ahead, following) if jobs else ())
    return [_answer(sections, message, [next(results) for _ in message.reads]) for message in wants]


def _answer(
    sections: Sequence[Section], message: MessageWants, results: Sequence[bytes | MailError]
) -> list[bytes | None] | MailError:
    read: list[bytes] = []
    for octets in results:
        if isinstance(octets, MailError):
            return octets
        read.append(octets)
    following = iter(read)
    answers: list[bytes | None] = []
    for section, pair in zip(sections, message.ranges, strict=True):
        if pair is None:
            answers.append(None)
        elif pair[0] == pair[1]:
            answers.append(section.of(b""))
        elif len(read) == 1:
            base = message.reads[0][0]
            answers.append(section.of(read[0][pair[0] - base : pair[1] - base]))
        else:
            answers.append(section.of(next(following)))
    return answers
