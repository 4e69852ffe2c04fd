"""What `lightmail verify --repair` does: each repair looks again at what it mends, under the locks that writers take.

No repair deletes an object or a message. What a client must see changes with a higher MODSEQ and a hint. A repair that
finds nothing wrong any more changes nothing, so that two of them at once are harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightmail.errors import MailError
from lightmail.model import INBOX, AccountId, BlobRef, MailboxId, ObjectId, Rendering
from lightmail.operations import collect
from lightmail.operations.mailboxes import create_txn
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes, mending, messages, snapshots
from lightmail.store.cursor import Cursor
from lightmail.store.faults import Conflict, DuplicateKey

# --- mailboxes ---


async def restore_mailbox(tx: Transactions, account: AccountId, mailbox: MailboxId) -> None:
    """Give messages whose mailbox is gone a mailbox again, ``Recovered N``; nothing without the account.

    Raises Unavailable.
    """
    await tx.commit("repair", _restore_mailbox_txn, account, mailbox, account=account)


def _restore_mailbox_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Changed[None]:
    if not accounts.lock_txn(cursor, account):
        raise Nothing(None)
    uidvalidity = mailboxes.take_uidvalidity_txn(cursor, account)
    try:
        modseq = mending.restore_mailbox_txn(cursor, mailbox, account, f"Recovered {mailbox}", uidvalidity)
    except DuplicateKey:
        raise Nothing(None) from None
    if modseq is None:
        raise Nothing(None)
    # Its messages count again.
    mending.recount_txn(cursor, account)
    return Changed(None, {mailbox: modseq})


async def settle_counters(tx: Transactions, mailbox: MailboxId) -> None:
    """Raise UIDNEXT and HIGHESTMODSEQ above all that was given, and lower what cannot be as high as it stands.

    A mailbox whose journal is ahead of it is journalled whole again; one whose epoch is ahead of the store's counts as
    of an older one, so that its counters jump before they are next used. Raises Unavailable.
    """
    await tx.commit("repair", _settle_counters_txn, mailbox, account=None, mailboxes=(mailbox,))


def _settle_counters_txn(cursor: Cursor, mailbox: MailboxId) -> Changed[None]:
    found = mending.lock_mailbox_txn(cursor, mailbox)
    if found is None:
        raise Nothing(None)
    uidnext = max(found.uidnext, found.largest_uid + 1)
    highest = max(found.highest_modseq, found.forgotten_modseq, found.largest_modseq) + 1
    recent = min(found.recent_uid, uidnext - 1)
    journal = found.journal_modseq if found.journal_modseq <= found.highest_modseq else 0
    epoch = found.epoch if found.epoch <= found.store_epoch else found.store_epoch - 1
    mending.set_counters_txn(cursor, mailbox, uidnext, highest, recent, journal, epoch)
    return Changed(None, {mailbox: highest})


async def delete_mailbox(tx: Transactions, mailbox: MailboxId) -> None:
    """Mark a mailbox of a deleted account deleted, as its account is. Raises Unavailable."""
    await tx.commit("repair", _delete_mailbox_txn, mailbox, account=None, mailboxes=(mailbox,))


def _delete_mailbox_txn(cursor: Cursor, mailbox: MailboxId) -> Changed[None]:
    try:
        mending.delete_with_account_txn(cursor, mailbox)
    except DuplicateKey:
        raise Nothing(None) from None
    return Changed(None)


async def rename_twin(tx: Transactions, account: AccountId, mailbox: MailboxId) -> None:
    """Call a mailbox ``Recovered N`` that has the name of an older one. Raises Unavailable."""
    await tx.commit("repair", _rename_twin_txn, account, mailbox, account=account)


def _rename_twin_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Changed[None]:
    accounts.lock_txn(cursor, account)
    mending.rename_txn(cursor, mailbox, f"Recovered {mailbox}")
    return Changed(None)


async def raise_uidvalidity(tx: Transactions, account: AccountId) -> None:
    """Let the account's next UIDVALIDITY be above all that it gave. Raises Unavailable."""
    await tx.commit("repair", _raise_uidvalidity_txn, account, account=account)


def _raise_uidvalidity_txn(cursor: Cursor, account: AccountId) -> Changed[None]:
    accounts.lock_txn(cursor, account)
    mending.raise_uidvalidity_txn(cursor, account)
    return Changed(None)


async def create_inbox(tx: Transactions, account: AccountId) -> None:
    """Give an account its INBOX, if it has none. Raises Unavailable."""
    try:
        await tx.commit("repair", create_txn, account, INBOX, None, account=account)
    except MailError as error:
        # Made by somebody else meanwhile, or the account is gone.
        if error.transient:
            raise


# --- messages of one mailbox ---


async def own_messages(tx: Transactions, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Let messages belong to the account that their mailbox belongs to. Raises Unavailable."""

    def own(cursor: Cursor, found: mending.Counters) -> None:
        mending.own_txn(cursor, mailbox, found.account, uids)

    await _quietly(tx, mailbox, own)


async def settle_fates(tx: Transactions, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Take the fate off live messages, and let tombstones without one count as expunged. Raises Unavailable."""
    await _quietly(tx, mailbox, lambda cursor, _: mending.settle_fates_txn(cursor, mailbox, uids))


async def drop_dead_references(tx: Transactions, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Let tombstones no longer refer to objects that have no row. Raises Unavailable."""
    await _quietly(tx, mailbox, lambda cursor, _: mending.drop_dead_references_txn(cursor, mailbox, uids))


async def settle_moved(tx: Transactions, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Let messages that were moved or restored give up their objects, or count as expunged. Raises Unavailable."""

    def settle(cursor: Cursor, _: mending.Counters) -> None:
        for uid in uids:
            mending.settle_moved_txn(cursor, mailbox, uid)

    await _quietly(tx, mailbox, settle)


async def clear_nameless_bits(tx: Transactions, mailbox: MailboxId, uids: Sequence[int]) -> None:
    """Clear the flag bits that no keyword of the mailbox names. Raises Unavailable."""

    def clear(cursor: Cursor, found: mending.Counters) -> None:
        mending.clear_nameless_bits_txn(cursor, mailbox, found.highest_modseq, uids)

    await _visibly(tx, mailbox, clear)


async def take_uids(tx: Transactions, mailbox: MailboxId, messages: Sequence[tuple[int, int]]) -> None:
    """Give messages new UIDs, each known by its (row id, UID): another one has the same. Raises Unavailable."""

    def take(cursor: Cursor, found: mending.Counters) -> None:
        uidnext = max(found.uidnext, found.largest_uid + 1)
        for position, (row_id, uid) in enumerate(messages):
            mending.take_uid_txn(cursor, mailbox, row_id, uid, uidnext + position, found.highest_modseq)
        mending.set_counters_txn(
            cursor,
            mailbox,
            uidnext + len(messages),
            found.highest_modseq,
            found.recent_uid,
            found.journal_modseq,
            found.epoch,
        )

    await _visibly(tx, mailbox, take)


async def set_octets(tx: Transactions, mailbox: MailboxId, messages: Sequence[tuple[int, ObjectId, int]]) -> None:
    """Let messages, each a (UID, object, octets), have the octets that their objects have. Raises Unavailable."""

    def set_each(cursor: Cursor, found: mending.Counters) -> None:
        for uid, object_, octets in messages:
            mending.set_octets_txn(cursor, mailbox, uid, object_, octets, found.highest_modseq)
        mending.recount_txn(cursor, found.account)

    await _visibly(tx, mailbox, set_each)


_Work = Callable[[Cursor, mending.Counters], None]


async def _quietly(tx: Transactions, mailbox: MailboxId, work: _Work) -> None:
    """Run `work` with the mailbox locked: nothing that a client sees changes."""
    await tx.commit("repair", _quietly_txn, mailbox, work, account=None, mailboxes=(mailbox,))


def _quietly_txn(cursor: Cursor, mailbox: MailboxId, work: _Work) -> Changed[None]:
    found = mending.lock_mailbox_txn(cursor, mailbox)
    if found is None:
        raise Nothing(None)
    work(cursor, found)
    return Changed(None)


async def _visibly(tx: Transactions, mailbox: MailboxId, work: _Work) -> None:
    """Run `work` with the mailbox locked and its MODSEQ raised."""
    await tx.commit("repair", _visibly_txn, mailbox, work, account=None, mailboxes=(mailbox,))


def _visibly_txn(cursor: Cursor, mailbox: MailboxId, work: _Work) -> Changed[None]:
    found = mending.raise_modseq_txn(cursor, mailbox)
    if found is None:
        raise Nothing(None)
    work(cursor, found)
    return Changed(None, {mailbox: found.highest_modseq})


# --- accounts, objects, and what belongs to nothing ---


async def recount(tx: Transactions, account: AccountId) -> None:
    """Set what an account uses to what its live messages sum up to. Raises Unavailable."""
    await tx.commit("repair", _recount_txn, account, account=account)


def _recount_txn(cursor: Cursor, account: AccountId) -> Changed[None]:
    try:
        mending.recount_txn(cursor, account)
    except DuplicateKey:
        raise Conflict("twin") from None
    return Changed(None)


async def acquit(tx: Transactions, objects: Sequence[ObjectId]) -> None:
    """Make LIVE those of `objects` that messages refer to. Raises Unavailable."""
    await collect.acquit(tx.database, objects)


async def settle_marks(tx: Transactions, objects: Sequence[ObjectId]) -> None:
    """Let exactly the objects that are not LIVE have a row in `condemned`. Raises Unavailable."""
    await tx.commit("repair", _settle_marks_txn, sorted(objects), account=None)


def _settle_marks_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> Changed[None]:
    try:
        for object_ in objects:
            mending.settle_mark_txn(cursor, object_)
    except DuplicateKey:
        raise Conflict("twin") from None
    return Changed(None)


async def quarantine(tx: Transactions, key: str, stored_octets: int) -> None:
    """Give an object that has no row one, QUARANTINED. Raises Unavailable, Corruption for what is no object key."""
    await collect.quarantine(tx.database, key, stored_octets, "verify")


async def set_object(tx: Transactions, object_: ObjectId, truth: BlobRef) -> None:
    """Let an object's row say what is true of it. Raises Unavailable."""
    await tx.commit("repair", _set_object_txn, object_, truth, account=None)


def _set_object_txn(cursor: Cursor, object_: ObjectId, truth: BlobRef) -> Changed[None]:
    mending.set_object_txn(cursor, object_, truth)
    return Changed(None)


async def set_rendering(tx: Transactions, object_: ObjectId, rendering: Rendering) -> None:
    """Let an object's rendering be this fresh one. Raises Unavailable.

    Mailboxes that have the object lose their snapshots, whose chunks may repeat what was wrong.
    """
    await tx.commit("repair", _set_rendering_txn, object_, rendering, account=None)


def _set_rendering_txn(cursor: Cursor, object_: ObjectId, rendering: Rendering) -> Changed[None]:
    try:
        mending.set_rendering_txn(cursor, object_, rendering)
    except DuplicateKey:
        raise Conflict("twin") from None
    cursor.execute(*messages.mailboxes_statement(object_))
    cursor.script([each for row in cursor.fetchall() for each in snapshots.drop_statements(MailboxId(row[0]))])
    return Changed(None)


async def remove(tx: Transactions, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remove rows that the check `kind` found to belong to nothing, where they still do. Raises Unavailable."""
    await tx.commit("repair", _remove_txn, kind, rows, account=None)


def _remove_txn(cursor: Cursor, kind: str, rows: Sequence[Mapping[str, Any]]) -> Changed[None]:
    mending.remove_txn(cursor, kind, rows)
    return Changed(None)
