"""Taking queued events to a webhook's receiver: claimed by one process at a time, settled when that has tried."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from lightmail.errors import NoSuchQueuedEvent
from lightmail.operations import events
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import webhooks
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.webhooks import Claimed, Repeat
from lightmail.webhooks import Attempt, Sender

# What one transaction takes up again of the events that were given up.
_AT_ONCE: Final = 1000


async def claim(database: Database, most: int, seconds: float) -> list[Claimed]:
    """The first events that are due, at most so many; nobody else takes them for so long. Raises Unavailable."""
    if not await database.read("webhook-due", webhooks.is_due_txn):
        return []
    return await database.run("webhook-claim", webhooks.claim_txn, most, seconds)


async def settle(database: Database, arrived: Sequence[int], failed: Sequence[Repeat], untried: Sequence[int]) -> None:
    """Note what became of events that were claimed. Raises Unavailable: then they come again, with the same ids."""
    await database.run("webhook-settle", webhooks.settle_txn, arrived, failed, untried)


async def retry(tx: Transactions, actor: Actor, ids: Collection[int]) -> int:
    """Have events tried again at once; how many. Raises NoSuchQueuedEvent where none of them is there, Unavailable."""
    return await tx.commit("webhook-retry", _retry_txn, actor, ids, account=None)


async def retry_failed(tx: Transactions, actor: Actor) -> int:
    """Have all events that were given up tried again; how many. Raises Unavailable."""
    total = 0
    while True:
        ids = await tx.database.read("webhook-failed", webhooks.failed_txn, _AT_ONCE)
        if not ids:
            return total
        total += await retry(tx, actor, ids)


async def test(tx: Transactions, actor: Actor, sender: Sender) -> tuple[bytes, Attempt]:
    """Tell the receiver of an event of the kind ``webhook.test``, once: the event's id, and what came of it.

    Raises Unavailable.
    """
    await tx.commit("webhook-test", _test_txn, actor, account=None)
    event_id = events.new_id()
    return event_id, await sender.send(event_id, events.test_body(actor.name))


def _retry_txn(cursor: Cursor, actor: Actor, ids: Collection[int]) -> Changed[int]:
    count = webhooks.retry_txn(cursor, ids)
    if not count:
        raise NoSuchQueuedEvent
    cursor.script([actor.record("webhook.retry", "", {"events": count, "first": min(ids), "last": max(ids)})])
    return Changed(count)


def _test_txn(cursor: Cursor, actor: Actor) -> Changed[None]:
    cursor.script([actor.record("webhook.test", "", {})])
    return Changed(None)
