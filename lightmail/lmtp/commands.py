"""LMTP command lines to values; nothing is run here.

RFC 2033 and RFC 5321 section 4.1, with SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), CHUNKING (RFC 3030).
Syntax is read strictly where laxness would change a meaning, and kindly where it cannot: blanks behind the colon of
``MAIL FROM:`` are taken, a control character anywhere is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lightmail.lmtp.replies import Refused

PATH_OCTETS: Final = 1024
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS: Final = re.compile(rb"\d{1,20}\Z")
_VERB: Final = re.compile(rb"[A-Za-z]{1,16}\Z")


@dataclass(frozen=True, slots=True)
class Sender:
    """``MAIL FROM``: the reverse-path ("" for <>), the declared size in octets, and whether SMTPUTF8 was asked for."""

    address: str
    octets: int | None
    utf8: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """``BDAT``: how many octets follow at once, and whether they are the last."""

    octets: int
    last: bool


def command(line: bytes) -> tuple[bytes, bytes]:
    """The verb in upper case and the rest of the line; Refused for what no command can be."""
    _check(line)
    verb, _, rest = line.partition(b" ")
    if not _VERB.match(verb):
        raise Refused(500, "5.5.2", "Syntax error, command unrecognized")
    return verb.upper(), rest.strip(b" \t")


def lhlo(rest: bytes) -> str:
    """The client's name, for the Received field: printable ASCII without blanks or parentheses, at most 255 octets."""
    name = rest.decode("ascii", "replace")
    if not name or len(name) > 255 or not name.isascii() or not name.isprintable() or set(name) & set(' ()<>;\\"'):
        raise Refused(501, "5.5.4", "Syntax: LHLO hostname")
    return name


def mail(rest: bytes) -> Sender:
    """The arguments of MAIL."""
    path, parameters = _path(rest, b"FROM:", "Syntax: MAIL FROM:<address>")
    octets: int | None = None
    utf8 = False
    for name, value in parameters:
        if name == b"SIZE" and value is not None and _DIGITS.match(value):
            octets = int(value)
        elif name == b"BODY" and value is not None and value.upper() in (b"7BIT", b"8BITMIME"):
            continue
        elif name == b"SMTPUTF8" and value is None:
            utf8 = True
        elif name in (b"SIZE", b"BODY", b"SMTPUTF8"):
            raise Refused(501, "5.5.4", "Bad value of a MAIL parameter")
        else:
            raise Refused(555, "5.5.4", "Unknown MAIL parameter")
    return Sender(path, octets, utf8)


def rcpt(rest: bytes) -> str:
    """The address of RCPT as it was given, without its angle brackets."""
    path, parameters = _path(rest, b"TO:", "Syntax: RCPT TO:<address>")
    if parameters:
        raise Refused(555, "5.5.4", "Unknown RCPT parameter")
    if not path:
        raise Refused(501, "5.1.3", "A recipient is missing")
    return path


def bdat(rest: bytes) -> Chunk | None:
    """The arguments of BDAT, or None where nobody can tell how many octets follow: the connection is of no use then."""
    words = rest.split()
    if not words or not _DIGITS.match(words[0]) or len(words) > 2:
        return None
    if len(words) == 2 and words[1].upper() != b"LAST":
        return None
    return Chunk(int(words[0]), len(words) == 2)


def _check(line: bytes) -> None:
    """Refuse control characters. A bare CR or LF is one: it ends no line, and what is behind it is no command."""
    if _CONTROL.search(line):
        raise Refused(500, "5.5.2", "Control characters are not allowed in commands")


def _path(rest: bytes, keyword: bytes, syntax: str) -> tuple[str, list[tuple[bytes, bytes | None]]]:
    """The path behind `keyword`, and the parameters behind the path."""
    _check(rest)
    if rest[: len(keyword)].upper() != keyword:
        raise Refused(501, "5.5.4", syntax)
    rest = rest[len(keyword) :].lstrip(b" \t")
    end = _closing(rest)
    if end < 0 or (rest[end + 1 :] and rest[end + 1] not in b" \t"):
        raise Refused(501, "5.5.4", syntax)
    if end > PATH_OCTETS:
        raise Refused(501, "5.1.3", "The address is too long")
    path = rest[1:end]
    if path.startswith(b"@") and b":" in path:  # a source route, to be ignored (RFC 5321 appendix C)
        path = path.partition(b":")[2]
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(553, "5.6.7", "The address is neither ASCII nor UTF-8") from None
    parameters: list[tuple[bytes, bytes | None]] = []
    for word in rest[end + 1 :].split():
        name, equals, value = word.partition(b"=")
        parameters.append((name.upper(), value if equals else None))
    return text, parameters


def _closing(rest: bytes) -> int:
    """Where the path at the start of `rest` is closed: a ``>`` inside a quoted string does not do it. -1: nowhere."""
    if not rest.startswith(b"<"):
        return -1
    quoted = False
    at = 1
    while at < len(rest):
        octet = rest[at]
        if quoted and octet == 0x5C:
            at += 1
        elif octet == 0x22:
            quoted = not quoted
        elif octet == 0x3E and not quoted:
            return at
        at += 1
    return -1
