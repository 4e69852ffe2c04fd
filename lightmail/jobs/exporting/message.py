"""What an export hands to those who write files: a mailbox, and messages of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """A mailbox that is exported. `guid` (16 octets) names it among all mailboxes of all accounts; `keywords` are all
    that its messages may have."""

    name: str
    uidvalidity: int
    uidnext: int
    guid: bytes
    keywords: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A message as it is stored."""

    uid: int
    octets: bytes
    flags: tuple[bytes, ...]
    internaldate_us: int
