"""Pieces of responses as wire bytes (RFC 3501 sections 7 and 9). Pure functions; none ends with CRLF but literals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lightmail.imap import mutf7
from lightmail.mime.strings import literal

_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_UNQUOTABLE: Final = re.compile(rb"[\x00\r\n\x80-\xff]")
_SPECIAL: Final = re.compile(rb'(["\\])')
# A quoted string longer than this goes as a literal: some clients read lines into fixed buffers.
_QUOTED_MAX: Final = 1000


def string(octets: bytes) -> bytes:
    """`octets` as a quoted string, or as a literal where a quoted string cannot carry them. NUL becomes 0x80."""
    if len(octets) > _QUOTED_MAX or _UNQUOTABLE.search(octets):
        return literal(octets)
    return b'"' + _SPECIAL.sub(rb"\\\1", octets) + b'"'


def nstring(octets: bytes | None) -> bytes:
    """`octets` as a string, NIL for None."""
    return b"NIL" if octets is None else string(octets)


def astring(octets: bytes) -> bytes:
    """`octets` as an atom where it is one (and not NIL, which clients would take for nothing), else as a string."""
    return octets if _ATOM.fullmatch(octets) and octets.upper() != b"NIL" else string(octets)


def mailbox(name: str) -> bytes:
    """A mailbox name of the store as it goes out: modified UTF-7, an atom or a string."""
    return astring(mutf7.encode(name))


def parenthesized(items: Iterable[bytes]) -> bytes:
    """``(a b c)``"""
    return b"(" + b" ".join(items) + b")"
