"""Mailbox names as directories and other servers spell them, level by level: modified UTF-7 (RFC 3501, 5.1.3)."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from lightmail.model import HIERARCHY_DELIMITER, INBOX, is_inbox
from lightmail.operations.names import canonical

# A dot parts levels in Maildir++. Spelled like this it is read back, by us and by whoever decodes leniently.
_DOT: Final = "&AC4-"
_SHIFTED: Final = re.compile(r"[^\x20-\x7e]+|&")
_RUN: Final = re.compile(r"&([A-Za-z0-9+,]*)-")
_REFUSED: Final = frozenset("*%" + HIERARCHY_DELIMITER)


def spelled(level: str, *, dots: bool) -> str:
    """A level in modified UTF-7, in ASCII; with `dots` its dots are encoded as well, and none is left."""
    encoded = _SHIFTED.sub(_encoded_run, level)
    return encoded.replace(".", _DOT) if dots else encoded


def _encoded_run(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    return f"&{b64encode(match[0].encode('utf-16-be'), b'+,').rstrip(b'=').decode('ascii')}-"


def read(name: str) -> str:
    """What modified UTF-7 says, however it is spelled; a name that is none is taken as it stands.

    `name` comes from a file system or a wire, so it may hold surrogates for octets that are no UTF-8.
    """
    if not name.isascii() or "&" not in name:
        return name
    try:
        return _RUN.sub(_decoded_run, name)
    except (UnicodeError, ValueError):
        return name


def _decoded_run(match: re.Match[str]) -> str:
    base64 = match[1].encode("ascii")
    return b64decode(base64 + b"=" * (-len(base64) % 4), b"+,").decode("utf-16-be") if base64 else "&"


def target_name(levels: Sequence[str], into: str) -> str:
    """The name that a mailbox of these levels has here, below the name `into` where that is not empty.

    What may not stand in a name becomes an underscore. Raises LimitReached where it is too long or too deep.
    """
    kept = [INBOX if place == 0 and is_inbox(level) else _cleaned(level) for place, level in enumerate(levels)]
    above = into.split(HIERARCHY_DELIMITER) if into else []
    return canonical(HIERARCHY_DELIMITER.join([*above, *(level for level in kept if level)]) or INBOX)


def _cleaned(level: str) -> str:
    text = "".join(
        character if character.isprintable() and character not in _REFUSED else "_"
        for character in unicodedata.normalize("NFC", level)
    )
    return text.replace(".", "_") if text in (".", "..") else text


def without_conflicts(names: Iterable[str], shared: Collection[str] = ()) -> list[str]:
    """The names in order, each once: what would be a second of the same gets a number, but for INBOX and `shared`."""
    taken: set[str] = set()
    unique: list[str] = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken and not is_inbox(candidate) and candidate not in shared:
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate)
        unique.append(candidate)
    return unique
