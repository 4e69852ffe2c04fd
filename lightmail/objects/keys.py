"""Object keys: ``emails/<hh>/<uuidv7>.eml[.zst|.gz|.lz4]``; of what is derived, ``indexes/<hh>/<uuidv7>.index|.chunk``;
of events, ``calendars/<uuidv7>.ics``.

A key is fresh for every object and never derived from content or from anything a user typed. Its UUID (version 7,
RFC 9562 section 5.7) begins with the moment of its birth, so keys of one ``hh`` list in time order; ``hh`` is two hex
digits of the random part, which spreads partitions and directories.
"""

from __future__ import annotations

import os
from typing import Final

from lightmail.errors import Corruption

PREFIX: Final = "emails"
# `none` is a zstd container whose text stays readable as it is: `zstd -dc` opens it like any other.
SUFFIXES: Final = {"zstd": ".eml.zst", "none": ".eml.zst", "gzip": ".eml.gz", "lz4": ".eml.lz4"}
# Snapshots of indexes (`lightmail.index.snapshot`): roots and chunks.
INDEX_PREFIX: Final = "indexes"
ROOT: Final = ".index"
CHUNK: Final = ".chunk"
INDEX_SUFFIXES: Final = (ROOT, CHUNK)
CALENDAR_PREFIX: Final = "calendars"
CALENDAR_SUFFIX: Final = ".ics"


def new_key(codec: str, now_us: int) -> str:
    """A fresh key for an object of `codec`, born at `now_us` (Unix microseconds UTC)."""
    return _fresh(PREFIX, SUFFIXES[codec], now_us)


def new_index_key(suffix: str, now_us: int) -> str:
    """A fresh key for a part of an index's snapshot (one of `INDEX_SUFFIXES`), born at `now_us` (Unix us UTC)."""
    return _fresh(INDEX_PREFIX, suffix, now_us)


def new_calendar_key(now_us: int) -> str:
    """A fresh key for the text of an event, born at `now_us` (Unix microseconds UTC)."""
    return f"{CALENDAR_PREFIX}/{_fresh_uuid(now_us)}{CALENDAR_SUFFIX}"


def _fresh(prefix: str, suffix: str, now_us: int) -> str:
    uuid = _fresh_uuid(now_us)
    return f"{prefix}/{uuid[-2:]}/{uuid}{suffix}"


def _fresh_uuid(now_us: int) -> str:
    milliseconds, microseconds = divmod(now_us, 1000)
    # RFC 9562 section 6.2, method 3: the 12 bits after the version carry the clock below the millisecond.
    digits = f"{milliseconds:012x}7{microseconds:03x}{_variant(os.urandom(8)):016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _variant(random: bytes) -> int:
    return int.from_bytes(random, "big") & (1 << 62) - 1 | 1 << 63


def born_us(key: str) -> int:
    """The moment in `key`, Unix microseconds UTC; Corruption for what is no object key."""
    digits = stem(key).replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        raise Corruption
    try:
        return int(digits[:12], 16) * 1000 + int(digits[13:16], 16)
    except ValueError:
        raise Corruption from None


def stem(key: str) -> str:
    """The UUID in `key` as text: what names the object in caches."""
    return key.rpartition("/")[2].partition(".")[0]


def codecs_of(key: str) -> list[str]:
    """The names of the codecs that an object of that key may have, the likeliest first; Corruption where none has."""
    found = [name for name, suffix in SUFFIXES.items() if key.endswith(suffix)]
    if not found:
        raise Corruption
    return found


def is_object_key(key: str) -> bool:
    """Whether it is a key as `new_key` makes them; what else lies below PREFIX is not touched."""
    try:
        born_us(key)
        (suffix,) = {SUFFIXES[codec] for codec in codecs_of(key)}
    except Corruption:
        return False
    name = stem(key)
    return key == f"{PREFIX}/{name[-2:]}/{name}{suffix}"


def is_index_key(key: str) -> bool:
    """Whether it is a key as `new_index_key` makes them; what else lies below INDEX_PREFIX is not touched."""
    try:
        born_us(key)
    except Corruption:
        return False
    name = stem(key)
    return any(key == f"{INDEX_PREFIX}/{name[-2:]}/{name}{suffix}" for suffix in INDEX_SUFFIXES)


def is_calendar_key(key: str) -> bool:
    """Whether it is a key as `new_calendar_key` makes them; what else lies below CALENDAR_PREFIX is not touched."""
    try:
        born_us(key)
    except Corruption:
        return False
    return key == f"{CALENDAR_PREFIX}/{stem(key)}{CALENDAR_SUFFIX}"
