"""Mailbox names as directories and other servers spell them, level by level: modified UTF-7 (RFC 3501, 5.1.3)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from twisted.mail import imap4

from lightmail.model import HIERARCHY_DELIMITER, INBOX, is_inbox
from lightmail.operations.names import canonical

# A dot parts levels in Maildir++. Spelled like this it is read back, by us and by whoever decodes leniently.
_DOT: Final = "&AC4-"
_REFUSED: Final = frozenset("*%" + HIERARCHY_DELIMITER)


def spelled(level: str, *, dots: bool) -> str:
    """A level in modified UTF-7, in ASCII; with `dots` its dots are encoded as well, and none is left."""
    if not dots:
        return _encoded(level)
    return _DOT.join(_encoded(part) for part in level.split("."))


def _encoded(text: str) -> str:
    encoded: bytes = imap4.encoder(text)[0]
    return encoded.decode("ascii")


def read(name: str) -> str:
    """What modified UTF-7 says, however it is spelled; a name that is none is taken as it stands.

    `name` comes from a file system or a wire, so it may hold surrogates for octets that are no UTF-8.
    """
    if not name.isascii() or "&" not in name:
        return name
    try:
        text: str = imap4.decoder(name.encode("ascii"))[0]
        text.encode("utf-8")
    except (UnicodeError, ValueError):
        return name
    return text


def target_name(levels: Sequence[str], into: str) -> str:
    """The name that a mailbox of these levels has here, below the name `into` where that is not empty.

    What may not stand in a name becomes an underscore. Raises LimitReached where it is too long or too deep.
    """
    kept = [_cleaned(level) for level in levels]
    above = into.split(HIERARCHY_DELIMITER) if into else []
    return canonical(HIERARCHY_DELIMITER.join([*above, *(level for level in kept if level)]) or INBOX)


def _cleaned(level: str) -> str:
    text = "".join(
        character if character.isprintable() and character not in _REFUSED else "_"
        for character in unicodedata.normalize("NFC", level)
    )
    return text.replace(".", "_") if text in (".", "..") else text


def without_conflicts(names: Iterable[str]) -> list[str]:
    """The names in order, each once: what would be a second of the same gets a number, but for INBOX, which is one."""
    taken: set[str] = set()
    unique: list[str] = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken and not is_inbox(candidate):
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate)
        unique.append(candidate)
    return unique
