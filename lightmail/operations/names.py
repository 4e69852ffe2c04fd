"""Mailbox names as the store keeps them: NFC, levels parted by a slash, INBOX in capitals."""

from __future__ import annotations

import unicodedata
from typing import Final

from lightmail.errors import Invalid, LimitReached
from lightmail.model import HIERARCHY_DELIMITER, INBOX, is_inbox

NAME_OCTETS: Final = 1000
# Whatever is configured: the bound of a configuration is at most this.
DEPTH: Final = 100


def canonical(name: str, depth: int = DEPTH) -> str:
    """The name in the form it is stored and compared in. Raises Invalid, or LimitReached above the bounds.

    `depth`: how many levels it may have.
    """
    text = unicodedata.normalize("NFC", name).removesuffix(HIERARCHY_DELIMITER)
    levels = text.split(HIERARCHY_DELIMITER)
    if not all(levels):
        raise Invalid("The mailbox name has an empty level.")
    if any(not character.isprintable() for character in text):
        raise Invalid("The mailbox name has control characters.")
    if len(levels) > min(depth, DEPTH):
        raise LimitReached("The mailbox name has too many levels.")
    if is_inbox(levels[0]):
        levels[0] = INBOX
    text = HIERARCHY_DELIMITER.join(levels)
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("The mailbox name is not valid text.") from None
    if octets > NAME_OCTETS:
        raise LimitReached("The mailbox name is too long.")
    return text


def superiors(name: str) -> list[str]:
    """The names above `name`, the highest first."""
    levels = name.split(HIERARCHY_DELIMITER)
    return [HIERARCHY_DELIMITER.join(levels[:depth]) for depth in range(1, len(levels))]


def is_below(name: str, superior: str) -> bool:
    """Whether `name` is an inferior of `superior`, at any depth."""
    return name.startswith(superior + HIERARCHY_DELIMITER)
