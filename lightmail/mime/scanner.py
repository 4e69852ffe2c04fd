"""The scanner: a message's octets, read once in blocks, to a tree of entities with their extents.

Iterative, in memory bounded by the header block and the number of parts, in time linear in the octets. It looks at
line ends, blank lines and lines that start with ``--``; all else is passed over by ``bytes.find``.

Lines end with LF, with or without a CR before it; a lone CR is an octet like any other. A header ends at its blank
line, or where an enclosing multipart's delimiter or the message ends. A delimiter is a line that starts with ``--``
and the boundary of any open multipart, followed by ``--``, white space or the line's end: further octets are no
match, since senders derive inner boundaries from outer ones by appending. The line end before a delimiter belongs to
it (RFC 2046 section 5.1.1). Whatever never closes ends with what encloses it.

Beyond a bound below, what follows is one opaque leaf (application/octet-stream).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from lightmail.mime.content import OPAQUE, TEXT_PLAIN, Content, Kind, describe
from lightmail.mime.envelope import EMPTY, envelope
from lightmail.mime.fields import Fields

BLOCK_OCTETS: Final = 256 * 1024
MAX_NESTING: Final = 100
MAX_PARTS: Final = 10_000
MAX_HEADER_OCTETS: Final = 1024 * 1024
# The headers of all parts together: what BODYSTRUCTURE is made of.
MAX_PART_HEADER_OCTETS: Final = 1024 * 1024

_FIRST_WINDOW: Final = 2048
_BOUNDARY_END: Final = re.compile(rb"(?=--|[ \t\r]|\Z)")


class Entity:
    """A message or a MIME part: header, body, and below a multipart its parts, below a message/rfc822 its message.

    Offsets count from the message's start: the header is ``header_start`` to ``body_start``, its blank line included;
    ``lines`` are the LFs in the body, ``lines_before`` those in front of it. ``envelope`` is set where ``is_message``.
    ``parent`` is there while the entity is open; later it would only be a cycle for the collector to find.
    """

    __slots__ = (
        "body_end", "body_start", "children", "content", "depth", "envelope", "header_start", "is_message", "lines",
        "lines_before", "parent",
    )  # fmt: skip

    def __init__(self, parent: Entity | None, header_start: int, is_message: bool) -> None:
        self.parent = parent
        self.header_start = header_start
        self.is_message = is_message
        self.body_start = header_start
        self.body_end = header_start
        self.lines_before = 0
        self.lines = 0
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.content: Content = TEXT_PLAIN
        self.envelope = EMPTY
        self.children: list[Entity] = []
        if parent is not None:
            parent.children.append(self)


class Scan(NamedTuple):
    """The whole message as an entity, and its header's fields."""

    root: Entity
    fields: Fields


def scan(read: Callable[[int], bytes], block_octets: int = BLOCK_OCTETS) -> Scan:
    """Scan what ``read(n)`` returns until it returns nothing. Any octets are a message; nothing is raised for them."""
    return _Scanner(read, block_octets).run()


class _Delimiter(NamedTuple):
    start: int  # of its line
    after: int  # where the boundary, and the "--" that closes, end
    of: Entity
    closes: bool


class _Scanner:
    """Positions are absolute; the buffer holds the octets from ``_base`` to ``_end``.

    A virtual LF stands at -1, so that every line is preceded by one, the first too.
    """

    def __init__(self, read: Callable[[int], bytes], block_octets: int) -> None:
        self._read = read
        self._block_octets = block_octets
        self._data = b"\n"
        self._base = -1
        self._end = 0
        self._eof = False
        # LFs before _counted.
        self._lines = 0
        self._counted = 0
        # Open multiparts, outermost first, and what finds their delimiters fast.
        self._open: list[Entity] = []
        self._by_boundary: dict[bytes, Entity] = {}
        self._starts: frozenset[bytes] = frozenset()
        self._width = 0
        self._lookahead = 8
        self._parts = 0
        self._part_header_octets = 0

    def run(self) -> Scan:
        root = Entity(None, 0, is_message=True)
        self._more(-1)
        fields = self._header(root)
        entity: Entity | None = root
        while entity is not None:
            entity = self._body(self._descend(entity))
        return Scan(root, fields)

    # -- headers -----------------------------------------------------------------------------------------------

    def _descend(self, entity: Entity) -> Entity:
        """Go into messages within messages down to an entity whose header is read and whose body comes next."""
        while entity.content.kind is Kind.MESSAGE:
            entity = self._child(entity, entity.body_start, is_message=True)
        return entity

    def _child(self, parent: Entity, start: int, *, is_message: bool) -> Entity:
        child = Entity(parent, start, is_message)
        self._parts += 1
        self._header(child)
        return child

    def _header(self, entity: Entity) -> Fields:
        """Read the entity's header and what it says."""
        start = entity.header_start
        end, whole = self._header_end(start)
        entity.body_start = end
        block = self._data[start - self._base : end - self._base]
        fields = Fields(block)
        parent = entity.parent
        if parent is not None:
            self._part_header_octets += len(block)
            whole = whole and self._part_header_octets <= MAX_PART_HEADER_OCTETS
        self._count(end)
        entity.lines_before = self._lines
        if not whole:
            entity.content = OPAQUE
            return fields
        if entity.is_message:
            entity.envelope = envelope(fields)
        in_digest = parent is not None and parent.content.media_type == b"multipart/digest"
        self._settle(entity, describe(fields, in_digest))
        return fields

    def _settle(self, entity: Entity, content: Content) -> None:
        """Give the entity its content, within the bounds; a multipart becomes open."""
        composite = content.kind is Kind.MULTIPART or content.kind is Kind.MESSAGE
        if (composite and entity.depth >= MAX_NESTING) or self._parts >= MAX_PARTS:
            content = OPAQUE
        entity.content = content
        if self._parts >= MAX_PARTS:
            self._set_open([])
        elif content.kind is Kind.MULTIPART and content.boundary:
            self._set_open([*self._open, entity])

    def _header_end(self, start: int) -> tuple[int, bool]:
        """Return where the header that starts at ``start`` ends, and whether it was within its bound."""
        limit = start + MAX_HEADER_OCTETS
        at = start - 1
        window = _FIRST_WINDOW
        while True:
            edge = self._edge()
            stop = min(at + window, edge, limit)
            if stop > at:
                end = self._blank_line(at, stop)
                delimiter = self._delimiter(at, stop if end < 0 else end - 2)
                if delimiter is not None:
                    return self._content_end(delimiter, start), True
                if end >= 0:
                    return end, True
                if stop == limit:
                    return self._last_line_end(start, limit), False
                at = stop
                window *= 2
            if at >= edge:
                if self._eof:
                    return self._end, True
                self._more(start - 2)

    def _blank_line(self, at: int, stop: int) -> int:
        """Return where the blank line ends that is preceded by an LF in [at, stop), or -1."""
        data, low, high = self._data, at - self._base, stop - self._base
        crlf = data.find(b"\n\r\n", low, high + 2)
        lf = data.find(b"\n\n", low, crlf + 1 if crlf >= 0 else high + 1)
        if lf >= 0:
            return lf + 2 + self._base
        return crlf + 3 + self._base if crlf >= 0 else -1

    def _last_line_end(self, start: int, limit: int) -> int:
        found = self._data.rfind(b"\n", start - self._base, limit - self._base)
        return limit if found < 0 else found + 1 + self._base

    # -- bodies ------------------------------------------------------------------------------------------------

    def _body(self, entity: Entity) -> Entity | None:
        """Read from the entity's body to the next part's header, and return that part; None at the message's end."""
        floor = entity.body_start
        while True:
            delimiter = self._next_delimiter(floor)
            if delimiter is None:
                self._close(entity, None, self._end)
                return None
            end = self._content_end(delimiter, floor)
            multipart = delimiter.of
            self._close(entity, multipart, end)
            if delimiter.closes and not multipart.children:
                self._add_implicit_part(multipart, end)
            depth = self._open.index(multipart)
            self._set_open(self._open[: depth if delimiter.closes else depth + 1])
            if not delimiter.closes:
                return self._child(multipart, self._line_end(delimiter.after), is_message=False)
            # What follows is an epilogue, unless the line's end is that of an enclosing delimiter.
            floor = delimiter.after
            entity = multipart

    def _close(self, entity: Entity, upto: Entity | None, end: int) -> None:
        """End the entity and those around it, up to but without ``upto``."""
        self._count(end)
        closing: Entity | None = entity
        while closing is not None and closing is not upto:
            closing.body_end = end
            closing.lines = self._lines - closing.lines_before
            if closing.content.kind is Kind.MULTIPART and not closing.children:
                self._add_implicit_part(closing, end)
            closing.parent, closing = None, closing.parent

    def _add_implicit_part(self, multipart: Entity, end: int) -> None:
        """A multipart must have a part (RFC 3501's grammar): without any, its text is one, so that it can be read."""
        part = Entity(multipart, multipart.body_start, is_message=False)
        part.body_end = end
        part.lines = self._lines - multipart.lines_before
        part.parent = None

    def _next_delimiter(self, floor: int) -> _Delimiter | None:
        """Return the next delimiter at or after ``floor``, or None at the end of the message."""
        at = floor - 1
        while True:
            if not self._open:
                at = self._end
            edge = self._edge()
            if edge > at:
                found = self._delimiter(at, edge)
                if found is not None:
                    return found
                at = edge
            if self._eof:
                return None
            self._more(at - 1)

    def _delimiter(self, at: int, stop: int) -> _Delimiter | None:
        """Return the first delimiter whose preceding LF is in [at, stop). _lookahead octets follow it, or the end."""
        if not self._open or stop <= at:
            return None
        data, low, high = self._data, at - self._base, stop - self._base + 2
        starts, width = self._starts, self._width
        while True:
            low = data.find(b"\n--", low, high)
            if low < 0:
                return None
            low += 3
            if data[low : low + width] in starts:
                found = self._match(low)
                if found is not None:
                    return found

    def _match(self, index: int) -> _Delimiter | None:
        """Judge the line whose ``--`` ends at ``index``: the longest boundary counts, of equal ones the innermost.

        Each place where a boundary could end costs one look-up, however many multiparts are open.
        """
        line = self._data[index : index + self._lookahead]
        line = line[: line.find(b"\n")] if b"\n" in line else line
        best: _Delimiter | None = None
        for end in _BOUNDARY_END.finditer(line):
            size = end.start()
            entity = self._by_boundary.get(line[:size])
            if entity is not None:
                closes = line.startswith(b"--", size)
                after = index + size + (2 if closes else 0)
                best = _Delimiter(index - 2 + self._base, after + self._base, entity, closes)
        return best

    def _content_end(self, delimiter: _Delimiter, floor: int) -> int:
        """Where the content before a delimiter ends: before its line's CRLF or LF, but not before ``floor``."""
        lf = delimiter.start - 1
        index = lf - self._base
        return max(floor, lf - 1 if self._data[index - 1 : index] == b"\r" else lf)

    def _line_end(self, position: int) -> int:
        """Return where the line that ``position`` is in ends, its LF included."""
        while True:
            found = self._data.find(b"\n", position - self._base)
            if found >= 0:
                return found + 1 + self._base
            position = self._end
            if self._eof:
                return position
            self._more(position - 1)

    def _set_open(self, entities: list[Entity]) -> None:
        self._open = entities
        # Of equal boundaries the innermost stays.
        self._by_boundary = {entity.content.boundary: entity for entity in entities}
        self._width = min(map(len, self._by_boundary), default=0)
        self._starts = frozenset([boundary[: self._width] for boundary in self._by_boundary])
        self._lookahead = max(map(len, self._by_boundary), default=0) + 8

    # -- the buffer --------------------------------------------------------------------------------------------

    def _edge(self) -> int:
        """Lines that start before this can be judged by what is in the buffer."""
        return self._end if self._eof else self._end - self._lookahead

    def _more(self, keep: int) -> None:
        """Read another block; octets before ``keep`` are given up."""
        block = self._read(self._block_octets)
        if not block:
            self._eof = True
            return
        if keep > self._base:
            self._count(keep)
            self._data = self._data[keep - self._base :] + block
            self._base = keep
        else:
            self._data += block
        self._end += len(block)

    def _count(self, upto: int) -> None:
        if upto > self._counted:
            self._lines += self._data.count(b"\n", self._counted - self._base, upto - self._base)
            self._counted = upto
