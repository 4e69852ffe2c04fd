"""The benchmarks' words: a target is what is measured, settings say how much, a row is one figure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """A server under test. ``pids`` are process ids by role; the role "" is the mail server itself.

    ``metrics`` is where a LightMail serves /metrics. ``restart`` stops the mail server, starts it again and gives its
    process ids; where it is None, nothing is measured cold. ``about`` is its version and what makes it durable. For
    ``tidy_seconds`` after its last answer, what it spends counts still. For so many ``snapshot_seconds`` at most it is
    given time to write its snapshots before it is restarted.
    """

    name: str
    imap: tuple[str, int]
    lmtp: tuple[str, int]
    pop3: tuple[str, int]
    user: str
    scratch: tuple[str, ...]
    password: str
    domain: str
    pids: dict[str, list[int]] = field(default_factory=dict)
    metrics: tuple[str, int] | None = None
    restart: Callable[[], list[int]] | None = None
    about: str = ""
    tidy_seconds: float = 0.2
    snapshot_seconds: float = 90.0

    def address(self, user: str) -> str:
        return f"{user}@{self.domain}"

    def login_name(self, user: str) -> str:
        return self.address(user)


@dataclass(frozen=True)
class Settings:
    """How much of everything: `count` messages in the mailbox, `octets` a delivered message.

    `changes` messages are copied, moved and expunged at a time, `huge` are in the mailbox that is only opened cold,
    `large` octets in the one message that is. `idle` connections wait on every server, `crowd` on LightMail only.
    """

    seed: int = 1
    count: int = 10_000
    cycles: int = 300
    deliveries: int = 1_000
    connections: int = 20
    octets: int = 10_240
    idle: int = 500
    crowd: int = 10_000
    changes: int = 1_000
    huge: int = 100_000
    large: int = 50 * 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One figure: CPU seconds by role over `operations`, in `wall` seconds; what else was seen is in `also`, by unit.

    ``stall`` is the longest stall of the reactor in ms, as the upper edge of its bucket; ``stages`` are the mean
    milliseconds of each stage of a delivery; ``trips`` are round trips to the database an operation. All of them only
    where the server tells.
    """

    workload: str
    target: str
    operations: int
    wall: float
    cpu: dict[str, float]
    also: dict[str, float] = field(default_factory=dict)
    stall: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    trips: float | None = None


Workload = Callable[[Target, Settings], AsyncIterator[Row]]
