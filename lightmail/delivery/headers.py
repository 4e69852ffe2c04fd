"""The header fields that a delivery puts in front of a message, and those it looks for in it.

The message itself is stored octet by octet as it came; only whole lines are put in front (RFC 5321 section 4.4).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

# As far as the renderer reads a header block; a field beyond it is not looked for.
HEADER_OCTETS: Final = 1 << 20

# Any field that says so is believed: a sender who writes one harms nobody else.
_SPAM: Final = re.compile(rb"\r\nx-spam-flag:[ \t]*yes[ \t]*(?:\r\n|\Z)")
_MESSAGE_ID: Final = b"\r\nmessage-id:"
# No identifier that is meant to be one is longer.
_ID_OCTETS: Final = 300
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Trace:
    """What the Received field tells: who said hello from where, to whom, over which protocol, under which id.

    ``peer`` is an address literal's inside ("192.0.2.1", "IPv6:2001:db8::1") or "" for a Unix socket.
    """

    client: str
    peer: str
    hostname: str
    protocol: str
    id: str


def trace_fields(
    trace: Trace, sender: str, recipient: str | None, at_us: int, *, name: bool = False, status: bytes = b""
) -> bytes:
    """Return-Path and Received, each with its CRLF; with `name` a Delivered-To between them, and `status` behind them.

    `recipient` is given only where it is the message's only one, so that nobody learns of blind copies.
    """
    origin = f"{trace.client} ([{trace.peer}])" if trace.peer else f"{trace.client} (local socket)"
    to = f"\r\n\tfor <{recipient}>" if recipient is not None else ""
    named = f"Delivered-To: {recipient}\r\n" if name and recipient is not None else ""
    text = (
        f"Return-Path: <{sender}>\r\n{named}"
        f"Received: from {origin}\r\n\tby {trace.hostname} with {trace.protocol} id {trace.id}{to};\r\n"
        f"\t{date_time(at_us)}\r\n"
    )
    return text.encode("utf-8") + status


def date_time(at_us: int) -> str:
    """A moment as RFC 5322 section 3.3 writes it, in UTC and in English whatever the locale."""
    at = time.gmtime(at_us // 1_000_000)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"


@dataclass(frozen=True, slots=True)
class Signs:
    """What a delivery must know of a message's header before it is rendered.

    ``spam``: a filter in front has marked it (``X-Spam-Flag: YES``). ``identified``: it has a Message-ID or a Received
    field, so that the same octets from the same sender are the same message and not merely an equal one.
    ``message_id`` is the Message-ID as it was given, for the log: one word, not too long, empty for none.
    """

    spam: bool
    identified: bool
    message_id: str = ""


class HeaderWatch:
    """Collects the header block from a message's octets as they pass: ``octets`` kept, about HEADER_OCTETS at most."""

    __slots__ = ("_chunks", "_complete", "_tail", "octets")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.octets = 0
        self._tail = b"\r\n"
        self._complete = False

    def feed(self, data: bytes) -> None:
        """Look at the next octets."""
        if self._complete:
            return
        self._chunks.append(data)
        self.octets += len(data)
        joined = self._tail + data
        self._tail = joined[-3:]
        self._complete = b"\r\n\r\n" in joined or self.octets >= HEADER_OCTETS

    def signs(self) -> Signs:
        """What the header block tells."""
        given = b"\r\n" + b"".join(self._chunks)
        end = given.find(b"\r\n\r\n")
        header = (given if end < 0 else given[: end + 2]).lower()
        named = header.find(_MESSAGE_ID)
        return Signs(
            spam=_SPAM.search(header) is not None,
            identified=named >= 0 or b"\r\nreceived:" in header,
            message_id=_first_word(given, named + len(_MESSAGE_ID)) if named >= 0 else "",
        )


def _first_word(header: bytes, start: int) -> str:
    """The first word of a field's body that begins at `start`, on its first line or, folded, on the second."""
    body = header[start : start + _ID_OCTETS]
    line, _, rest = body.partition(b"\r\n")
    if not line.strip() and rest[:1] in (b" ", b"\t"):
        line = rest.partition(b"\r\n")[0]
    words = line.split(None, 1)
    return words[0].decode("utf-8", "replace") if words else ""
