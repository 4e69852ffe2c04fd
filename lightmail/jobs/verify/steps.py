"""A pass of verifying is walked in steps, each from a cursor that JSON can hold: what makes a run resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from lightmail.jobs.verify.findings import Finding
from lightmail.objects.backends import ObjectStore
from lightmail.operations.transactions import Transactions
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

Emit = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Hands:
    """The rows, the objects, and threads to read objects in."""

    transactions: Transactions
    store: ObjectStore
    pool: BoundedPool

    @property
    def database(self) -> Database:
        """The rows, for reading."""
        return self.transactions.database


class Step(NamedTuple):
    """What a step came to: where the next one begins (None: the pass is over), how many rows, keys or objects it
    looked at, at most, and how much of the pass is done, 0 to 1."""

    following: Any
    looked: int
    done: float


class Pass(Protocol):
    """One walk over a table, the keys of the store, or the objects. `weight` is its share of a run's time."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> int: ...

    def first(self) -> Any:
        """The cursor of the first step."""

    async def step(self, cursor: Any, emit: Emit) -> Step:
        """Look at what follows `cursor`. It may be run again when it fails: the same finding is emitted again then.

        Raises Unavailable.
        """
