"""How far the journal is, as it stands in `job_progress` beside the marks of the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


def lease_name(shard: int) -> str:
    """What the lease on a shard's journal is called, and the state beside it."""
    return f"journal/{shard}"


@dataclass(slots=True)
class Cycle:
    """A picture of everything that is being written, a piece each round: `first` is the segment in which it began.

    `accounts` and `mailboxes` are the last ids that are done; `accounts` is None when all of them are.
    `octets` is what it took so far.
    """

    first: int
    accounts: int | None = 0
    mailboxes: int = 0
    octets: int = 0


@dataclass(slots=True)
class State:
    """`number` is the next segment's; `epoch` the store's when the marks were made; `digest` that of the directory.

    `octets` and `segments` were written since the last cycle began, whose own took `picture_octets`. Segments before
    `superseded` are no longer needed. `mailbox_ids` is the highest id that a mailbox ever had.
    """

    number: int = 1
    epoch: int = 0
    digest: str = ""
    octets: int = 0
    segments: int = 0
    picture_octets: int = 0
    superseded: int = 0
    mailbox_ids: int = 0
    cycle: Cycle | None = field(default=None)

    def pack(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)

    @classmethod
    def of(cls, packed: dict[str, Any] | None) -> Self:
        """What `pack` gave; the beginning for None."""
        if packed is None:
            return cls()
        cycle = packed.get("cycle")
        return cls(**{**packed, "cycle": None if cycle is None else Cycle(**cycle)})
