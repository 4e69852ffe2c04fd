"""Mailbox patterns of LIST and LSUB (RFC 3501 section 6.3.8): ``*`` matches anything, ``%`` anything but ``/``."""

from __future__ import annotations

import unicodedata

from lightmail.imap import mutf7
from lightmail.model import HIERARCHY_DELIMITER, INBOX, is_inbox


def read_pattern(reference: bytes, pattern: bytes) -> str | None:
    """The pattern for names of the store that a reference and a pattern on the wire make; None if no name can match.

    A first level that spells INBOX in any case means INBOX.
    """
    try:
        whole = unicodedata.normalize("NFC", mutf7.decode(reference + pattern))
    except ValueError:
        return None
    first, delimiter, rest = whole.partition(HIERARCHY_DELIMITER)
    return INBOX + delimiter + rest if is_inbox(first) else whole


class Pattern:
    """A pattern, made ready to be matched with many names.

    All ways to match are followed at once, a bit for each: after some octets of a name, bit i says that the first i
    letters of the pattern can have been met. The time is that of the name's length, whatever the pattern: no way is
    ever tried again, so that no pattern can make the server search.
    """

    def __init__(self, pattern: str) -> None:
        self._letters: dict[str, int] = {}
        self._stars = self._percents = 0
        at = 1
        for character in pattern:
            if character == "*":
                self._stars |= at
            elif character == "%":
                self._percents |= at
            else:
                self._letters[character] = self._letters.get(character, 0) | at
                at <<= 1
        self._all = at

    def fits(self, name: str) -> bool:
        """Whether the whole of `name` matches."""
        letters, stars, percents = self._letters, self._stars, self._percents | self._stars
        states = 1
        for character in name:
            waiting = stars if character == HIERARCHY_DELIMITER else percents
            states = (states & letters.get(character, 0)) << 1 | states & waiting
            if not states:
                return False
        return bool(states & self._all)


class NamePattern:
    """What LIST asks for. INBOX, whose case means nothing, also matches as if the first level were in upper case."""

    def __init__(self, pattern: str) -> None:
        head, delimiter, tail = pattern.partition(HIERARCHY_DELIMITER)
        self._exact = Pattern(pattern)
        self._inbox = Pattern((head.upper() if head.isascii() else head) + delimiter + tail)

    def matches(self, name: str) -> bool:
        """Whether `name` matches."""
        if self._exact.fits(name):
            return True
        return name.partition(HIERARCHY_DELIMITER)[0] == INBOX and self._inbox.fits(name)


def matches(pattern: str, name: str) -> bool:
    """Whether `name` matches `pattern`, where there is one name to look at."""
    return NamePattern(pattern).matches(name)
