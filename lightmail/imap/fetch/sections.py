"""``BODY[section]<partial>`` (RFC 3501 section 6.4.5): read from a command, named in the answer, cut from a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lightmail.imap import responses
from lightmail.imap.tokens import Bad, Tokens
from lightmail.mime.fields import FieldList, Fields
from lightmail.mime.parts import find_part


class Kind(Enum):
    """Which of a part's octets are asked for; the value is the section-text that says so."""

    ALL = b""
    HEADER = b"HEADER"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


# Longest first: a name that begins with another must be tried before it.
_KINDS = (Kind.FIELDS_NOT, Kind.FIELDS, Kind.HEADER, Kind.TEXT, Kind.MIME)


@dataclass(frozen=True, slots=True)
class Section:
    """Octets of a message, and how the answer names them.

    ``path`` is empty for the message itself; ``fields`` (lower-case) goes with FIELDS and FIELDS_NOT; ``first`` and
    ``count`` are the partial in octets, ``count`` None for all; ``label`` is the item's name in the response.
    """

    path: tuple[int, ...]
    kind: Kind
    label: bytes
    fields: frozenset[bytes] = frozenset()
    first: int = 0
    count: int | None = None
    sets_seen: bool = False

    @property
    def from_header(self) -> bool:
        """Whether the message's header block alone answers it, without its object."""
        return not self.path and self.kind in (Kind.HEADER, Kind.FIELDS, Kind.FIELDS_NOT)

    @property
    def selects_fields(self) -> bool:
        """Whether fields are picked out of a header, so that the partial applies to what is left."""
        return self.kind in (Kind.FIELDS, Kind.FIELDS_NOT)

    @property
    def list(self) -> FieldList | None:
        """Which fields, where some are picked out."""
        return FieldList(self.fields, self.kind is Kind.FIELDS_NOT) if self.selects_fields else None

    @property
    def needs_parts(self) -> bool:
        """Whether the MIME part offsets are needed to find it."""
        return not self.from_header and (bool(self.path) or self.kind is not Kind.ALL)

    def extent(self, parts: bytes, octets: int) -> tuple[int, int] | None:
        """Where it is in a message of `octets` with the packed `parts`; None where there is no such part."""
        if not self.needs_parts:
            return 0, octets
        part = find_part(parts, self.path)
        if part is None:
            return None
        if self.kind is Kind.ALL:
            return part.body_start, part.body_end
        if self.kind is Kind.MIME:
            return part.mime_start, part.body_start
        if part.message is None:
            return None
        if self.kind is Kind.TEXT:
            return part.message.text_start, part.message.text_end
        return part.message.header_start, part.message.header_end

    def wanted(self, parts: bytes, octets: int) -> tuple[int, int] | None:
        """Which octets of the message must be read: the extent, cut to the partial unless fields come first."""
        extent = self.extent(parts, octets)
        if extent is None or self.count is None or self.selects_fields:
            return extent
        start, stop = extent
        first = min(start + self.first, stop)
        return first, min(first + self.count, stop)

    def of(self, read: bytes) -> bytes:
        """What answers the section, from the octets that were `wanted`."""
        fields = self.list
        return read if fields is None else self.partial(fields.cut(read, Fields(read).pack()))

    def partial(self, octets: bytes) -> bytes:
        """`octets`, the whole section, cut to the partial; empty where it begins beyond the end."""
        return octets if self.count is None else octets[self.first : self.first + self.count]


# What RFC822.HEADER and its kin stand for (RFC 3501 section 6.4.5); only the first leaves \Seen alone.
RFC822_HEADER = Section((), Kind.HEADER, b"RFC822.HEADER")
RFC822_TEXT = Section((), Kind.TEXT, b"RFC822.TEXT", sets_seen=True)
RFC822 = Section((), Kind.ALL, b"RFC822", sets_seen=True)


def read_section(tokens: Tokens, sets_seen: bool) -> Section:
    """The section whose ``BODY[`` or ``BODY.PEEK[`` has been taken: from the part numbers to the partial."""
    path, kind = _read_spec(tokens)
    names: list[bytes] = []
    if kind in (Kind.FIELDS, Kind.FIELDS_NOT):
        tokens.sp()
        names = tokens.list(tokens.astring, empty=False)
    tokens.expect(b"]")
    first, count = _read_partial(tokens)
    return Section(
        path=path,
        kind=kind,
        label=_label(path, kind, names, first, count),
        fields=frozenset(name.lower() for name in names),
        first=first,
        count=count,
        sets_seen=sets_seen,
    )


def _read_spec(tokens: Tokens) -> tuple[tuple[int, ...], Kind]:
    path: list[int] = []
    while tokens.peek().isdigit():
        path.append(tokens.nz_number())
        if not tokens.skip(b"."):
            return tuple(path), Kind.ALL
    if not path and tokens.peek() == b"]":
        return (), Kind.ALL
    for kind in _KINDS:
        # MIME is the header of a part; the message itself has HEADER.
        if (path or kind is not Kind.MIME) and tokens.skip(kind.value):
            return tuple(path), kind
    raise Bad("Unknown section")


def _read_partial(tokens: Tokens) -> tuple[int, int | None]:
    if not tokens.skip(b"<"):
        return 0, None
    first = tokens.number()
    tokens.expect(b".")
    count = tokens.nz_number()
    tokens.expect(b">")
    return first, count


def _label(path: tuple[int, ...], kind: Kind, names: list[bytes], first: int, count: int | None) -> bytes:
    """The section as a response names it: as it was asked for, with the partial's origin only."""
    spec = b".".join([*(b"%d" % number for number in path), *([kind.value] if kind.value else [])])
    if names:
        spec += b" " + responses.parenthesized(map(responses.astring, names))
    return b"BODY[%b]" % spec + (b"" if count is None else b"<%d>" % first)
