"""How much stands in the store, counted once for all who ask within a while."""

from __future__ import annotations

from typing import Any, Final

from lightmail.store import status
from lightmail.store.database import Database
from lightmail.store.status import Objects, Totals
from lightmail.web.api.remembered import Remembered

_TOTALS_SECONDS: Final = 15.0
# Counting them reads their whole table.
OBJECTS_SECONDS: Final = 600.0


class Figures:
    """Counts of the store's rows, some seconds or minutes old."""

    def __init__(self, database: Database, reactor: Any) -> None:
        self._database = database
        self._totals: Remembered[Totals] = Remembered(_TOTALS_SECONDS, reactor.seconds)
        self._objects: Remembered[Objects] = Remembered(OBJECTS_SECONDS, reactor.seconds)

    async def totals(self, domain: int | None) -> Totals:
        """How much there is, of one domain or of all; some seconds old. Raises Unavailable."""
        return await self._totals.get(domain, lambda: self._database.read("totals", status.totals_txn, domain))

    async def objects(self) -> Objects:
        """How many objects there are; ten minutes old at most. Raises Unavailable."""
        return await self._objects.get(None, lambda: self._database.read("objects", status.objects_txn))
