"""Octets of a message as IMAP strings (RFC 3501 section 4.3): quoted where that is allowed, else a literal."""

from __future__ import annotations

import re
from typing import Final

_NOT_PLAIN: Final = re.compile(rb"[^ !#-\[\]-~]").search
_NOT_QUOTABLE: Final = re.compile(rb"[^\t -~]").search
_ESCAPED: Final = re.compile(rb'(["\\])')
# Whoever reads a longer string has an easier time without escapes.
_MAX_ESCAPED_OCTETS: Final = 1000


def string(octets: bytes) -> bytes:
    """Return ``octets`` as a quoted string, or a literal where they hold controls, 8-bit octets or much to escape.

    NUL, which no IMAP string may hold, becomes 0x80.
    """
    if _NOT_PLAIN(octets) is None:
        return b'"%b"' % octets
    if len(octets) <= _MAX_ESCAPED_OCTETS and _NOT_QUOTABLE(octets) is None:
        return b'"%b"' % _ESCAPED.sub(rb"\\\1", octets)
    return literal(octets)


def literal(octets: bytes) -> bytes:
    """Return ``octets`` as a literal. NUL, which no literal may carry, becomes 0x80."""
    return b"{%d}\r\n%b" % (len(octets), octets.replace(b"\0", b"\x80"))


def nstring(octets: bytes | None) -> bytes:
    """Return ``octets`` as :func:`string` does, or ``NIL`` for None."""
    return b"NIL" if octets is None else string(octets)
