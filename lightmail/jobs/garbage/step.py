"""What the steps of a pass have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lightmail.config import GarbageConfig

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Moment:
    """When a pass is: `now_us` by the database's clock (Unix us), and how long what is garbage by then is kept.

    `everything`: what is spread over hours or days otherwise is done at once, as far as it goes.
    """

    now_us: int
    undelete_us: int
    grace_us: int
    batch: int
    everything: bool = False

    @classmethod
    def of(cls, config: GarbageConfig, now_us: int, *, everything: bool = False) -> Moment:
        """The moment under these settings."""
        days, hours = config.undelete_days, config.grace_hours
        return cls(now_us, now_us - days * DAY_US, now_us - hours * HOUR_US, config.batch_size, everything)


@dataclass(frozen=True, slots=True)
class Done:
    """What one batch of a step did: how many of each kind, `octets` freed. `more`: it has more to do at once."""

    counts: Mapping[str, int] = field(default_factory=dict)
    octets: int = 0
    more: bool = False

    @property
    def worked(self) -> bool:
        """Whether the next batch should come soon."""
        return self.more or any(self.counts.values())


Step: TypeAlias = Callable[[Moment], Awaitable[Done]]
