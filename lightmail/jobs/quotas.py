"""Warns accounts that are nearly full: one look over all accounts every minute, by one process of all there are.

A look costs deliveries nothing, and finds every account whatever filled it: mail, COPY, an import, a quota that was
lowered, a threshold that was moved. What is said once is said by the transaction that inserts its row
(`operations.quotas`); the lease only spares the others the work.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

from lightmail.jobs.quota_notice import Notice
from lightmail.model import AccountId
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations import leases, quotas
from lightmail.operations.transactions import Transactions
from lightmail.rounds import Rounds
from lightmail.store.quotas import Filling, filling_txn

LEASE: Final = "quota-warnings"
# Accounts looked up at once; those found in one round are warned one after another.
PAGE: Final = 100
# A look that has so many to warn goes on in the next round.
_DEADLINE_SECONDS: Final = 600.0


class QuotaWarnings(Rounds):
    """Goes round every `interval_seconds` and warns accounts that use `percent` of a quota or more."""

    def __init__(
        self,
        transactions: Transactions,
        blobs: Blobs,
        spools: Spools,
        notice: Notice,
        *,
        percent: int,
        interval_seconds: float,
        reactor: Any,
    ) -> None:
        super().__init__(
            self.look,
            reactor=reactor,
            interval_seconds=interval_seconds,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="accounts that are nearly full cannot be warned",
            recovery="accounts that are nearly full are warned again",
        )
        self._tx = transactions
        self._blobs = blobs
        self._spools = spools
        self._notice = notice
        self._percent = percent
        # It is not given back: so there is about one look in an interval, however many processes there are.
        self._lease_seconds = interval_seconds * 0.9
        self._owner = secrets.token_hex(8)

    async def look(self) -> int:
        """One round, unless another process has had it: how many accounts were warned. Raises Unavailable."""
        database = self._tx.database
        lease = await leases.acquire(database, LEASE, self._owner, self._lease_seconds)
        if lease is None:
            return 0
        await quotas.relieve(database, self._percent)
        warned, after = 0, AccountId(0)
        while found := await database.read("quota-look", filling_txn, self._percent, after, PAGE):
            for filling in found:
                warned += await self._warn(filling)
            after = found[-1].account.id
            if not await lease.renew():
                break
        return warned

    async def _warn(self, filling: Filling) -> bool:
        now_us = time.time_ns() // 1000
        spool = self._spools.new()
        try:
            spool.write(self._notice.compose(filling, now_us))
            owners = [(filling.account.uuid, filling.inbox)]
            blob = await self._blobs.write(spool, internaldate_us=now_us, owners=owners)
        finally:
            spool.close()
        return await quotas.warn(self._tx, filling, blob, now_us, self._percent)
