"""The steps of `jobs.epochs`, which has the argument for their order.

Each can be run again, for it compares before it sets. All raise Unavailable.
"""

from __future__ import annotations

from lightmail.model import MailboxId
from lightmail.store import epochs
from lightmail.store.database import Database
from lightmail.store.epochs import Mark


async def adopt(database: Database, lineage: bytes) -> None:
    """Give a database that has none its lineage."""
    await database.run("epoch", epochs.adopt_txn, lineage)


async def advance(database: Database, seen: Mark) -> bool:
    """Begin the pass after `seen`; False when the row is no longer at it."""
    return await database.run("epoch", epochs.advance_txn, seen)


async def claim(database: Database, seen: Mark, mark: Mark, reason: str) -> bool:
    """Freeze collection and make the row `mark`, which the bucket gets next; False when it is no longer at `seen`."""
    return await database.run("epoch", epochs.claim_txn, seen, mark, reason)


async def raise_to(database: Database, epoch: int) -> bool:
    """Make `epoch` the store's; False when it is that high already."""
    return await database.run("epoch", epochs.raise_txn, epoch)


async def unfreeze(database: Database, seen: Mark) -> bool:
    """Let the collector work again; False when the row is no longer at `seen`."""
    return await database.run("epoch", epochs.unfreeze_txn, seen)


async def is_behind(database: Database, mailbox: MailboxId, modseq: int) -> bool:
    """Whether a mailbox is below a MODSEQ that was read of it once; asked of the row that writers lock."""
    return await database.run("epoch", epochs.behind_txn, mailbox, modseq)
