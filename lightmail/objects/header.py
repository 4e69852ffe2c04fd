"""What an object says of itself, first in its container, so that a bucket alone can be read back.

The header is JSON in ASCII, one line. It is written once and never served to clients.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from lightmail.errors import Corruption
from lightmail.model import MailboxId

FORMAT: Final = 1
# Integers of rows are below it.
_NUMBERS: Final = 1 << 63
# And dates are dates of the calendar, or nobody could be told of them.
_YEAR_1_US: Final = -62_135_596_800_000_000
_YEAR_10000_US: Final = 253_402_300_800_000_000


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """The blob's size and SHA-256, its INTERNALDATE, and all (account uuid, mailbox id) it was meant for.

    What was ``withheld`` for a virus when it came is to be so again for whoever has nothing but the object.
    """

    octets: int
    sha256: bytes
    internaldate_us: int
    owners: tuple[tuple[bytes, MailboxId], ...]
    withheld: bool = False

    def pack(self) -> bytes:
        """The header as it stands in the object."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "octets": self.octets,
            "sha256": self.sha256.hex(),
            "internaldate_us": self.internaldate_us,
            "owners": [[account.hex(), mailbox] for account, mailbox in self.owners],
        }
        if self.withheld:
            fields["withheld"] = True
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
            withheld = fields.get("withheld", False) is True
            header = cls(octets, bytes.fromhex(fields["sha256"]), internaldate_us, owners, withheld)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise Corruption from None
        if not header._is_possible():
            raise Corruption
        return header

    def _is_possible(self) -> bool:
        """Whether every number can be one of a row: what is read from a bucket may be anybody's."""
        numbers = (self.octets, *(mailbox for _, mailbox in self.owners))
        return (
            all(0 <= number < _NUMBERS for number in numbers)
            and _YEAR_1_US <= self.internaldate_us < _YEAR_10000_US
            and len(self.sha256) == 32
            and all(len(account) == 16 for account, _ in self.owners)
        )
