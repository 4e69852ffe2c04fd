"""Pointing a mailbox's row at another snapshot of its index, and letting go of snapshots.

A snapshot may replace another only where nothing else did meanwhile: the writer names the one that it knows, whose
chunks it may go on using. So two processes that write at once do no harm: the second is refused, and its objects, which
no row ever named, are found by the collector (`lightmail.jobs.garbage.snapshots`). Nothing is deleted here. What is
replaced is left to the collector, too: another process may be about to read it.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightmail.model import AccountId, MailboxId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import snapshots
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.database import Database
from lightmail.store.faults import Conflict, DuplicateKey
from lightmail.store.snapshots import Pointer


async def swap(
    tx: Transactions,
    account: AccountId,
    mailbox: MailboxId,
    replaced: str | None,
    pointer: Pointer,
    chunks: Sequence[tuple[str, int]],
    born_us: int,
) -> bool:
    """Make `pointer` the mailbox's snapshot, in place of the one whose key is `replaced` (None: it has none).

    `chunks` are all that it consists of besides its root, (key, octets) each; `born_us` is when the oldest new object
    was born (Unix us). False where the mailbox has another snapshot by now, or one like this would not serve it: of
    another epoch or UIDVALIDITY, below what is forgotten, above what ever happened, or behind the one it replaces.
    Raises Unavailable.
    """
    return await tx.commit(
        "snapshot", _swap_txn, account, mailbox, replaced, pointer, chunks,
        account=account, mailboxes=(mailbox,), born_us=born_us,
    )  # fmt: skip


def _swap_txn(
    cursor: Cursor,
    account: AccountId,
    mailbox: MailboxId,
    replaced: str | None,
    pointer: Pointer,
    chunks: Sequence[tuple[str, int]],
) -> Changed[bool]:
    standing, in_use = snapshots.lock_txn(cursor, account, mailbox)
    if standing is None or not standing.serves(pointer):
        raise Nothing(False)
    present = standing.pointer
    if (present.key if present is not None else None) != replaced:
        raise Nothing(False)
    if present is not None and standing.serves(present) and present.modseq > pointer.modseq:
        raise Nothing(False)
    parts = {pointer.key: pointer.octets, **dict(chunks)}
    cursor.script(
        [
            *snapshots.point_statements(account, mailbox, pointer, anew=present is None),
            *snapshots.use_statements(mailbox, [(key, parts[key]) for key in sorted(parts.keys() - in_use)]),
            *snapshots.drop_objects_statements(in_use - parts.keys()),
        ]
    )
    return Changed(True)


async def drop(tx: Transactions, account: AccountId, mailbox: MailboxId, key: str) -> bool:
    """Leave a mailbox without its snapshot, if that is still the one with this key. Raises Unavailable."""
    return await tx.commit("drop-snapshot", _drop_txn, account, mailbox, key, account=account, mailboxes=(mailbox,))


def _drop_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId, key: str) -> Changed[bool]:
    standing, _ = snapshots.lock_txn(cursor, account, mailbox)
    if standing is None or standing.pointer is None or standing.pointer.key != key:
        raise Nothing(False)
    cursor.script(snapshots.drop_statements(mailbox))
    return Changed(True)


async def forget(database: Database, keys: Sequence[str]) -> None:
    """Remove the rows of dropped objects that have been deleted. Raises Unavailable."""
    if keys:
        await database.run("forget-snapshots", snapshots.forget_txn, keys)


async def clear(database: Database, mailbox: MailboxId) -> None:
    """Remove the snapshot of a mailbox that is gone; what it was made of belongs to none then. Raises Unavailable."""
    await database.run("clear-snapshot", _script_txn, [snapshots.orphaned_statement(mailbox)])


async def disown(database: Database, keys: Sequence[str]) -> None:
    """Leave objects to the collector that belong to no snapshot. Raises Unavailable."""
    if keys:
        await database.run("disown-snapshots", _script_txn, snapshots.disown_statements(keys))


def _script_txn(cursor: Cursor, statements: Sequence[Statement]) -> None:
    try:
        cursor.script(statements)
    except DuplicateKey:
        # Somebody else disowns one of them at this moment.
        raise Conflict("twin") from None
