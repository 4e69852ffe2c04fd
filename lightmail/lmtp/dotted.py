"""The data of DATA: where it ends, and the dots that were stuffed into it (RFC 5321 section 4.5.2).

Only CRLF.CRLF ends the data. A bare LF or CR never begins or ends a line here, so no octets that one server takes for
text become commands at the next.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"


class DottedData:
    """Takes the octets after the 354 reply in chunks of any cut, and gives the message back as it was before stuffing.

    It keeps at most four octets back: those that may yet turn out to be part of a CRLF.CRLF.
    """

    __slots__ = ("_ahead", "_held", "rest")

    def __init__(self) -> None:
        # The CRLF of the DATA command itself begins the first line; it is no part of the message.
        self._held = b"\r\n"
        self._ahead = 2
        self.rest: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Message octets that `chunk` brings. Once the data has ended ``rest`` is what came behind it; None before."""
        data = self._held + chunk if self._held else chunk
        end = data.find(_END)
        if end >= 0:
            self.rest = data[end + 5 :]
            data = data[: end + 2]
        else:
            keep = _possible_end(data)
            self._held = data[len(data) - keep :]
            if keep:
                data = data[:-keep]
        text = data.replace(b"\r\n.", b"\r\n")
        if self._ahead and text:
            text, self._ahead = text[self._ahead :], 0
        return text


def _possible_end(data: bytes) -> int:
    """How many octets at the end of `data` may be the beginning of the end."""
    for length in (4, 3, 2, 1):
        if data.endswith(_END[:length]):
            return length
    return 0
