"""A message as its page shows it: header fields, the parts that are its text, and what is attached to it."""

from __future__ import annotations

import mimetypes
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard

from lightmail.errors import NoSuchMessage
from lightmail.mime import parameters
from lightmail.mime.fields import Fields, decoded_field, decoded_header
from lightmail.mime.parts import PartExtent, all_parts
from lightmail.mime.text import decode_part
from lightmail.mime.transfer import Decoder
from lightmail.model import BlobRef
from lightmail.store.blobs import unpacked_header
from lightmail.web.api.content import TEXT_OCTETS, Reader, path_text
from lightmail.web.api.shown import line, lines
from lightmail.web.downloads import file_name
from lightmail.web.pages import sanitising

# Parts that are told of one message, and octets of each one's MIME header that are read for its name.
MOST_PARTS: Final = 200
_MIME_OCTETS: Final = 4096
# What is shown of a header; the rest is in the download.
_FIELD_CHARACTERS: Final = 10_000
_HEADER_OCTETS: Final = 64 << 10
_FIELDS: Final = (
    (b"from", "From"),
    (b"reply-to", "Reply to"),
    (b"to", "To"),
    (b"cc", "Cc"),
    (b"bcc", "Bcc"),
    (b"subject", "Subject"),
    (b"date", "Date"),
    (b"message-id", "Message-ID"),
)
_PLAIN: Final = b"text/plain"
_HTML: Final = b"text/html"


@dataclass(frozen=True, slots=True)
class Header:
    """Header fields with their names, those that people look at, and the whole block, decoded. ``virus`` is what the
    first field on it says, which is ours in a message that was withheld."""

    fields: Sequence[tuple[str, str]]
    whole: str
    truncated: bool
    virus: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has content. `number` is as in IMAP; `octets` is its size as it was sent; `name` is fit for a file.

    `attached`: it is no text of the message itself, whatever its type.
    """

    extent: PartExtent
    number: str
    media_type: str
    name: str
    octets: int
    attached: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a message: the one that is its text, the one that is its HTML, and all others."""

    plain: Part | None
    html: Part | None
    others: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a part's text; `truncated`: there is more of it."""

    text: str
    truncated: bool


def header(packed: bytes, offsets: bytes) -> Header:
    """What is shown of a header block as the database has it; nothing of one that is damaged. It blocks."""
    try:
        block = unpacked_header(packed)
        found = [(title, decoded_field(block, offsets, name)) for name, title in _FIELDS]
        virus = (decoded_field(block, offsets, b"x-virus-status") or "").partition("\n")[0]
    except (zstandard.ZstdError, struct.error, IndexError):
        return Header((), "", False)
    shown = [(title, line(text, _FIELD_CHARACTERS)) for title, text in found if text]
    whole = decoded_header(block[:_HEADER_OCTETS])
    return Header(shown, lines(whole, _HEADER_OCTETS), len(block) > _HEADER_OCTETS, line(virus, _FIELD_CHARACTERS))


async def parts(reader: Reader, ref: BlobRef, packed: bytes) -> Parts:
    """The parts of a message; their names stand in its object. Raises Corruption, Unavailable."""
    extents = _outline(packed)
    wanted = [(ref, each.mime_start, min(each.body_start, each.mime_start + _MIME_OCTETS)) for each in extents]
    blocks = await reader.blobs.read_many(wanted)
    found = [
        _part(each, block if isinstance(block, bytes) else b"") for each, block in zip(extents, blocks, strict=True)
    ]
    plain, html = _first(found, _PLAIN), _first(found, _HTML)
    return Parts(plain, html, [each for each in found if each not in (plain, html)])


async def part(reader: Reader, ref: BlobRef, packed: bytes, number: str) -> Part:
    """One part by its number. Raises NoSuchMessage where there is none, Corruption, Unavailable."""
    extent = next((each for each in _outline(packed) if path_text(each) == number), None)
    if extent is None:
        raise NoSuchMessage("The message has no such part.")
    return _part(extent, await reader.blobs.read(ref, extent.mime_start, extent.mime_start + _MIME_OCTETS))


async def text(reader: Reader, ref: BlobRef, wanted: Part) -> Text:
    """The text of a part, decoded. Raises Corruption, Unavailable."""
    extent = wanted.extent
    stop = min(extent.body_end, extent.body_start + TEXT_OCTETS)
    octets = await reader.blobs.read(ref, extent.body_start, stop)
    decoded = await reader.pool.run(decode_part, octets, extent.encoding, extent.charset)
    return Text(lines(decoded, TEXT_OCTETS), stop < extent.body_end)


async def shown(reader: Reader, ref: BlobRef, found: Parts) -> Text:
    """The beginning of what a message says: its text, or that of its HTML where it has no other."""
    wanted = found.plain or found.html
    if wanted is None:
        return Text("", False)
    said = await text(reader, ref, wanted)
    if wanted is found.html:
        plain = await reader.pool.run(sanitising.plain_text, said.text)
        # HTML can name characters that no text may have: "&#27;".
        return Text(lines(plain, TEXT_OCTETS), said.truncated)
    return said


async def decoded(reader: Reader, ref: BlobRef, wanted: Part) -> AsyncIterator[bytes]:
    """The content of a part of any size, its transfer encoding undone. Raises Corruption, Unavailable."""
    decoder = Decoder(wanted.extent.encoding)
    async for octets in reader.blobs.chunks(ref, wanted.extent.body_start, wanted.extent.body_end):
        if piece := decoder.feed(octets):
            yield piece
    if piece := decoder.end():
        yield piece


def _outline(packed: bytes) -> list[PartExtent]:
    """The parts that have content of their own. Of a message within the message it is the whole."""
    found: list[PartExtent] = []
    within: tuple[int, ...] | None = None
    for each in all_parts(packed) if packed else ():
        if within is not None and each.path[: len(within)] == within:
            continue
        if not each.path or each.media_type.startswith(b"multipart/"):
            continue
        within = each.path if each.message is not None else None
        found.append(each)
        if len(found) == MOST_PARTS:
            break
    return found


def _part(extent: PartExtent, mime_header: bytes) -> Part:
    fields = Fields(mime_header)
    disposition = parameters.parse_value(fields.first(b"content-disposition") or b"")
    content_type = parameters.parse_type(fields.first(b"content-type") or b"")
    name = parameters.decode_parameter(disposition[1], b"filename") if disposition else ""
    if not name and content_type:
        name = parameters.decode_parameter(content_type[2], b"name")
    number, media_type = path_text(extent), extent.media_type.decode("ascii")
    ending = mimetypes.guess_extension(media_type) or ".bin"
    if extent.message is not None:
        ending = ".eml"
    is_text = extent.media_type in (_PLAIN, _HTML)
    attached = not is_text or bool(name) or (disposition is not None and disposition[0].lower() == b"attachment")
    octets = extent.body_end - extent.body_start
    return Part(extent, number, media_type, file_name(name, f"part-{number}{ending}"), octets, attached)


def _first(found: Sequence[Part], media_type: bytes) -> Part | None:
    return next((each for each in found if each.extent.media_type == media_type and not each.attached), None)
