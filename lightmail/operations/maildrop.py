"""POP3's maildrop: one session at a time holds it under a lease, and removes messages at QUIT (RFC 1939 section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lightmail.errors import InUse
from lightmail.model import Account, AccountId, MailboxId
from lightmail.operations import leases
from lightmail.operations.expunge import Expunged, expunge_txn
from lightmail.operations.leases import Lease
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

# A lease outlives a few renewals that fail; a session that died keeps others out no longer than this.
LEASE_SECONDS: Final = 90.0
RENEW_SECONDS: Final = 30.0


async def lock(database: Database, account: AccountId | Account, owner: str) -> Lease:
    """Hold the account's maildrop for `owner`, a name unique to the session. Raises InUse, Unavailable.

    Renew it every RENEW_SECONDS; release it at the end, whatever happens.
    """
    name = f"maildrop/{account.id if isinstance(account, Account) else account}"
    lease = await leases.acquire(database, name, owner, LEASE_SECONDS)
    if lease is None:
        raise InUse
    return lease


async def remove(tx: Transactions, account: Account, mailbox: MailboxId, uids: Sequence[int], lease: Lease) -> Expunged:
    """Expunge messages at QUIT, all in one transaction, if the lease has not passed to another.

    Raises InUse when it has, NoSuchMailbox, Unavailable.
    """
    if not uids:
        return Expunged([])
    return await tx.commit(
        "maildrop", _remove_txn, account.id, mailbox, sorted(uids), lease, account=account.id, mailboxes=(mailbox,)
    )


def _remove_txn(
    cursor: Cursor, account: AccountId, mailbox: MailboxId, uids: Sequence[int], lease: Lease
) -> Changed[Expunged]:
    if not lease.held_txn(cursor):
        raise InUse("The maildrop's lock was lost.")
    return expunge_txn(cursor, account, mailbox, uids, False)
