"""Names that people give to things, and are shown again."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from lightmail.errors import Invalid

# Controls, line ends of Unicode, halves of characters. Joiners stay: names of many scripts are written with them.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def label(text: str, octets: int, what: str) -> str:
    """The text as it is kept, NFC and without spaces around it: at most `octets` of UTF-8. Raises Invalid, which says
    `what` it is."""
    kept = unicodedata.normalize("NFC", text).strip()
    if _FORBIDDEN.search(kept):
        raise Invalid(f"A {what} has no control characters.")
    if len(kept.encode()) > octets:
        raise Invalid(f"A {what} has at most {octets} octets.")
    return kept
