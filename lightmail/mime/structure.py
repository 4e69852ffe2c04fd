"""BODYSTRUCTURE and BODY of RFC 3501 section 7.4.2, as the octets that go over the wire."""

from __future__ import annotations

import re
from typing import Final

from lightmail.mime.content import Kind
from lightmail.mime.scanner import Entity

# A quoted string, the head of a literal, a parenthesis, or an atom such as NIL or a number.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\{(\d+)\}\r\n|[()]|[^ ()"{]++', re.DOTALL)

# How many elements of each kind of body stand before its extension data.
_BASIC, _TEXT, _MESSAGE = 7, 8, 10


def bodystructure(root: Entity) -> bytes:
    """Return the BODYSTRUCTURE of a scanned message, extension data included.

    For each part: type, subtype, parameters, id, description, encoding, size in octets; lines for text; envelope,
    body structure and lines for message/rfc822; then MD5, disposition, language and location.
    """
    out: list[bytes] = []
    waiting: list[Entity | bytes] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            out.append(item)
            continue
        content = item.content
        if content.kind is Kind.MULTIPART:
            out.append(b"(")
            waiting.append(b" %b%b)" % (content.head, content.tail))
            waiting.extend(reversed(item.children))
        elif content.kind is Kind.MESSAGE:
            message = item.children[0]
            out.append(b"(%b %d %b " % (content.head, item.body_end - item.body_start, message.envelope))
            waiting.append(b" %d%b)" % (item.lines, content.tail))
            waiting.append(message)
        elif content.kind is Kind.TEXT:
            octets = item.body_end - item.body_start
            out.append(b"(%b %d %d%b)" % (content.head, octets, item.lines, content.tail))
        else:
            out.append(b"(%b %d%b)" % (content.head, item.body_end - item.body_start, content.tail))
    return b"".join(out)


def strip_extensions(structure: bytes) -> bytes:
    """Return the BODY form of what :func:`bodystructure` returned: the same without extension data."""
    out: list[bytes] = []
    open_bodies: list[_Body] = []
    position, end = 0, len(structure)
    while position < end:
        if structure[position] == 32:
            position += 1
            continue
        body = open_bodies[-1] if open_bodies else None
        if structure[position] == 41:  # ")"
            open_bodies.pop()
            out.append(b")")
            position += 1
            continue
        if body is None or body.expects_body(structure, position):
            if body is not None:
                body.add(out)
            open_bodies.append(_Body())
            out.append(b"(")
            position += 1
            continue
        stop = _element_end(structure, position)
        body.element(structure[position:stop], out)
        position = stop
    return b"".join(out)


class _Body:
    """How far one body structure has been read."""

    __slots__ = ("count", "is_message", "is_multipart", "keep", "main")

    def __init__(self) -> None:
        self.count = 0
        self.keep = _BASIC
        self.main = b""
        self.is_message = False
        self.is_multipart = False

    def expects_body(self, structure: bytes, position: int) -> bool:
        """Whether the parenthesis at ``position``, if it is one, opens a body and no list."""
        if structure[position] != 40:  # "("
            return False
        if self.count == 0 or (self.is_multipart and self.keep == 0):
            return True
        return self.is_message and self.count == _MESSAGE - 2

    def add(self, out: list[bytes]) -> None:
        """Take note of a body that comes next, as a part of a multipart or within a message/rfc822."""
        if self.is_message:
            out.append(b" ")
        elif self.count == 0:
            self.is_multipart, self.keep = True, 0
        self.count += 1

    def element(self, text: bytes, out: list[bytes]) -> None:
        """Take a string, number or list; it is kept where it comes before the extension data."""
        self.count += 1
        if self.is_multipart:
            # The subtype comes after the last part, and is all that is kept.
            if self.keep == 0:
                self.keep = self.count
                out.append(b" " + text)
            return
        if self.count == 1:
            self.main = text.lower()
            self.keep = _TEXT if self.main == b'"text"' else _BASIC
        elif self.count == 2 and self.main == b'"message"' and text.lower() == b'"rfc822"':
            self.is_message, self.keep = True, _MESSAGE
        if self.count <= self.keep:
            out.append(text if self.count == 1 else b" " + text)


def _element_end(structure: bytes, position: int) -> int:
    """Where the string, atom or parenthesised list at ``position`` ends."""
    depth = 0
    while True:
        match = _TOKEN.match(structure, position)
        if match is None:  # a space
            position += 1
            continue
        position = match.end()
        if match[1] is not None:
            position += int(match[1])
        elif match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
        if depth == 0:
            return position
