"""STORE: flags as set operations (RFC 3501 section 6.4.6, P6).

Such a change needs no operation id. Where the answer to its COMMIT is lost it is made once more, which is what a client
would do that got no answer: what others have changed in between, under the mailbox's lock, comes before this second
time, and the command ends with just what it asked for. A change that depends on what was there before
(``UNCHANGEDSINCE``) would not be of that kind.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightmail.errors import NoSuchMailbox
from lightmail.model import Account, AccountId, FlagMode, MailboxId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import keywords, mailboxes, messages
from lightmail.store.cursor import Cursor
from lightmail.store.keywords import ALL_BITS
from lightmail.store.mailboxes import Locked
from lightmail.store.messages import OwnChange


async def store_flags(
    tx: Transactions,
    account: Account,
    mailbox: MailboxId,
    uids: Sequence[int],
    mode: FlagMode,
    flags: Sequence[bytes],
) -> OwnChange:
    """Change the flags of messages, and say what that did. UIDs that are gone, and flags that messages have already,
    change nothing. Where nothing changes at all the mailbox keeps its MODSEQ; where keywords had to be named, which is
    done here, too, no more is told than the new one.

    Raises NoSuchMailbox, LimitReached (no room for a keyword), Unavailable.
    """
    if not uids:
        found = await tx.database.read("flags", mailboxes.by_id_txn, account.id, mailbox)
        if found is None:
            raise NoSuchMailbox
        return OwnChange(found.highest_modseq)
    return await tx.commit(
        "flags",
        flags_txn,
        account.id,
        mailbox,
        sorted(uids),
        mode,
        tuple(flags),
        account=account.id,
        mailboxes=(mailbox,),
        repeatable=True,
    )


def flags_txn(
    cursor: Cursor,
    account: AccountId,
    mailbox: MailboxId,
    uids: Sequence[int],
    mode: FlagMode,
    flags: tuple[bytes, ...],
) -> Changed[OwnChange]:
    """The transaction: two round trips where all flags have fixed bits, three or four with keywords."""
    advance = {(mailbox, account): 0}
    lock = mailboxes.advance_statements(advance)
    bits = keywords.fixed_bits(flags)
    tellable = True
    if bits is not None:
        keep, add = _mask(mode, bits)
        results = cursor.script([*lock, *messages.flag_statements(mailbox, uids, keep, add)])
        held = _held(mailboxes.advanced(results[len(lock) - 1].rows, advance), mailbox)
        changes = results[len(lock) :]
    else:
        results = cursor.script([*lock, keywords.keywords_statement(mailbox)])
        held = _held(mailboxes.advanced(results[len(lock) - 1].rows, advance), mailbox)
        known = keywords.read(results[-1].rows)
        if mode is FlagMode.REMOVE:
            bits = keywords.known_bits(flags, known)
        else:
            before = len(known)
            bits = keywords.allocate_txn(cursor, mailbox, flags, known)
            tellable = len(known) == before
        keep, add = _mask(mode, bits)
        changes = cursor.script(messages.flag_statements(mailbox, uids, keep, add))
    changed = sum(result.rowcount for result in changes)
    if not changed:
        raise Nothing(OwnChange(held.highest_modseq - 1))
    modseq = held.highest_modseq
    return Changed(OwnChange(modseq, uids, keep, add, changed) if tellable else OwnChange(modseq), {mailbox: modseq})


def _held(found: dict[MailboxId, Locked], mailbox: MailboxId) -> Locked:
    if mailbox not in found:
        raise NoSuchMailbox
    return found[mailbox]


def _mask(mode: FlagMode, bits: int) -> tuple[int, int]:
    """The bits to keep and the bits to add."""
    if mode is FlagMode.ADD:
        return ALL_BITS, bits
    if mode is FlagMode.REMOVE:
        return ALL_BITS & ~bits, 0
    return 0, bits
