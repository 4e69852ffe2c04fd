"""Answers that a browser keeps as files: their names, whatever strangers called them (RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_LONGEST: Final = 150
# Controls, what parts directories, and what turns the direction of writing and hides how a name ends.
_NOT_IN_NAMES: Final = re.compile(
    '[\x00-\x1f\x7f-\x9f/\\\\:*?"<>|\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+'
)


def file_name(text: str, otherwise: str) -> str:
    """A name that any system takes; `otherwise` where nothing is left of the text."""
    name = _NOT_IN_NAMES.sub("_", text).strip("._ ")
    if len(name) > _LONGEST:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[: _LONGEST - 11]}.{ending}" if dot and len(ending) <= 10 else name[:_LONGEST]
    return name or otherwise


def disposition(name: str) -> str:
    """The Content-Disposition of a download of that name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
