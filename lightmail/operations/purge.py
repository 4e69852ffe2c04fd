"""Rows past their time: expunged messages, deleted mailboxes, deleted accounts.

A tombstone's row goes with its object's reference, and the object is condemned in the same transaction (why that is
safe: `operations.collect`), so nothing has to look for it later. `forgotten_modseq` rises under the mailbox's lock:
whoever asks for changes from before is told to read the mailbox anew (`store.messages.changes_txn`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId, MailboxId, ObjectId, ObjectState
from lightmail.operations.collect import condemn_txn
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import purging
from lightmail.store.cursor import Cursor, Row

# A transaction locks no more mailboxes than this: deliveries to them wait for it.
_MAILBOXES_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Purged:
    """How many rows went, and how many objects were condemned with them."""

    messages: int = 0
    mailboxes: int = 0
    accounts: int = 0
    objects: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.messages + other.messages,
            self.mailboxes + other.mailboxes,
            self.accounts + other.accounts,
            self.objects + other.objects,
        )


async def purge_messages(tx: Transactions, until_us: int, now_us: int, limit: int) -> Purged:
    """Remove up to `limit` messages that were expunged or moved away at `until_us` (Unix us) or before.

    Raises Unavailable; what was removed by then stays removed.
    """
    expired = await tx.database.read("expired", purging.expired_txn, until_us, limit)
    total = Purged()
    for mailboxes in _chunks(expired):
        total += await tx.commit(
            "purge", purge_txn, mailboxes, until_us, now_us, account=None, mailboxes=mailboxes.keys()
        )
    return total


def _chunks(expired: Mapping[MailboxId, list[int]]) -> list[dict[MailboxId, list[int]]]:
    items = list(expired.items())
    starts = range(0, len(items), _MAILBOXES_AT_ONCE)
    return [dict(items[start : start + _MAILBOXES_AT_ONCE]) for start in starts]


def purge_txn(cursor: Cursor, wanted: Mapping[MailboxId, Sequence[int]], until_us: int, now_us: int) -> Changed[Purged]:
    """The transaction: mailboxes locked by ascending id, tombstones removed, then their objects looked at."""
    found = purging.lock_expired_txn(cursor, wanted, until_us)
    if not found:
        raise Nothing(Purged())
    cursor.script([each for mailbox, rows in found.items() for each in purging.remove_statements(mailbox, rows)])
    rows = [row for of_mailbox in found.values() for row in of_mailbox]
    condemned = condemn_txn(cursor, _objects(rows), ObjectState.LIVE, now_us, "expunged")
    return Changed(Purged(messages=len(rows), objects=len(condemned)))


def _objects(rows: Sequence[Row]) -> list[ObjectId]:
    return [ObjectId(row[2]) for row in rows if row[2] is not None]


async def purge_mailboxes(tx: Transactions, until_us: int, now_us: int, limit: int) -> Purged:
    """Remove mailboxes that were deleted at `until_us` or before, up to `limit` of them and of their messages.

    The last mailbox of a deleted account takes the account along. Raises Unavailable.
    """
    dead = await tx.database.read("dead-mailboxes", purging.dead_mailboxes_txn, until_us, limit)
    total = Purged()
    for mailbox, account in dead:
        room = limit - total.messages
        if room <= 0:
            break
        total += await tx.commit(
            "purge-mailbox",
            _purge_mailbox_txn,
            account,
            mailbox,
            until_us,
            now_us,
            room,
            account=account,
            mailboxes=(mailbox,),
        )
    return total


def _purge_mailbox_txn(
    cursor: Cursor, account: AccountId, mailbox: MailboxId, until_us: int, now_us: int, limit: int
) -> Changed[Purged]:
    """The transaction: the next messages, and the mailbox once they were the last.

    The account's row is locked: of two that remove its last two mailboxes, the second sees that it was the last.
    """
    rows = purging.lock_dead_txn(cursor, account, mailbox, until_us, limit)
    if rows is None:
        raise Nothing(Purged())
    if rows:
        cursor.script(purging.remove_statements(mailbox, rows))
    condemned = len(condemn_txn(cursor, _objects(rows), ObjectState.LIVE, now_us, "mailbox deleted"))
    if len(rows) == limit:
        return Changed(Purged(messages=len(rows), objects=condemned))
    address = purging.remove_mailbox_txn(cursor, account, mailbox)
    if address is not None:
        purging.remove_account_txn(cursor, account, address)
    return Changed(Purged(len(rows), 1, 1 if address is not None else 0, condemned))
