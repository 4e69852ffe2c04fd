"""Where each section of a message is: the packed extents behind BODY[1.2], and how to read them.

The packed form is text, a row per numbered part: LF, then tab-separated path (``1.2``; empty for the whole message),
where its MIME header starts, where its body starts and ends, the body's lines, media type, encoding, charset, and for
a message/rfc822 where the text of the message in it starts. Finding a part is one ``bytes.find``.
"""

from __future__ import annotations

from typing import NamedTuple

from lightmail.mime.content import Kind
from lightmail.mime.scanner import Entity


class MessageExtent(NamedTuple):
    """A message within a part: BODY[n.HEADER] (its blank line included) and BODY[n.TEXT]."""

    header_start: int
    header_end: int
    text_start: int
    text_end: int


class PartExtent(NamedTuple):
    """A numbered part of RFC 3501 section 6.4.5; offsets in octets from the message's start.

    BODY[n.MIME] is ``mime_start`` to ``body_start``, BODY[n] ``body_start`` to ``body_end``. ``media_type``,
    ``encoding`` and ``charset`` are lower-case, b"" where unfit to print; ``lines`` are the body's. ``message`` is set
    for message/rfc822 parts, and for path (), the whole message, whose body is all of it.
    """

    path: tuple[int, ...]
    mime_start: int
    body_start: int
    body_end: int
    media_type: bytes
    encoding: bytes
    charset: bytes
    lines: int
    message: MessageExtent | None


def pack_parts(root: Entity) -> bytes:
    """Return the packed extents of a scanned message, in the order of the message."""
    lines = root.lines_before + root.lines
    rows = [b"\n\t0\t0\t%d\t%d\tmessage/rfc822\t7bit\t\t%d" % (root.body_end, lines, root.body_start)]
    waiting: list[tuple[bytes, Entity]] = [(b"", root)]
    while waiting:
        path, entity = waiting.pop()
        content = entity.content
        dot = path + b"." if path else b""
        if entity.is_message and content.kind is not Kind.MULTIPART:
            # A message that is no multipart has one part, and that is its own body (RFC 3501 section 6.4.5).
            path = dot + b"1"
            dot = path + b"."
        if path and not (entity.is_message and content.kind is Kind.MULTIPART):
            rows.append(_row(path, entity))
        if content.kind is Kind.MESSAGE:
            waiting.append((path, entity.children[0]))
        elif content.kind is Kind.MULTIPART:
            numbered = [(dot + b"%d" % number, child) for number, child in enumerate(entity.children, 1)]
            waiting.extend(reversed(numbered))
    return b"".join(rows)


def find_part(packed: bytes, path: tuple[int, ...]) -> PartExtent | None:
    """Return the part that a section names by numbers, () for the whole message; None where there is no such part."""
    start = packed.find(b"\n%b\t" % b".".join([b"%d" % number for number in path]))
    if start < 0:
        return None
    end = packed.find(b"\n", start + 1)
    return _extent(packed[start + 1 : end if end >= 0 else len(packed)])


def all_parts(packed: bytes) -> list[PartExtent]:
    """Return all parts in the message's order, the whole message, path (), first."""
    return [_extent(row) for row in packed.split(b"\n")[1:]]


def _row(path: bytes, entity: Entity) -> bytes:
    content = entity.content
    nested = b"%d" % entity.children[0].body_start if content.kind is Kind.MESSAGE else b""
    return b"\n%b\t%d\t%d\t%d\t%d\t%b\t%b\t%b\t%b" % (
        path,
        entity.header_start,
        entity.body_start,
        entity.body_end,
        entity.lines,
        content.media_type,
        content.encoding,
        content.charset,
        nested,
    )


def _extent(row: bytes) -> PartExtent:
    path, mime_start, body_start, body_end, lines, media_type, encoding, charset, nested = row.split(b"\t")
    start, end = int(body_start), int(body_end)
    return PartExtent(
        tuple(map(int, path.split(b"."))) if path else (),
        int(mime_start),
        start,
        end,
        media_type,
        encoding,
        charset,
        int(lines),
        MessageExtent(start, int(nested), int(nested), end) if nested else None,
    )
