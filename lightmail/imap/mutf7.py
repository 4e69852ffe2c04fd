"""Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), one spelling for each name."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Final

_SHIFTED: Final = re.compile(r"[^\x20-\x7e]+|&")
_ENCODED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")


def encode(name: str) -> bytes:
    """`name` in modified UTF-7. ValueError for a lone surrogate, which no UTF-16 can carry."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _SHIFTED.sub(_encode_run, name).encode("ascii")


def _encode_run(match: re.Match[str]) -> str:
    run = match.group()
    if run == "&":
        return "&-"
    base64 = b64encode(run.encode("utf-16-be"), b"+,").rstrip(b"=").decode("ascii")
    return f"&{base64}-"


def decode(wire: bytes) -> str:
    """The name that `wire` spells. ValueError where it is not modified UTF-7, or not the canonical spelling.

    Only the canonical spelling passes, so that two spellings can never name one mailbox: no encoded printable ASCII,
    no stray padding bits, no two shifts in a row.
    """
    if b"&" not in wire:
        name = wire.decode("ascii")
        if not name.isprintable():
            raise ValueError("Control characters must be encoded")
        return name
    pieces = []
    position = 0
    for match in _ENCODED.finditer(wire):
        pieces.append(wire[position : match.start()].decode("ascii"))
        pieces.append(_decode_run(match.group(1)))
        position = match.end()
    pieces.append(wire[position:].decode("ascii"))
    name = "".join(pieces)
    if encode(name) != wire:
        raise ValueError("Not canonical modified UTF-7")
    return name


def _decode_run(base64: bytes) -> str:
    if not base64:
        return "&"
    return b64decode(base64 + b"=" * (-len(base64) % 4), b"+,").decode("utf-16-be")
