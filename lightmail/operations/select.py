r"""SELECT's share in the store: which messages are \Recent in which session (RFC 3501 section 2.3.2)."""

from __future__ import annotations

from lightmail.errors import NoSuchMailbox
from lightmail.model import Account, Mailbox, MailboxId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import mailboxes
from lightmail.store.cursor import Cursor


async def claim_recent(tx: Transactions, account: Account, mailbox: Mailbox) -> list[range]:
    r"""The UIDs that are \Recent for this session and from now on for no other; one range, or none.

    Ask only when there is reason to: a mailbox just read that `first_recent` finds something in, or new messages.
    Raises NoSuchMailbox, Unavailable.
    """
    taken, last = await tx.commit("recent", claim_txn, mailbox.id, account=account.id, mailboxes=(mailbox.id,))
    return [range(taken + 1, last + 1)] if last > taken else []


def first_recent(mailbox: Mailbox) -> list[range]:
    r"""The UIDs that are \Recent, without claiming them: what EXAMINE shows."""
    uids = range(mailbox.recent_uid + 1, mailbox.uidnext)
    return [uids] if uids else []


def claim_txn(cursor: Cursor, mailbox: MailboxId) -> Changed[tuple[int, int]]:
    """The transaction, three round trips: (last UID claimed before, last UID there is)."""
    claim = mailboxes.claim_recent_txn(cursor, mailbox)
    if claim is None:
        raise NoSuchMailbox
    taken, last = claim
    if last <= taken:
        raise Nothing(claim)
    # No hint: nothing that another session can see has changed.
    return Changed(claim)
