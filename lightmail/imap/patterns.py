"""Mailbox patterns of LIST and LSUB (RFC 3501 section 6.3.8): ``*`` matches anything, ``%`` anything but ``/``."""

from __future__ import annotations

import unicodedata

from lightmail.imap import mutf7
from lightmail.model import HIERARCHY_DELIMITER, INBOX


def read_pattern(reference: bytes, pattern: bytes) -> str | None:
    """The pattern for names of the store that a reference and a pattern on the wire make; None if no name can match.

    A first level that spells INBOX in any case means INBOX.
    """
    try:
        whole = unicodedata.normalize("NFC", mutf7.decode(reference + pattern))
    except ValueError:
        return None
    first, delimiter, rest = whole.partition(HIERARCHY_DELIMITER)
    return INBOX + delimiter + rest if first.upper() == INBOX else whole


def matches(pattern: str, name: str) -> bool:
    """Whether `name` matches. INBOX, whose case means nothing, also matches as if the pattern were in upper case."""
    if _matches(pattern, name):
        return True
    first, delimiter, rest = name.partition(HIERARCHY_DELIMITER)
    if first != INBOX:
        return False
    head, pattern_delimiter, tail = pattern.partition(HIERARCHY_DELIMITER)
    return _matches(head.upper() + pattern_delimiter + tail, first + delimiter + rest)


def _matches(pattern: str, name: str) -> bool:
    """Two pointers. Going back to the last wildcard only is enough: the leftmost match of what stands between two
    wildcards leaves the most room to what follows, and a ``%`` that can grow no further cannot begin later either,
    as it stands before the same ``/``."""
    p = n = 0
    star = percent = -1  # the pattern's positions behind the last `*` and the last `%` after it
    star_name = percent_name = 0  # where in the name they end for now
    while n < len(name):
        wildcard = pattern[p : p + 1]
        if wildcard == "*":
            p += 1
            star, star_name, percent = p, n, -1
        elif wildcard == "%":
            p += 1
            percent, percent_name = p, n
        elif wildcard == name[n]:
            p += 1
            n += 1
        elif percent >= 0 and name[percent_name] != HIERARCHY_DELIMITER:
            percent_name += 1
            p, n = percent, percent_name
        elif star >= 0:
            star_name += 1
            p, n, percent = star, star_name, -1
        else:
            return False
    return not pattern[p:].strip("*%")
