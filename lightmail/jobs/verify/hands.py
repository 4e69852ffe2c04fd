"""What verifying works with."""

from __future__ import annotations

from dataclasses import dataclass

from lightmail.objects.backends import ObjectStore
from lightmail.operations.transactions import Transactions
from lightmail.store.database import Database
from lightmail.threads import BoundedPool


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
