"""What strangers wrote, as an answer can carry it: no control characters, nothing that is no text, and bounded."""

from __future__ import annotations

import re
from typing import Final

_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSHOWN_LINES: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def line(text: str, most: int) -> str:
    """The text on one line, of at most `most` characters; line ends are spaces."""
    return _UNSHOWN.sub("\ufffd", text[:most].replace("\n", " "))


def lines(text: str, most: int) -> str:
    """The text with its lines, of at most `most` characters; they end with LF."""
    return _UNSHOWN_LINES.sub("\ufffd", text[:most].replace("\r\n", "\n"))
