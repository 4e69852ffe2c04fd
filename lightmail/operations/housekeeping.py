"""Forgetting what made old writes safe to repeat: operation ids after a day, delivery digests after a week."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.store import ledger
from lightmail.store.database import Database

_DAY_US: Final = 86_400_000_000
OPERATIONS_AGE_US: Final = _DAY_US
DELIVERIES_AGE_US: Final = 7 * _DAY_US
# Small transactions: no writer waits long for one.
_AT_ONCE: Final = 1000
_INTERVAL_SECONDS: Final = 600.0

log = Logger()


async def forget(database: Database) -> int:
    """Delete what is too old; how many rows. Safe to run anywhere, any time, by several at once. Raises Unavailable."""
    total = 0
    for table, age_us in (("operations", OPERATIONS_AGE_US), ("deliveries", DELIVERIES_AGE_US)):
        while True:
            count = await database.run("forget", ledger.forget_txn, table, age_us, _AT_ONCE)
            total += count
            if count < _AT_ONCE:
                break
    return total


class Housekeeping(Service):
    """Calls `forget` every ten minutes, the first time ten minutes after it starts; a failure waits for the next."""

    def __init__(self, database: Database, *, reactor: Any) -> None:
        self._database = database
        self._reactor = reactor
        self._timer: Any = None
        self._round: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        self._schedule()

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when a round under way has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is None:
            return None
        ended: Deferred[None] = Deferred()
        self._round.addBoth(lambda _: ended.callback(None))
        self._round.cancel()
        return ended

    def _schedule(self) -> None:
        self._timer = self._reactor.callLater(_INTERVAL_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._round = Deferred.fromCoroutine(self._forget())
        self._round.addBoth(self._ended)

    async def _forget(self) -> None:
        try:
            await forget(self._database)
        except CancelledError:
            pass
        except MailError as error:
            log.warn("old operation ids could not be forgotten: {error}", error=error)
        except Exception:
            log.failure("old operation ids could not be forgotten")

    def _ended(self, _: object) -> None:
        self._round = None
        if self.running:
            self._schedule()
