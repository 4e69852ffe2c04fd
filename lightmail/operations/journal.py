"""The journal's writes to the rows: who writes it, and how far it came.

Whoever journals holds a lease with a fence. Its marks are written under a lock of the lease's row, so one that was
paused for long, and whose lease passed to another, cannot move them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lightmail.model import AccountId, MailboxId
from lightmail.operations.leases import Lease
from lightmail.store import journal, progress
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

# Mailboxes are locked while their marks are written: so many at once, that no delivery waits for long.
_MARKS_AT_ONCE: Final = 256


class LeaseLost(Exception):
    """Another process writes the journal by now; what this one has written does no harm."""


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
    if not lease.held_txn(cursor):
        raise LeaseLost
    statements = journal.advance_statements(mailboxes, accounts)
    if statements:
        cursor.script(statements)
    if state is not None:
        progress.write_txn(cursor, lease.name, state)
        lease.renew_txn(cursor)


async def start_over(database: Database, lease: Lease) -> None:
    """Ask for the whole of everything: no mark counts any more. Raises LeaseLost, Unavailable."""
    after: int | None = 0
    while after is not None:
        after = await database.run("journal reset", _unmark_txn, lease, after)


def _unmark_txn(cursor: Cursor, lease: Lease, after: int) -> int | None:
    if not lease.held_txn(cursor):
        raise LeaseLost
    return journal.unmark_txn(cursor, after, _MARKS_AT_ONCE)
