"""What the MIME fields of one entity say of it: its kind, and its share of BODYSTRUCTURE as wire octets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from lightmail.mime import parameters
from lightmail.mime.fields import Fields
from lightmail.mime.parameters import Parameters
from lightmail.mime.strings import nstring, string

# A longer boundary than this delimits nothing (RFC 2046 section 5.1.1 allows 70).
MAX_BOUNDARY_OCTETS: Final = 1000


class Kind(Enum):
    """How an entity goes on below its header."""

    LEAF = 1
    TEXT = 2
    MULTIPART = 3
    MESSAGE = 4


@dataclass(frozen=True, slots=True)
class Content:
    """An entity's MIME fields, digested.

    ``media_type``, ``encoding`` and ``charset`` are lower-case; ``boundary`` is that of a multipart, without trailing
    space, b"" if it has none. ``head`` and ``tail`` are what stands in BODYSTRUCTURE before the size and after the
    lines (for a multipart ``head`` is its subtype and ``tail`` the extension data).
    """

    kind: Kind
    media_type: bytes
    encoding: bytes
    charset: bytes
    boundary: bytes
    head: bytes
    tail: bytes


_NO_EXTENSION: Final = b" NIL NIL NIL NIL"
TEXT_PLAIN: Final = Content(
    Kind.TEXT,
    b"text/plain",
    b"7bit",
    b"us-ascii",
    b"",
    b'"text" "plain" ("charset" "us-ascii") NIL NIL "7bit"',
    _NO_EXTENSION,
)
_DIGEST_PART: Final = Content(
    Kind.MESSAGE, b"message/rfc822", b"7bit", b"", b"", b'"message" "rfc822" NIL NIL NIL "7bit"', _NO_EXTENSION
)
# What lies beyond a bound of the scanner.
OPAQUE: Final = Content(
    Kind.LEAF,
    b"application/octet-stream",
    b"8bit",
    b"",
    b"",
    b'"application" "octet-stream" NIL NIL NIL "8bit"',
    _NO_EXTENSION,
)


def describe(fields: Fields, in_digest: bool) -> Content:
    """Return what the MIME fields of a header say; ``in_digest``: the entity is a part of a multipart/digest.

    A missing Content-Type means text/plain in US-ASCII, or message/rfc822 in a digest (RFC 2046 section 5.1.5); one
    that cannot be read means text/plain (RFC 2045 section 5.2).
    """
    value = fields.first(b"content-type")
    main, sub, params = _TYPE_OF_DIGEST if value is None and in_digest else _content_type(value or b"")
    kind = _kind(main, sub)
    extension = _extension(fields)
    if kind is Kind.MULTIPART:
        boundary = parameters.get(params, b"boundary").rstrip(b" \t\r\n")
        return Content(
            kind,
            _label(main + b"/" + sub),
            b"7bit",
            b"",
            boundary if len(boundary) <= MAX_BOUNDARY_OCTETS else b"",
            string(sub),
            b" " + _parameter_list(params) + extension,
        )
    encoding = parameters.token(fields.first(b"content-transfer-encoding") or b"") or b"7bit"
    charset = parameters.get(params, b"charset")
    if kind is Kind.TEXT and not charset:
        charset = b"us-ascii"
        params = (*(pair for pair in params if pair[0].lower() != b"charset"), (b"charset", charset))
    head = b"%b %b %b %b %b %b" % (
        string(main),
        string(sub),
        _parameter_list(params),
        nstring(fields.first(b"content-id")),
        nstring(fields.first(b"content-description")),
        string(encoding),
    )
    tail = b" %b%b" % (nstring(fields.first(b"content-md5")), extension)
    return Content(kind, _label(main + b"/" + sub), _label(encoding), _label(charset), b"", head, tail)


_Type = tuple[bytes, bytes, Parameters]
_TYPE_OF_TEXT: Final[_Type] = (b"text", b"plain", ())
_TYPE_OF_DIGEST: Final[_Type] = (b"message", b"rfc822", ())


def _content_type(value: bytes) -> _Type:
    if len(value) <= 256 and b"boundary" not in value:
        return _common_content_type(value)
    return parameters.parse_type(value) or _TYPE_OF_TEXT


@lru_cache(maxsize=1024)
def _common_content_type(value: bytes) -> _Type:
    """Few short values make up most of all Content-Type fields."""
    return parameters.parse_type(value) or _TYPE_OF_TEXT


def _kind(main: bytes, sub: bytes) -> Kind:
    main = main.lower()
    if main == b"text":
        return Kind.TEXT
    if main == b"multipart":
        return Kind.MULTIPART
    if main == b"message" and sub.lower() == b"rfc822":
        return Kind.MESSAGE
    return Kind.LEAF


def _extension(fields: Fields) -> bytes:
    """Disposition, language and location."""
    disposition = fields.first(b"content-disposition")
    language = fields.first(b"content-language")
    location = fields.first(b"content-location")
    if disposition is None and language is None and location is None:
        return b" NIL NIL NIL"
    return b" %b %b %b" % (_disposition(disposition), _language(language), nstring(location))


def _disposition(value: bytes | None) -> bytes:
    parsed = parameters.parse_value(value) if value else None
    if parsed is None:
        return b"NIL"
    return b"(%b %b)" % (string(parsed[0]), _parameter_list(parsed[1]))


def _language(value: bytes | None) -> bytes:
    tags = [tag for tag in (part.strip(b" \t\r\n") for part in (value or b"")[:1000].split(b",")) if tag]
    return b"(%b)" % b" ".join(map(string, tags)) if tags else b"NIL"


def _parameter_list(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join([string(key) + b" " + string(value) for key, value in params])


def _label(text: bytes) -> bytes:
    """A label for the packed parts: lower-case, printable and short."""
    if len(text) > 255 or not text.isascii() or not text.decode("ascii").isprintable():
        return b""
    return text.lower()
