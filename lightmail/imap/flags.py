"""Flags as a client may set them (RFC 3501 section 2.3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lightmail.imap.tokens import Bad
from lightmail.model import SYSTEM_FLAGS

KEYWORD_OCTETS_MAX: Final = 100

_SYSTEM_FLAGS: Final = {flag.lower(): flag for flag in SYSTEM_FLAGS}


def settable(flags: Iterable[bytes]) -> tuple[bytes, ...]:
    r"""`flags` each once, system flags in their usual spelling, without ``\Recent``, which belongs to sessions.

    Bad for other names with a backslash, which the protocol reserves, and for keywords over KEYWORD_OCTETS_MAX.
    """
    chosen: dict[bytes, bytes] = {}
    for flag in flags:
        name = flag.lower()
        if name == b"\\recent":
            continue
        if name.startswith(b"\\") and name not in _SYSTEM_FLAGS:
            raise Bad("No such system flag")
        if len(flag) > KEYWORD_OCTETS_MAX:
            raise Bad("Keyword too long")
        chosen.setdefault(name, _SYSTEM_FLAGS.get(name, flag))
    return tuple(chosen.values())
