"""Messages as POP3 sends them (RFC 1939 section 3): dot-stuffed, ended by a line with a dot; and the cut of TOP.

What LIST and STAT say is the number of stored octets, and exactly those are sent, dots apart. That holds for the lone
CR and LF that a broken message may contain: they end no line and are sent as they stand, for if they became CRLF every
size would be a lie that only reading the message could mend. But many clients take a lone LF for the end of a line, and
none of them must see the end of the response inside a message; so a dot behind a lone LF is stuffed, too. Such a client
removes it again; a strict one sees one dot too many in a line that was broken before. A message that does not end with
CRLF is followed by one: the last line of a response has to end somehow.
"""

from __future__ import annotations

from typing import Final

_BLANK_LINE: Final = b"\r\n\r\n"


class Stuffer:
    """Byte-stuffing over chunks of any cut."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """The chunk as it is sent."""
        stuffed = chunk.replace(b"\n.", b"\n..")
        if chunk.startswith(b".") and self._last.endswith(b"\n"):
            stuffed = b"." + stuffed
        self._last = (self._last + chunk[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """What ends the response."""
        return b".\r\n" if self._last == b"\r\n" else b"\r\n.\r\n"


class Top:
    """The header, the blank line and the first `lines` lines of the body, over chunks of any cut (RFC 1939, TOP).

    ``done``: nothing that follows is needed.
    """

    __slots__ = ("_ahead", "_held", "_in_header", "_left", "done")

    def __init__(self, lines: int) -> None:
        self.done = False
        self._left = lines
        self._in_header = True
        # The header may be empty: then the message begins with the blank line.
        self._held = b"\r\n"
        self._ahead = 2

    def feed(self, chunk: bytes) -> bytes:
        """The part of the chunk that belongs to the answer; up to three octets may come with a later one."""
        data = self._held + chunk
        self._held = b""
        out = b""
        if self._in_header:
            end = data.find(_BLANK_LINE)
            if end < 0:
                out, self._held = _held_back(data, _BLANK_LINE)
                return self._without_ahead(out)
            self._in_header = False
            out, data = data[: end + 4], data[end + 4 :]
            self.done = self._left == 0
        if not self.done:
            out += self._body(data)
        return self._without_ahead(out)

    def end(self) -> bytes:
        """What was held back, when the message ended before the cut."""
        held, self._held = self._held, b""
        return b"" if self.done else self._without_ahead(held)

    def _body(self, data: bytes) -> bytes:
        data, self._held = _held_back(data, b"\r\n")
        there = data.count(b"\r\n")
        if there < self._left:
            self._left -= there
            return data
        at = 0
        for _ in range(self._left):
            at = data.index(b"\r\n", at) + 2
        self.done = True
        return data[:at]

    def _without_ahead(self, data: bytes) -> bytes:
        if self._ahead and data:
            data, self._ahead = data[self._ahead :], 0
        return data


def _held_back(data: bytes, pattern: bytes) -> tuple[bytes, bytes]:
    """`data`, and apart from it the octets at its end that may be the beginning of `pattern`."""
    for length in range(len(pattern) - 1, 0, -1):
        if data.endswith(pattern[:length]):
            return data[:-length], data[-length:]
    return data, b""
