"""POP3's maildrop: one session at a time holds it under a lease, and removes messages at QUIT (RFC 1939 section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.errors import InUse, Unavailable
from lightmail.model import Account, AccountId, MailboxId
from lightmail.operations.expunge import Expunged, expunge_txn
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import leases
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import CommitUnknown, Conflict

# A lease outlives a few renewals that fail; a session that died keeps others out no longer than this.
LEASE_SECONDS: Final = 90.0
RENEW_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A maildrop that is held. Renew it every RENEW_SECONDS; release it at the end, whatever happens."""

    database: Database
    name: str
    owner: str
    fence: int

    async def renew(self) -> None:
        """Hold on to it. Raises InUse when it has run out, Unavailable."""
        if not await self.database.run("lease", leases.renew_txn, self.name, self.owner, self.fence, LEASE_SECONDS):
            raise InUse("The maildrop's lock was lost.")

    async def release(self) -> None:
        """Let others in; nothing happens when it is another's by now. Raises Unavailable, and may be called again.

        Tried once: an answer to QUIT waits for it.
        """
        try:
            await self.database.attempt("lease", leases.release_txn, self.name, self.owner, self.fence)
        except (Conflict, CommitUnknown):
            raise Unavailable from None


async def lock(database: Database, account: AccountId | Account, owner: str) -> Lease:
    """Hold the account's maildrop for `owner`, a name unique to the session. Raises InUse, Unavailable."""
    name = f"maildrop/{account.id if isinstance(account, Account) else account}"
    fence = await database.run("lease", leases.acquire_txn, name, owner, LEASE_SECONDS)
    if fence is None:
        raise InUse
    return Lease(database, name, owner, fence)


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
    if not leases.lock_txn(cursor, lease.name, lease.owner, lease.fence):
        raise InUse("The maildrop's lock was lost.")
    return expunge_txn(cursor, account, mailbox, uids, False)
