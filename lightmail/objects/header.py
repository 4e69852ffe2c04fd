"""What an object says of itself, first in its container, so that a bucket alone can be read back.

The header is JSON in ASCII, one line. It is written once and never served to clients.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from lightmail.errors import Corruption
from lightmail.model import MailboxId

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """The blob's size and SHA-256, its INTERNALDATE, and all (account uuid, mailbox id) it was meant for."""

    octets: int
    sha256: bytes
    internaldate_us: int
    owners: tuple[tuple[bytes, MailboxId], ...]

    def pack(self) -> bytes:
        """The header as it stands in the object."""
        fields = {
            "format": FORMAT,
            "octets": self.octets,
            "sha256": self.sha256.hex(),
            "internaldate_us": self.internaldate_us,
            "owners": [[account.hex(), mailbox] for account, mailbox in self.owners],
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    @classmethod
    def unpack(cls, packed: bytes) -> ObjectHeader:
        """The header that `pack` wrote; Corruption for anything else, a newer format included."""
        try:
            fields = json.loads(packed)
            if fields["format"] != FORMAT:
                raise Corruption
            owners = tuple((bytes.fromhex(account), MailboxId(int(mailbox))) for account, mailbox in fields["owners"])
            octets, internaldate_us = int(fields["octets"]), int(fields["internaldate_us"])
            return cls(octets, bytes.fromhex(fields["sha256"]), internaldate_us, owners)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Corruption from None
