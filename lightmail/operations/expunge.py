"""EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315 section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightmail.errors import NoSuchMailbox
from lightmail.model import Account, AccountId, Fate, MailboxId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes, messages
from lightmail.store.cursor import Cursor
from lightmail.store.messages import OwnChange


@dataclass(frozen=True, slots=True)
class Expunged:
    """The UIDs that went, ascending, and the MODSEQ at which they did; 0 when nothing went."""

    uids: list[int]
    modseq: int = 0

    @property
    def change(self) -> OwnChange:
        """What that did to the mailbox."""
        return OwnChange(self.modseq, expunged=self.uids)


async def expunge(tx: Transactions, account: Account, mailbox: MailboxId, uids: Sequence[int] | None) -> Expunged:
    r"""Remove the messages that are \Deleted: all, or those among `uids`.

    They stay as tombstones with their objects, to be restored from, and count in no quota. Raises NoSuchMailbox,
    Unavailable.
    """
    if uids is not None and not uids:
        return Expunged([])
    return await tx.commit(
        "expunge",
        expunge_txn,
        account.id,
        mailbox,
        None if uids is None else sorted(uids),
        True,
        account=account.id,
        mailboxes=(mailbox,),
    )


def expunge_txn(
    cursor: Cursor, account: AccountId, mailbox: MailboxId, uids: Sequence[int] | None, only_deleted: bool
) -> Changed[Expunged]:
    r"""The transaction, three round trips: messages of the mailbox, only those \Deleted or any, become tombstones."""
    advance = {(mailbox, account): 0}
    lock = mailboxes.advance_statements(advance)
    results = cursor.script([*lock, *messages.matching_statements(mailbox, uids, only_deleted=only_deleted)])
    held = mailboxes.advanced(results[len(lock) - 1].rows, advance).get(mailbox)
    if held is None:
        raise NoSuchMailbox
    found = sorted(row for result in results[len(lock) :] for row in result.rows)
    if not found:
        raise Nothing(Expunged([]))
    gone = [row[0] for row in found]
    cursor.script(
        [
            *messages.bury_statements(mailbox, gone, Fate.EXPUNGED),
            accounts.discharge_statement(account, sum(row[2] for row in found), len(found)),
        ]
    )
    return Changed(Expunged(gone, held.highest_modseq), {mailbox: held.highest_modseq})
