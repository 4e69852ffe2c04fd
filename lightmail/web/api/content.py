"""What a message says, for endpoints: its octets in pieces, its text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from lightmail.mime.parts import PartExtent, all_parts
from lightmail.mime.text import decode_part
from lightmail.model import BlobRef
from lightmail.objects.blobs import Blobs
from lightmail.operations.admin_messages import Opened
from lightmail.threads import BoundedPool

# Encoded octets of a part that are looked at for its text.
TEXT_OCTETS: Final = 256 << 10
# Parts that are told of one message.
MOST_PARTS: Final = 1000


class Reader(Protocol):
    """What reads messages: their objects, and threads to decode them in."""

    @property
    def blobs(self) -> Blobs:
        """The objects."""

    @property
    def pool(self) -> BoundedPool:
        """The threads."""


@dataclass(frozen=True, slots=True)
class PartText:
    """The text of a part; `truncated`: there is more of it."""

    part: str
    media_type: str
    text: str
    truncated: bool


async def pieces(reader: Reader, ref: BlobRef) -> AsyncIterator[bytes]:
    """The octets of a message, each piece read when it is asked for. The first is there already.

    Raises Corruption, Unavailable.
    """
    return await begun(reader.blobs.chunks(ref))


async def begun(rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, of which the first has been read: what is not there is told before an answer begins."""
    first = await anext(rest, b"")
    return _with_first(first, rest)


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def leaves(parts: bytes) -> list[PartExtent]:
    """The parts of a message that have content of their own, in its order."""
    return [part for part in all_parts(parts) if part.path][:MOST_PARTS] if parts else []


def path_text(part: PartExtent) -> str:
    """A part's number as IMAP writes it: ``1.2``."""
    return ".".join(map(str, part.path))


async def text(reader: Reader, opened: Opened) -> PartText | None:
    """The text of a message's first text/plain part, else of its first text/html part as it stands; None without one.

    Raises Corruption, Unavailable.
    """
    parts = leaves(opened.parts)
    kinds = (b"text/plain", b"text/html")
    part = next((part for kind in kinds for part in parts if part.media_type == kind), None)
    if part is None:
        return None
    stop = min(part.body_end, part.body_start + TEXT_OCTETS)
    octets = await reader.blobs.read(opened.ref, part.body_start, stop)
    decoded = await reader.pool.run(decode_part, octets, part.encoding, part.charset)
    return PartText(path_text(part), part.media_type.decode("ascii"), decoded, stop < part.body_end)
