"""Writing the rows of a recovery into an empty database; from its first row to its last it is marked as unfinished.

A server refuses to start on a database that is marked so, and the journal refuses to write: half of the mailboxes are
not to be taken for all of them. A failure undoes nothing: whoever recovers begins again with an empty database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from lightmail.errors import StartupError
from lightmail.model import ObjectId, StoredBlob
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import epochs, progress, recovery
from lightmail.store.cursor import Cursor, Row
from lightmail.store.database import Database
from lightmail.store.recovery import MARKER, AccountRow, MailboxRow

P = ParamSpec("P")
T = TypeVar("T")

_REASON = "the database was recovered from the bucket: look at what came back first"


async def require_empty(database: Database) -> None:
    """Raise StartupError unless the database has our tables and nothing in them. Raises Unavailable."""
    if await database.read("recover", recovery.is_unfinished_txn):
        raise StartupError("A recovery into this database was interrupted: make it anew, empty, and begin again.")
    found = await database.read("recover", recovery.rows_txn)
    if found:
        raise StartupError(f"The database is not empty ({', '.join(found)}): recover into a new one.")


async def require_whole(database: Database) -> None:
    """Raise StartupError where a recovery into this database did not come to its end. Raises Unavailable."""
    if await database.read("recover", recovery.is_unfinished_txn):
        raise StartupError(
            "a recovery into this database is unfinished; make it anew and run `lightmail recover` again"
        )


async def begin(tx: Transactions, epoch: int) -> None:
    """Mark the database as one that is being recovered, and bring its epoch to `epoch` at least.

    Collection is frozen from now on, until an operator unfreezes it.
    """

    def work(cursor: Cursor) -> None:
        progress.write_txn(cursor, MARKER, {"epoch": epoch})
        epochs.raise_txn(cursor, epoch)

    await _write(tx, work)
    await freeze(tx)


async def freeze(tx: Transactions) -> None:
    """Let nothing be collected until an operator has seen what came back."""
    await _write(tx, epochs.freeze_txn, _REASON)


async def add_domains(tx: Transactions, domains: Sequence[tuple[str, int, int]]) -> Mapping[str, int]:
    """Insert domains (name, created_at, how many accounts they may have); their ids by name."""
    return await _write(tx, recovery.insert_domains_txn, domains)


async def add_aliases(tx: Transactions, aliases: Sequence[tuple[str, str, int]]) -> None:
    """Insert aliases (address, target, domain's id)."""
    await _write(tx, recovery.insert_aliases_txn, aliases)


async def add_accounts(tx: Transactions, accounts: Sequence[tuple[AccountRow, Sequence[str]]]) -> Mapping[bytes, int]:
    """Insert accounts with what they are subscribed to, at most some hundred; their ids by uuid."""
    return await _write(tx, recovery.insert_accounts_txn, accounts)


async def add_mailboxes(tx: Transactions, mailboxes: Sequence[MailboxRow]) -> None:
    """Insert mailboxes, at most some hundred."""
    await _write(tx, recovery.insert_mailboxes_txn, mailboxes)


async def add_objects(tx: Transactions, stored: Sequence[StoredBlob]) -> Mapping[str, ObjectId]:
    """Insert objects with their renderings, at most some hundred; their ids by key."""
    return await _write(tx, recovery.insert_objects_txn, stored)


async def add_messages(tx: Transactions, rows: Sequence[Row]) -> None:
    """Insert messages, as `recovery.insert_messages_txn` takes them."""
    await _write(tx, recovery.insert_messages_txn, rows)


async def add_usage(tx: Transactions, usage: Sequence[tuple[int, int, int]]) -> None:
    """Insert what accounts use: (account, octets, messages)."""
    await _write(tx, recovery.insert_usage_txn, usage)


async def finish(tx: Transactions, mailbox_ids: int, journal: tuple[str, dict[str, Any]]) -> None:
    """Keep mailbox ids up to `mailbox_ids` from being given again, have the `journal` of that name begin in that state,
    and take the mark away: the database is whole."""

    def work(cursor: Cursor) -> None:
        recovery.reserve_mailbox_ids_txn(cursor, mailbox_ids)
        progress.write_txn(cursor, *journal)
        progress.clear_txn(cursor, MARKER)

    await _write(tx, work)


async def _write(tx: Transactions, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `fn` gives, committed once and for certain."""

    def work(cursor: Cursor) -> Changed[Any]:
        return Changed(fn(cursor, *args, **kwargs))

    result: T = await tx.commit("recover", work, account=None)
    return result
