"""What a job is given, and how it tells how far it is.

A kind is a coroutine function from a `Work` to its result, which JSON can hold, a row of `kinds.RUNS`:

    async def verify(hands: Hands, work: Work) -> dict[str, Any]

It may be cancelled wherever it waits, and started again: it goes on from there, or does nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.config import Config
from lightmail.objects.backends import ObjectStore
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.actors import Actor
from lightmail.operations.transactions import Transactions
from lightmail.threads import BoundedPool

# The threads of the pool that jobs share: mail must not wait for them.
THREADS: Final = 2
# What a result names one by one, of findings, of folders and of what was left.
NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class Hands:
    """What jobs work with. `pool`, `blobs` and `spools` are theirs alone; `may_collect` is asked before each pass."""

    config: Config
    transactions: Transactions
    objects: ObjectStore
    pool: BoundedPool
    blobs: Blobs
    spools: Spools
    may_collect: Callable[[], Awaitable[bool]]


class Told:
    """How far a job is, as its row and the API tell it."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}
        self._come: Mapping[str, Any] = {}

    def count(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` are done; `stage` is what it is at, such as a mailbox."""
        percent = 100 * done // total if total else 0
        self._document = {"stage": stage, "done": done, "total": total, "percent": percent}

    def part(self, stage: str, done: float) -> None:
        """The part `done` of it is done, 0 to 1."""
        self._document = {"stage": stage, "percent": int(100 * min(done, 1.0))}

    def came(self, result: Mapping[str, Any]) -> None:
        """What has come of it so far, which stays its result where it comes to no good end."""
        self._come = result

    @property
    def come(self) -> Mapping[str, Any]:
        """What was told to have come of it."""
        return self._come

    def finish(self) -> None:
        """All of it is done."""
        self._document = {**self._document, "percent": 100}

    def document(self) -> Mapping[str, Any]:
        """What was told last, as JSON can hold it."""
        return self._document


@dataclass(frozen=True, slots=True)
class Work:
    """A job to do: its arguments, as whoever asked for it gave them, and its secret, where it has one.

    `asker` is who that was, as far as the job goes: in its domain, or of the whole server. `asked_us` is when, by the
    database's clock.
    """

    arguments: Mapping[str, Any]
    secret: str | None
    told: Told
    asker: Actor
    asked_us: int


Run = Callable[[Hands, Work], Awaitable[dict[str, Any]]]
