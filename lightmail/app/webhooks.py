"""The part of a server that tells a webhook's receiver of events."""

from __future__ import annotations

from typing import Any

from lightmail.app.backends import Backends
from lightmail.app.lifecycle import Part
from lightmail.jobs.webhooks import Webhooks


def webhooks_part(backends: Backends, reactor: Any) -> Part:
    """Takes events from the queue as long as it runs; without a receiver it waits for one to be configured."""
    transactions, receiver = backends.transactions, backends.receiver
    webhooks = Webhooks(transactions.database, transactions.events, receiver, reactor=reactor)

    async def start() -> None:
        webhooks.startService()

    async def stop() -> None:
        stopping = webhooks.stopService()
        if stopping is not None:
            await stopping
        await receiver.close()

    return Part("webhook", start, stop)
