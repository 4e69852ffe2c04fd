"""The base subject of RFC 5256 section 2.1: a subject without its "Re:", "Fwd:", "[list]" and "(fwd)"."""

from __future__ import annotations

import re
from typing import Final

# The extraction may look at a prefix again for each part it removes; a subject longer than this is cut first.
MAX_CHARACTERS: Final = 1000

_SPACES: Final = re.compile(r"[ \t\r\n]+")
_TRAILER: Final = re.compile(r"(?:\(fwd\)| )\Z", re.IGNORECASE)
_BLOB = r"\[[^\[\]]*\] *"
_LEADER: Final = re.compile(rf"(?: |(?:{_BLOB})*(?:re|fwd?) *(?:{_BLOB})?:)", re.IGNORECASE)
_LEADING_BLOB: Final = re.compile(_BLOB)


def base_subject(subject: str) -> str:
    """Return the base subject of a decoded subject. The steps are numbered as in RFC 5256."""
    text = _SPACES.sub(" ", subject[: 4 * MAX_CHARACTERS]).strip()[:MAX_CHARACTERS]  # (1)
    while True:
        while _TRAILER.search(text[-5:]):  # (2)
            text = text[:-5] if text[-1] == ")" else text[:-1]
        text = _without_prefixes(text)
        if not (text[:5].lower() == "[fwd:" and text[-1:] == "]"):  # (6)
            return text
        text = text[5:-1]


def _without_prefixes(text: str) -> str:
    while True:
        leader = _LEADER.match(text)  # (3)
        if leader is not None:
            text = text[leader.end() :]
            continue
        blob = _LEADING_BLOB.match(text)  # (4)
        if blob is None or blob.end() == len(text):
            return text
        text = text[blob.end() :]  # (5)
