"""Ranges of names, for lists that are read by page: all of them are UTF-8, compared octet by octet."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


class NameRange(NamedTuple):
    """Names from `low` on and below `high`: the parameters of ``name >= %s AND name < %s``."""

    low: bytes
    high: bytes


def names_from(prefix: str = "", after: str | None = None) -> NameRange:
    """The names that begin with `prefix` in any case, those after `after` where it is given."""
    octets = unicodedata.normalize("NFC", prefix.strip().casefold()).encode()
    # No octet of UTF-8 is 0xFF; the next name after one is that with a NUL behind it.
    return NameRange(octets if after is None else max(octets, after.encode() + b"\0"), octets + b"\xff")
