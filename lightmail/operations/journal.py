"""The journal's writes to the rows: who writes it, and how far it came.

Whoever journals holds a lease with a fence. Its marks are written under a lock of the lease's row, so one that was
paused for long, and whose lease passed to another, cannot move them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.model import AccountId, MailboxId
from lightmail.store import journal, leases, progress
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

# Mailboxes are locked while their marks are written: so many at once, that no delivery waits for long.
_MARKS_AT_ONCE: Final = 256


class LeaseLost(Exception):
    """Another process writes the journal by now; what this one has written does no harm."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was acquired: its name, its holder, its fence, and for how long it is taken each time."""

    name: str
    owner: str
    fence: int
    seconds: float


async def acquire(database: Database, name: str, owner: str, seconds: float) -> Lease | None:
    """The lease of `name` for `seconds`, or None when another holds it. Raises Unavailable."""
    fence = await database.run("journal lease", leases.acquire_txn, name, owner, seconds)
    return None if fence is None else Lease(name, owner, fence, seconds)


async def renew(database: Database, lease: Lease) -> bool:
    """Hold on to the lease; False when it is another's, or ran out. Raises Unavailable."""
    return await database.run("journal lease", leases.renew_txn, lease.name, lease.owner, lease.fence, lease.seconds)


async def release(database: Database, lease: Lease) -> None:
    """Give the lease back. Raises Unavailable."""
    await database.run("journal lease", leases.release_txn, lease.name, lease.owner, lease.fence)


async def advance(
    database: Database,
    lease: Lease,
    mailboxes: Mapping[MailboxId, int],
    accounts: Mapping[AccountId, int],
    state: dict[str, Any],
) -> None:
    """Note what is durable in the object store, and with the last of it the journal's `state`; the lease is renewed.

    Raises LeaseLost, with some of it noted perhaps, which is true all the same; Unavailable.
    """
    marks = sorted(mailboxes.items())
    while len(marks) > _MARKS_AT_ONCE:
        await database.run("journal marks", _advance_txn, lease, dict(marks[:_MARKS_AT_ONCE]), {}, None)
        del marks[:_MARKS_AT_ONCE]
    await database.run("journal marks", _advance_txn, lease, dict(marks), accounts, state)


def _advance_txn(
    cursor: Cursor,
    lease: Lease,
    mailboxes: Mapping[MailboxId, int],
    accounts: Mapping[AccountId, int],
    state: dict[str, Any] | None,
) -> None:
    if not leases.lock_txn(cursor, lease.name, lease.owner, lease.fence):
        raise LeaseLost
    statements = journal.advance_statements(mailboxes, accounts)
    if statements:
        cursor.script(statements)
    if state is not None:
        progress.write_txn(cursor, lease.name, state)
        leases.renew_txn(cursor, lease.name, lease.owner, lease.fence, lease.seconds)


async def start_over(database: Database, lease: Lease) -> None:
    """Ask for the whole of everything: no mark counts any more. Raises LeaseLost, Unavailable."""
    after: int | None = 0
    while after is not None:
        after = await database.run("journal reset", _unmark_txn, lease, after)


def _unmark_txn(cursor: Cursor, lease: Lease, after: int) -> int | None:
    if not leases.lock_txn(cursor, lease.name, lease.owner, lease.fence):
        raise LeaseLost
    return journal.unmark_txn(cursor, after, _MARKS_AT_ONCE)
