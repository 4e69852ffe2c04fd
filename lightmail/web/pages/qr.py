"""QR codes, for what is to come from a screen to a phone; drawn as SVG, of which nothing is a style."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final

import segno

# Light modules around the code, as ISO/IEC 18004 asks for.
_QUIET: Final = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """A code of `size` units each way, its quiet zone counted; `path` is the outline of what is dark."""

    size: int
    path: str


def drawn(text: str) -> Drawn:
    """The code that says `text`, of up to 2 KiB; it takes some ten milliseconds."""
    code = segno.make_qr(text, error="m")
    lines = enumerate(code.matrix, _QUIET)
    return Drawn(len(code.matrix) + 2 * _QUIET, "".join(_line(row, y) for y, row in lines))


def _line(row: bytes | bytearray | tuple[int, ...], y: int) -> str:
    parts, x = [], _QUIET
    for dark, run in groupby(row):
        length = len(list(run))
        if dark:
            parts.append(f"M{x} {y}h{length}v1h-{length}z")
        x += length
    return "".join(parts)
