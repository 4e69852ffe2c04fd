"""The C library's allocator, bounded for a process of many threads that take turns."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

# malloc.h; its other numbers are of no use here.
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def share_arenas() -> None:
    """Have all threads allocate from two arenas. To be called before they start; without glibc it does nothing.

    glibc gives each thread an arena, up to eight for every core, and each keeps what its thread once needed: 4 to 5 MiB
    for every one of twenty threads, of which only one at a time holds the interpreter's lock (mallopt(3)).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
