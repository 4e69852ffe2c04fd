"""STORE: flags as set operations (RFC 3501 section 6.4.6, P6)."""

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


async def store_flags(
    tx: Transactions,
    account: Account,
    mailbox: MailboxId,
    uids: Sequence[int],
    mode: FlagMode,
    flags: Sequence[bytes],
) -> int:
    """Change the flags of messages; the mailbox's MODSEQ afterwards. UIDs that are gone, and flags that messages have
    already, change nothing.

    Names the keywords that are new. Raises NoSuchMailbox, LimitReached (no room for a keyword), Unavailable.
    """
    if not uids:
        found = await tx.database.read("flags", mailboxes.by_id_txn, account.id, mailbox)
        if found is None:
            raise NoSuchMailbox
        return found.highest_modseq
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
    )


def flags_txn(
    cursor: Cursor,
    account: AccountId,
    mailbox: MailboxId,
    uids: Sequence[int],
    mode: FlagMode,
    flags: tuple[bytes, ...],
) -> Changed[int]:
    """The transaction: two round trips where all flags have fixed bits, three or four with keywords."""
    advance = {(mailbox, account): 0}
    lock = mailboxes.advance_statements(advance)
    bits = keywords.fixed_bits(flags)
    if bits is not None:
        results = cursor.script([*lock, *messages.flag_statements(mailbox, uids, *_mask(mode, bits))])
        held = _held(mailboxes.advanced(results[len(lock) - 1].rows, advance), mailbox)
        changes = results[len(lock) :]
    else:
        results = cursor.script([*lock, keywords.keywords_statement(mailbox)])
        held = _held(mailboxes.advanced(results[len(lock) - 1].rows, advance), mailbox)
        known = keywords.read(results[-1].rows)
        if mode is FlagMode.REMOVE:
            bits = keywords.known_bits(flags, known)
        else:
            bits = keywords.allocate_txn(cursor, mailbox, flags, known)
        changes = cursor.script(messages.flag_statements(mailbox, uids, *_mask(mode, bits)))
    if not any(result.rowcount for result in changes):
        raise Nothing(held.highest_modseq - 1)
    return Changed(held.highest_modseq, {mailbox: held.highest_modseq})


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
