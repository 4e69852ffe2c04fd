"""Structured MIME fields: ``value; name=value`` (RFC 2045 section 5.1) with RFC 2231's continuations and charsets.

Read with what senders do in mind: comments, missing and doubled semicolons, unquoted spaces, quotes that never close.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from lightmail.mime.charsets import decode as decode_charset
from lightmail.mime.encoded_words import decode

# The parameters and octets of one field that are looked at; what is beyond is passed over.
MAX_PARAMETERS: Final = 100
MAX_OCTETS: Final = 64 * 1024

Parameters = tuple[tuple[bytes, bytes], ...]

_VALUE: Final = re.compile(rb"[ \t]*+([^\s;()\"]++)")
_TYPE: Final = re.compile(rb"[ \t]*+([^\s/;()\"]++)[ \t]*+/[ \t]*+([^\s/;()\"]++)")
_SEPARATORS: Final = re.compile(rb"[;\s]*+")
_PARAMETER: Final = re.compile(
    rb"([^\s=;\"()]++)[ \t]*+=[ \t]*+"
    rb'(?:"((?:[^"\\]++|\\.)*+)(?:"|\\?\Z)|([^;\s"(]*+))',
    re.DOTALL,
)
# A value without quotes goes on over spaces ("name=my file.pdf") up to the next semicolon or comment.
_MORE: Final = re.compile(rb"[^;(\"]*+")
_NEXT: Final = re.compile(rb'(?:[^;"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+;', re.DOTALL)
_NAMED_NEXT: Final = re.compile(rb"[ \t]++[^\s=;\"()]++=")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_SECTION: Final = re.compile(rb"([^*]+)(?:\*(0|[1-9]\d{0,2}))?(\*)?")
_COMMENT: Final = re.compile(rb"\([^()\\]*+\)")
_UNSAFE_IN_EXTENDED: Final = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")


def parse_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Return type, subtype and parameters of a Content-Type value, or None where it is not one (RFC 2045 5.2)."""
    value = _without_comments(value)
    match = _TYPE.match(value)
    if match is None:
        return None
    return match[1], match[2], _parameters(value, match.end())


def parse_value(value: bytes) -> tuple[bytes, Parameters] | None:
    """Return the token and parameters of a value such as Content-Disposition's, or None where it has no token."""
    value = _without_comments(value)
    match = _VALUE.match(value)
    return None if match is None else (match[1], _parameters(value, match.end()))


def token(value: bytes) -> bytes:
    """Return the first token of a value such as Content-Transfer-Encoding's, comments passed over; b"" if none."""
    match = _VALUE.match(_without_comments(value))
    return b"" if match is None else match[1]


def get(parameters: Parameters, name: bytes) -> bytes:
    """Return the first value of a (lower-case) parameter without RFC 2231's charset, or b"" where there is none."""
    for key, value in parameters:
        key = key.lower()
        if key == name:
            return value
        if key == name + b"*":
            return _extended(value)[1]
    return b""


def decode_parameter(parameters: Parameters, name: bytes) -> str:
    """Return a (lower-case) parameter as text: RFC 2231, or the encoded words often found instead; "" if none."""
    for key, value in parameters:
        key = key.lower()
        if key == name + b"*":
            charset, octets = _extended(value)
            return decode_charset(octets, charset)
        if key == name:
            return decode(value)
    return ""


def _extended(value: bytes) -> tuple[bytes, bytes]:
    charset, quote, rest = value.partition(b"'")
    _language, second, octets = rest.partition(b"'")
    if not quote or not second:
        return b"", unquote_to_bytes(value)
    return charset, unquote_to_bytes(octets)


def _without_comments(value: bytes) -> bytes:
    """Comments go, unless quotes are about: what stands in parentheses there may be a file's name."""
    value = value[:MAX_OCTETS]
    if b"(" not in value or b'"' in value:
        return value
    return _COMMENT.sub(b" ", value)


def _parameters(value: bytes, position: int) -> Parameters:
    found: list[tuple[bytes, bytes]] = []
    extended = False
    while len(found) < MAX_PARAMETERS:
        separators = _SEPARATORS.match(value, position)
        position = separators.end() if separators else position
        match = _PARAMETER.match(value, position)
        if match is None:
            skip = _NEXT.match(value, position)
            if skip is None:
                break
            position = skip.end()
            continue
        name, quoted, plain = match.groups()
        position = match.end()
        if quoted is None:
            plain, position = _unquoted(value, plain, position)
        else:
            plain = _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        found.append((name, plain))
        extended = extended or b"*" in name
    return _joined(found) if extended else tuple(found)


def _unquoted(value: bytes, plain: bytes, position: int) -> tuple[bytes, int]:
    if position < len(value) and value[position] in b" \t" and not _NAMED_NEXT.match(value, position):
        more = _MORE.match(value, position)
        if more is not None:
            return plain + more[0].rstrip(), more.end()
    return plain, position


def _joined(found: list[tuple[bytes, bytes]]) -> Parameters:
    """Join ``name*0``, ``name*1`` … in the order of their numbers; a ``*`` at the end of a name stays as the mark
    that charset, language and percent-encoding are in the value."""
    pieces: dict[bytes, dict[int, tuple[bool, bytes]]] = {}
    order: list[tuple[bytes, bytes | None]] = []
    for name, value in found:
        match = _SECTION.fullmatch(name)
        if match is None or match[2] is None:
            order.append((name, value))
            continue
        base = match[1]
        key = base.lower()
        if key not in pieces:
            pieces[key] = {}
            order.append((base, None))
        pieces[key].setdefault(int(match[2]), (match[3] is not None, value))
    return tuple(
        (name, value) if value is not None else _joined_one(name, pieces[name.lower()]) for name, value in order
    )


def _joined_one(name: bytes, sections: dict[int, tuple[bool, bytes]]) -> tuple[bytes, bytes]:
    numbers = sorted(sections)
    if not any(sections[number][0] for number in numbers):
        return name, b"".join(sections[number][1] for number in numbers)
    out = [] if sections[numbers[0]][0] else [b"''"]
    for number in numbers:
        marked, value = sections[number]
        out.append(value if marked else _UNSAFE_IN_EXTENDED.sub(lambda found: b"%%%02X" % found[0][0], value))
    return name + b"*", b"".join(out)
