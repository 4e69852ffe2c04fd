"""Takes queued events to the webhook's receiver, in any number of processes at once (docs/webhooks.md).

A round claims some events, tells of them, and settles them in one transaction. Events of one account are told one
after another, in the order in which they became due; those of others meanwhile. One that fails comes again later, by
itself, by a schedule of days. A receiver that takes nothing at all is asked with single events, less and less often up
to a minute.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import DeferredSemaphore, gatherResults
from twisted.logger import Logger

from lightmail.metrics import WEBHOOK_BACKLOG, WEBHOOK_EVENTS, WEBHOOK_SECONDS
from lightmail.operations import webhooks
from lightmail.operations.events import Events, body_of
from lightmail.rounds import Rounds
from lightmail.store.database import Database
from lightmail.store.webhooks import Claimed, Repeat, count_txn
from lightmail.webhooks.receiver import Receiver
from lightmail.webhooks.sending import AT_ONCE, Attempt, Sender

log = Logger()

# How long after each attempt the next one comes: ten in all, over three days, as Standard Webhooks suggests.
DELAYS_SECONDS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Events of one round, and how long it begins new requests.
BATCH: Final = 64
_BATCH_SECONDS: Final = 30.0
# How much longer a claim lasts than the round and its last request: for the transaction that settles it. A process that
# dies leaves its events alone for so long.
_CLAIM_SECONDS: Final = 30.0
_DEADLINE_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 1.0
_DISABLED_SECONDS: Final = 3600.0
_PAUSE_SECONDS: Final = 60.0
_COUNT_SECONDS: Final = 60.0
_COUNTED: Final = 10_000

_ARRIVED: Final = WEBHOOK_EVENTS.labels("delivered")
_REPEATED: Final = WEBHOOK_EVENTS.labels("repeated")
_FAILED: Final = WEBHOOK_EVENTS.labels("failed")


@dataclass(slots=True)
class _Batch:
    """What became of the events of a round so far. With `over` no new request is begun."""

    claimed: Sequence[Claimed]
    until: float
    arrived: list[int] = field(default_factory=list)
    failed: list[Repeat] = field(default_factory=list)
    wait_seconds: int = 0
    over: bool = False
    error: str = ""

    @property
    def untried(self) -> list[int]:
        tried = {*self.arrived, *(each.id for each in self.failed)}
        return [each.id for each in self.claimed if each.id not in tried]


class Webhooks(Rounds):
    """Goes round every second while a receiver is configured, at once while more is due."""

    def __init__(self, database: Database, events: Events, receiver: Receiver, *, reactor: Any) -> None:
        super().__init__(
            self.look,
            reactor=reactor,
            interval_seconds=self._pause_seconds,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="events for the webhook cannot be taken from the queue",
            recovery="events for the webhook are taken from the queue again",
        )
        self._database = database
        self._events = events
        self._receiver = receiver
        self._reactor = reactor
        self._failures = 0
        self._wait_seconds = 0
        self._more = False
        self._begin_anew()
        receiver.when_changed(self._begin_anew)

    def _begin_anew(self) -> None:
        self._events.want(self._receiver.config.wanted)
        self._failures = self._wait_seconds = 0
        self._counted_at = float("-inf")
        for state in ("waiting", "failed"):
            WEBHOOK_BACKLOG.labels(state).set(0)
        if self.running:
            self.hasten()

    def _pause_seconds(self) -> float:
        if self._receiver.sender is None:
            return _DISABLED_SECONDS
        if self._wait_seconds:
            return float(self._wait_seconds)
        if self._failures:
            return min(_PAUSE_SECONDS, 2.0 ** min(self._failures, 10)) * random.uniform(0.75, 1.0)
        return 0.0 if self._more else _LOOK_SECONDS

    async def look(self) -> int:
        """One round: how many events arrived. Raises Unavailable."""
        sender = self._receiver.sender
        if sender is None:
            return 0
        await self._count()
        most = 1 if self._failures else BATCH
        timeout_seconds = self._receiver.config.timeout_ms / 1000
        claim_seconds = _BATCH_SECONDS + timeout_seconds + _CLAIM_SECONDS
        claimed = await webhooks.claim(self._database, most, claim_seconds)
        self._more = bool(claimed)
        if not claimed:
            return 0
        batch = _Batch(claimed, self._reactor.seconds() + _BATCH_SECONDS)
        try:
            await self._tell(sender, batch)
        finally:
            # Also when the server stops meanwhile: what arrived must not come twice, what did not must not wait.
            await webhooks.settle(self._database, batch.arrived, batch.failed, batch.untried)
        self._draw_conclusions(sender, batch)
        return len(batch.arrived)

    async def _tell(self, sender: Sender, batch: _Batch) -> None:
        """Tell of the events: of an account's in order, of so many accounts at once."""
        by_account: dict[int, list[Claimed]] = {}
        for event in batch.claimed:
            # What is about no account has no order to keep.
            by_account.setdefault(-event.id if event.account is None else event.account, []).append(event)
        turns = DeferredSemaphore(AT_ONCE)
        telling = [turns.run(self._tell_in_order, sender, batch, events) for events in by_account.values()]
        try:
            await gatherResults(telling, consumeErrors=True)
        finally:
            batch.over = True

    async def _tell_in_order(self, sender: Sender, batch: _Batch, events: Sequence[Claimed]) -> None:
        for event in events:
            if batch.over or self._reactor.seconds() > batch.until:
                return
            attempt = await sender.send(event.event_id, body_of(event.payload, event.message))
            WEBHOOK_SECONDS.observe(attempt.seconds)
            if attempt.arrived:
                _ARRIVED.inc()
                batch.arrived.append(event.id)
            else:
                self._note_failure(batch, event, attempt)

    def _note_failure(self, batch: _Batch, event: Claimed, attempt: Attempt) -> None:
        repeat = _repeat(event, attempt)
        batch.failed.append(repeat)
        batch.error = attempt.error
        batch.wait_seconds = max(batch.wait_seconds, attempt.wait_seconds)
        # One that gave no answer, or asks for peace, is not asked sixty times more.
        batch.over = batch.over or attempt.status is None or attempt.wait_seconds > 0
        if repeat.delay_us is not None:
            _REPEATED.inc()
            return
        _FAILED.inc()
        log.error(
            "the event {id} ({kind}, evt_{event}) was given up after {attempts} attempts: {error}",
            event=event.event_id.hex(),
            kind=event.kind,
            attempts=repeat.attempts,
            error=attempt.error,
            id=event.id,
        )

    def _draw_conclusions(self, sender: Sender, batch: _Batch) -> None:
        """How soon the receiver is asked again, and what the log says of it."""
        self._wait_seconds = batch.wait_seconds
        if batch.arrived or not batch.failed:
            if self._failures:
                log.info("the webhook's receiver takes events again")
            self._failures = 0
            return
        self._failures += 1
        if self._failures == 1:
            log.warn("the webhook's receiver {url} takes no events: {error}", url=_shown(sender.url), error=batch.error)

    async def _count(self) -> None:
        """Once a minute: how many events wait, for the metrics, and whether those are too many for more."""
        now = self._reactor.seconds()
        if now - self._counted_at < _COUNT_SECONDS:
            return
        self._counted_at = now
        waiting, failed = await self._database.read("webhook-count", count_txn, _COUNTED)
        WEBHOOK_BACKLOG.labels("waiting").set(waiting)
        WEBHOOK_BACKLOG.labels("failed").set(failed)
        most = self._receiver.config.queue_events
        if waiting == _COUNTED and most > _COUNTED:
            waiting, _ = await self._database.read("webhook-count", count_txn, most)
        full = waiting >= most
        if full and not self._events.full:
            log.error(
                "{count} events wait for the webhook's receiver; new ones are dropped until it takes some", count=most
            )
        elif self._events.full and not full:
            log.info("events for the webhook are queued again")
        self._events.full = full


def _repeat(event: Claimed, attempt: Attempt) -> Repeat:
    """When an event that failed comes again, if it does: a little earlier or later, so that not all come at once."""
    attempts = event.attempts + 1
    if attempts > len(DELAYS_SECONDS):
        return Repeat(event.id, attempts, attempt.error, None)
    seconds = max(DELAYS_SECONDS[attempts - 1], attempt.wait_seconds) * random.uniform(1.0, 1.25)
    return Repeat(event.id, attempts, attempt.error, int(seconds * 1_000_000))


def _shown(url: str) -> str:
    """A URL as the log may have it: what follows the host may be a secret of its own."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
