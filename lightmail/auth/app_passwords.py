"""App passwords: random ones, of which an account may have several, each for one of its owner's clients.

They have 100 random bits, so one fast hash hides them, and a form of their own: four groups of five letters and digits.
Only what has that form is looked for among them, so a password that has not costs nothing further.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

# What an app password may be restricted to.
PROTOCOLS: Final = ("imap", "pop3")

# 32 of them: without l and 1, o and 0, which people confuse.
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_LETTERS: Final = 20
_GROUP: Final = 5
# With hyphens or spaces between all letters it has no more.
_LONGEST: Final = 2 * _LETTERS
_OCTETS: Final = frozenset(_ALPHABET.encode())


def generate() -> str:
    """A new app password."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _LETTERS, _GROUP))


def digest(password: bytes) -> bytes | None:
    """What an app password is kept as, 32 octets; None for what has not the form of one.

    Hyphens, spaces and the case of letters do not count.
    """
    if len(password) > _LONGEST:
        return None
    letters = password.translate(None, b"- ").lower()
    if len(letters) != _LETTERS or not _OCTETS.issuperset(letters):
        return None
    return hashlib.sha256(letters).digest()
