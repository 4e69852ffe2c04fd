"""Traces: what marks the lines of the log that belong together, in whichever part of the server they are said.

A trace is the id of a session, or of one mail transaction within it (``4be1c09a77d2.1``, which the message's Received
field names too). It is current in the coroutine that works for it, in what that calls, and in the threads of its calls;
where others' work shares a transaction, the traces of all are, with spaces between. The rows of messages keep it, for
the log of whichever process tells a client of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from itertools import islice
from typing import Final

# Traces that are told together at most: of a hundred deliveries in one transaction a line need not name all.
MOST: Final = 32
# What a row has room for. A trace of ours is shorter.
_KEPT_OCTETS: Final = 32

CURRENT: Final[ContextVar[str]] = ContextVar("trace", default="")


def fresh() -> str:
    """A new trace, the same as no other in any process: 12 hexadecimal digits."""
    return secrets.token_hex(6)


def joined(traces: Iterable[str]) -> str:
    """Several traces as one text, each once, the first `MOST` of them; each may be joined ones or empty."""
    each = dict.fromkeys(one for several in traces for one in several.split(" ") if one)
    return " ".join(islice(each, MOST))


def kept(trace: str) -> bytes | None:
    """How the rows of messages keep a trace; None for none, and for several."""
    octets = trace.encode("ascii", "replace")
    return octets if octets and len(octets) <= _KEPT_OCTETS and b" " not in octets else None
