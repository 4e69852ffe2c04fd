"""All that list views and searches need of a message, made in one pass over its octets."""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from lightmail.mime.dates import parse_sent
from lightmail.mime.encoded_words import decode
from lightmail.mime.fields import Fields
from lightmail.mime.parts import pack_parts
from lightmail.mime.scanner import BLOCK_OCTETS, scan
from lightmail.mime.structure import bodystructure
from lightmail.mime.subjects import base_subject
from lightmail.model import Rendering

# Raised whenever the same octets render to something else than before.
RENDER_VERSION: Final = 1

# A thread needs its first message and the latest ones; a longer References keeps those.
MAX_REFERENCES: Final = 100
MAX_MESSAGE_ID_OCTETS: Final = 998

_MESSAGE_ID: Final = re.compile(rb"<([^<>]++)>")
_ID_NOISE: Final = re.compile(rb'[ \t\r\n"]+')


def render(read: BinaryIO, block_octets: int = BLOCK_OCTETS) -> Rendering:
    """Render the message that ``read`` yields from where it stands to its end.

    Never raises for what the octets are; what ``read.read`` raises passes through. Memory is bounded by the header
    block and the number of parts, not by the message: blocks of ``block_octets`` are looked at and given up.
    """
    root, fields = scan(read.read, block_octets)
    subject = _text(fields.first(b"subject") or b"")
    sent = parse_sent(fields.first(b"date") or b"")
    return Rendering(
        version=RENDER_VERSION,
        envelope=root.envelope,
        bodystructure=bodystructure(root),
        header=fields.block,
        header_fields=fields.pack(),
        parts=pack_parts(root),
        sent_us=None if sent is None else sent.local_us,
        subject=subject.casefold(),
        base_subject=base_subject(subject).casefold(),
        from_=_search_text(fields, b"from"),
        to=_search_text(fields, b"to"),
        cc=_search_text(fields, b"cc"),
        bcc=_search_text(fields, b"bcc"),
        message_id=_message_id(fields),
        references=_references(fields),
    )


def _search_text(fields: Fields, name: bytes) -> str:
    """All fields of a name, decoded and case-folded, one a line: what SEARCH FROM, TO, CC and BCC look into."""
    if name not in fields:
        return ""
    return "\n".join([_text(value) for value in fields.all(name)]).casefold()


def _text(value: bytes) -> str:
    """A tab is mostly what the line was folded with, and nobody searches for one."""
    return decode(value.replace(b"\t", b" "))


def _message_id(fields: Fields) -> str:
    ids = _ids(fields.first(b"message-id") or b"")
    return ids[0] if ids else ""


def _references(fields: Fields) -> str:
    """The ids this message answers, oldest first: References, else the first of In-Reply-To (RFC 5256 section 3)."""
    ids = _ids(b" ".join(fields.all(b"references")))
    if not ids:
        ids = _ids(fields.first(b"in-reply-to") or b"")[:1]
    if len(ids) > MAX_REFERENCES:
        ids[1 : len(ids) - MAX_REFERENCES + 1] = []
    return " ".join(ids)


def _ids(value: bytes) -> list[str]:
    """The message ids in a field as ``<left@right>``, without the quotes and spaces that make no difference."""
    found = [_ID_NOISE.sub(b"", text) for text in _MESSAGE_ID.findall(value)]
    return [f"<{decode(text)}>" for text in found if 0 < len(text) <= MAX_MESSAGE_ID_OCTETS]
