"""Header fields of a header block: split once, kept as packed offsets, cut out without parsing again.

A header block runs up to and with its blank line. A field is a line that does not start with a space or tab, and the
lines after it that do (RFC 5322 section 2.2.3). Lines end with LF, with or without a CR before it. A line without a
colon belongs to no name: it is passed on where a whole header is asked for, and never found by name.

The packed form, little-endian: uint16 n, then n + 1 uint32 offsets (the last is where the fields end), then the n
lower-case names, separated by LF. It is made for :func:`cut_fields`, which list views call for every message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import Final

from lightmail.mime.encoded_words import decode

# Beyond this many fields the rest of a block counts as one nameless field.
MAX_FIELDS: Final = 10_000

_FIELD_START: Final = re.compile(rb"\n(?![ \t]|\Z)")
_FOLD: Final = re.compile(rb"\r?\n")
_COUNT: Final = Struct("<H")
_OFFSETS: Final = tuple(Struct(f"<{count + 1}I") for count in range(128))
# RFC 5322 section 3.6.8, ftext. No field has another name, but a client may ask for one.
_NAME: Final = re.compile(rb"[!-9;-~]+")
_MAX_LIST_OCTETS: Final = 512


class Fields:
    """The fields of one header block, in order, found by lower-case name."""

    __slots__ = ("_first", "block", "names", "offsets")

    def __init__(self, block: bytes) -> None:
        end = _fields_end(block)
        self.block = block
        self.offsets = _offsets(block, end)
        self.names = _names(block, self.offsets)
        # The first of a name wins where one is meant, so it is entered last.
        self._first = {
            name: i for i, name in zip(range(len(self.names) - 1, -1, -1), reversed(self.names), strict=True)
        }

    def __contains__(self, name: bytes) -> bool:
        return name in self._first

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field of that name, unfolded and trimmed, or None."""
        index = self._first.get(name)
        return None if index is None else self._value(index)

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of that name, unfolded and trimmed."""
        if name not in self._first:
            return []
        return [self._value(index) for index, other in enumerate(self.names) if other == name]

    def pack(self) -> bytes:
        """Return the offsets and names in the packed form."""
        count = len(self.names)
        return b"".join((_COUNT.pack(count), _offsets_struct(count).pack(*self.offsets), b"\n".join(self.names)))

    def _value(self, index: int) -> bytes:
        return _value(self.block, self.offsets[index], self.offsets[index + 1])


@dataclass(frozen=True, slots=True)
class FieldList:
    """Which fields a HEADER.FIELDS asks for, or, `inverted`, a HEADER.FIELDS.NOT leaves out; names are lower-case."""

    names: frozenset[bytes]
    inverted: bool = False

    @property
    def name(self) -> str | None:
        """The one name of this list, whatever order a client wrote it in; None for one too odd to be asked for twice.

        That is one with a name that no field can have, or with more than a few hundred octets of them.
        """
        if sum(map(len, self.names)) > _MAX_LIST_OCTETS or not all(map(_NAME.fullmatch, self.names)):
            return None
        return " ".join(["not" if self.inverted else "only", *sorted(name.decode("ascii") for name in self.names)])

    @classmethod
    def named(cls, name: str) -> FieldList | None:
        """The list of that name, None where it names none."""
        mode, *names = name.split(" ")
        found = cls(frozenset(name.encode("latin-1", "replace") for name in names), mode == "not")
        return found if found.name == name else None

    def cut(self, header: bytes, packed: bytes) -> bytes:
        """What :func:`cut_fields` finds by this list."""
        return cut_fields(header, packed, self.names, self.inverted)


def cut_fields(header: bytes, packed: bytes, wanted: frozenset[bytes], inverted: bool = False) -> bytes:
    """Return the fields named in ``wanted`` (lower-case), in the message's order, and a blank line.

    That is BODY[HEADER.FIELDS (…)] of RFC 3501 section 6.4.5; with ``inverted`` it is HEADER.FIELDS.NOT.
    """
    count = packed[0] | packed[1] << 8
    # Written out for speed: this runs once for every message of a list.
    offsets = (_OFFSETS[count] if count < 128 else _offsets_struct(count)).unpack_from(packed, 2)
    names = packed[4 * count + 6 :].split(b"\n")
    if inverted:
        chosen = [header[offsets[i] : offsets[i + 1]] for i in range(count) if names[i] not in wanted]
    else:
        chosen = [header[offsets[i] : offsets[i + 1]] for i in range(count) if names[i] in wanted]
    if chosen and chosen[-1][-1:] != b"\n":
        chosen.append(b"\r\n")  # the message ended inside its header
    chosen.append(b"\r\n")
    return b"".join(chosen)


def field_values(header: bytes, packed: bytes, name: bytes) -> list[bytes]:
    """Return the values of all fields of that (lower-case) name: unfolded and trimmed, else as they stand."""
    count = packed[0] | packed[1] << 8
    offsets = _offsets_struct(count).unpack_from(packed, 2)
    names = packed[4 * count + 6 :].split(b"\n")
    return [_value(header, offsets[i], offsets[i + 1]) for i in range(count) if names[i] == name]


def decoded_field(header: bytes, packed: bytes, name: bytes) -> str | None:
    """Return all values of that (lower-case) name as text, one a line, or None where there is no such field.

    Encoded words and raw 8-bit octets are decoded and tabs are spaces: what SEARCH HEADER looks into.
    """
    values = field_values(header, packed, name)
    return decode(b"\n".join(values).replace(b"\t", b" ")) if values else None


def decoded_header(header: bytes) -> str:
    """Return a whole header block as text, each field unfolded and decoded on its own line, for SEARCH TEXT."""
    offsets = _offsets(header, _fields_end(header))
    return "\n".join(decode(_unfold(header[start:end])) for start, end in pairwise(offsets))


def _fields_end(block: bytes) -> int:
    """Where the fields end: before the blank line, if the block has one."""
    if block.endswith(b"\n\r\n") or block == b"\r\n":
        return len(block) - 2
    if block.endswith(b"\n\n") or block == b"\n":
        return len(block) - 1
    return len(block)


def _offsets(block: bytes, end: int) -> list[int]:
    if end <= 0:
        return [0]
    offsets = [0, *[match.end() for match in _FIELD_START.finditer(block, 0, end)]]
    del offsets[MAX_FIELDS + 1 :]
    offsets.append(end)
    return offsets


def _names(block: bytes, offsets: list[int]) -> list[bytes]:
    names: list[bytes] = []
    start = offsets[0]
    for end in offsets[1:]:
        colon = block.find(b":", start, end)
        names.append(block[start:colon] if colon > start else b"")
        start = end
    if len(names) > MAX_FIELDS:
        names[-1] = b""
    joined = b"\n".join(names)
    if joined.count(b"\n") != len(names) - 1:
        # A colon on a continuation line after a line without one.
        names = [b"" if b"\n" in name else name for name in names]
        joined = b"\n".join(names)
    if not names:
        return names
    if b" " in joined or b"\t" in joined or b"\r" in joined:
        # "Subject : x" is the obsolete form (RFC 5322 section 4.5); a line that starts with a space continues nothing.
        names = [b"" if name[:1] in b" \t" else name.rstrip(b" \t\r") for name in joined.split(b"\n")]
        joined = b"\n".join(names)
    return joined.lower().split(b"\n")


def _value(block: bytes, start: int, end: int) -> bytes:
    value = block[block.find(b":", start, end) + 1 : end].strip(b" \t\r\n")
    return _FOLD.sub(b"", value) if b"\n" in value else value


def _unfold(field: bytes) -> bytes:
    return _FOLD.sub(b"", field)


def _offsets_struct(count: int) -> Struct:
    return _OFFSETS[count] if count < 128 else Struct(f"<{count + 1}I")
