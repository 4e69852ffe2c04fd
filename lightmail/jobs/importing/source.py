"""What a source of messages is: a Maildir, files of mbox, an account on another server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

KEY_OCTETS: Final = 8
_KEYWORD_OCTETS: Final = 100
# What an atom may hold (RFC 3501 section 9).
_KEYWORD: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
_SYSTEM: Final = {name.lower(): name for name in (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft")}


class SourceError(Exception):
    """The source cannot be read; the text is one line that says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox of a source: its name by `levels`, and `place`, how the source calls it.

    `subscribed` is None where the source does not know of subscriptions.
    """

    levels: tuple[str, ...]
    place: str
    special_use: str | None = None
    subscribed: bool | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A message of a folder, not read yet. `key` (KEY_OCTETS) names it for ever; `handle` is the source's own."""

    key: bytes
    octets: int
    place: str
    handle: Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """A message that was read: its octets with CRLF at the ends of lines, and what is to be kept beside them."""

    item: Item
    octets: bytes
    flags: tuple[bytes, ...]
    internaldate_us: int


@dataclass(frozen=True, slots=True)
class Left:
    """A message or a folder that was not taken in, and why."""

    place: str
    reason: str


class Source(Protocol):
    """Blocking, and called by one thread at a time. Raises SourceError where it cannot go on at all.

    `identity` is the same for the same source in a later run. The first `generation_octets` of keys say which
    numbering they belong to: when the source has given up the old one, none of its keys means anything any more.
    """

    identity: str
    generation_octets: int

    def folders(self) -> tuple[list[Folder], list[Left]]:
        """The folders in an order that is always the same, and what looks like one and cannot be read."""

    def items(self, folder: Folder) -> tuple[list[Item], list[Left]]:
        """The messages of a folder in the order of their arrival, as far as that is known."""

    def load(self, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        """The messages; one that is gone meanwhile is missing from the answer."""

    def close(self) -> None:
        """Let go of files and connections."""


def key_of(*parts: bytes) -> bytes:
    """A key for what these parts tell from all others."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:KEY_OCTETS]


def with_crlf(text: bytes) -> bytes:
    """The octets with CRLF wherever a line ended by LF alone."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", text) if b"\n" in text else text


def kept_flags(flags: Iterable[bytes]) -> tuple[bytes, ...]:
    r"""The flags that a message may have here, each once: no ``\Recent``, no unknown system flag, no odd keyword."""
    chosen: dict[bytes, bytes] = {}
    for flag in flags:
        name = flag.lower()
        if name in _SYSTEM:
            chosen.setdefault(name, _SYSTEM[name])
        elif len(flag) <= _KEYWORD_OCTETS and _KEYWORD.fullmatch(flag):
            chosen.setdefault(name, flag)
    return tuple(chosen.values())
