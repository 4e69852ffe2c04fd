"""Messages of others, as administrators handle them: by id, within the domains that are theirs.

Whoever looks at what a message says leaves a line in the audit log, committed before he sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lightmail.errors import Cannot, NoSuchAccount, NoSuchDestination, NoSuchMessage, OverQuota
from lightmail.model import AccountId, BlobRef, MailboxId, MessageId
from lightmail.operations import quotas, undelete
from lightmail.operations.actors import Actor
from lightmail.operations.admin_mailboxes import box_txn, owner_txn
from lightmail.operations.copy import transfer_txn
from lightmail.operations.expunge import expunge_txn
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.restoring import restore_txn
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, blobs, browsing
from lightmail.store.browsing import Box, Details, Found, Place, Wanted, Whole
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.undelete import Origin


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is said of one message without its content."""

    whole: Whole
    details: Details


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose content is looked at: where its octets are, and the packed extents of its parts."""

    whole: Whole
    ref: BlobRef
    parts: bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a message is now, under a new id."""

    id: MessageId
    mailbox: MailboxId
    uid: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of messages; `total` is how many there are, None where that is not counted."""

    found: Found
    total: int | None


async def of_mailbox(
    tx: Transactions,
    actor: Actor,
    mailbox: MailboxId,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int = 0,
) -> Listed:
    """A page of a mailbox's messages, the newest first; a deleted mailbox has deleted ones. Counted without `after`.

    Raises NoSuchMailbox, Unavailable.
    """
    return await tx.database.read("admin messages", _of_mailbox_txn, actor, mailbox, wanted, after, limit, offset)


async def of_account(
    tx: Transactions,
    actor: Actor,
    account: AccountId,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int = 0,
) -> Found:
    """A page of an account's messages in all mailboxes, the newest first. Raises NoSuchAccount, Unavailable."""
    return await tx.database.read("admin messages", _of_account_txn, actor, account, wanted, after, limit, offset)


async def deleted_of_account(
    tx: Transactions,
    actor: Actor,
    account: AccountId,
    mailbox: MailboxId | None,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int = 0,
) -> Found:
    """A page of what can be restored of an account, or of one of its mailboxes, deleted or not; deleted last first.

    With `wanted.withheld` that is what was withheld for a virus, which administrators alone see.

    Raises NoSuchAccount, Unavailable.
    """
    wanted = replace(wanted, deleted=not wanted.withheld)
    return await tx.database.read(
        "admin messages", _of_account_txn, actor, account, wanted, after, limit, offset, mailbox
    )


async def shown(tx: Transactions, actor: Actor, message: MessageId) -> Shown:
    """One message. Raises NoSuchMessage, Unavailable."""
    return await tx.database.read("admin message", _shown_txn, actor, message)


async def open_content(tx: Transactions, actor: Actor, message: MessageId, what: str) -> Opened:
    """Note that the actor looks at a message's content, and say where it is; `what` names the view, such as ``raw``.

    Raises NoSuchMessage, Unavailable.
    """
    return await tx.commit("view-message", _open_txn, actor, message, what, account=None)


async def delete(tx: Transactions, actor: Actor, message: MessageId) -> None:
    """Expunge a message; it can be restored. Raises NoSuchMessage, Cannot (deleted already), Unavailable."""
    box = (await _located(tx, actor, message)).box
    await tx.commit("delete-message", _delete_txn, actor, message, account=box.owner.account, mailboxes=(box.id,))


async def copy(tx: Transactions, actor: Actor, message: MessageId, destination: MailboxId) -> Placed:
    """Copy a message into another mailbox of its account, with flags, keywords and INTERNALDATE.

    Raises NoSuchMessage, NoSuchDestination, Cannot (it is deleted, or the mailbox is another account's), OverQuota,
    Corruption, Unavailable.
    """
    return await _transfer(tx, "copy", actor, message, destination, False)


async def move(tx: Transactions, actor: Actor, message: MessageId, destination: MailboxId) -> Placed:
    """Move a message into another mailbox of its account, in one step. Raises as `copy`."""
    return await _transfer(tx, "move", actor, message, destination, True)


async def restore(tx: Transactions, actor: Actor, message: MessageId, into: MailboxId | None = None) -> Placed:
    """Bring an expunged or withheld message back: to its mailbox, which is made where it is gone, or into another one.

    Raises NoSuchMessage (also where somebody else was sooner), NoSuchDestination, Cannot (it is not deleted, or the
    mailbox is another account's), OverQuota, Corruption, Unavailable.
    """
    whole = await _located(tx, actor, message)
    if not whole.message.deleted_us:
        raise Cannot("The message is not deleted.")
    box = whole.box
    if into is not None:
        await tx.database.read("admin mailbox", _destination_txn, actor, box.owner.account, into)
    else:
        into = box.id if not box.deleted_us else await _home(tx, whole)
    return await _committed(
        tx, "restore", _restore_txn, actor, message, into, account=box.owner.account, mailboxes=(box.id, into)
    )


async def _located(tx: Transactions, actor: Actor, message: MessageId) -> Whole:
    """Where the message is now, so that whoever changes it waits for others who write there before he takes a
    connection."""
    return await tx.database.read("admin message", _message_txn, actor, message)


async def _home(tx: Transactions, whole: Whole) -> MailboxId:
    """The mailbox that has the name of the deleted one now; made where there is none."""
    box, message = whole.box, whole.message
    account = await tx.database.read("account", accounts.by_id_txn, box.owner.account)
    if account is None:
        raise NoSuchMessage
    origin = Origin(box.id, box.name, box.deleted_us, box.special_use, 1, message.octets)
    mailbox, _ = await undelete.destination(tx, account, origin, box.name)
    return mailbox


async def _transfer(
    tx: Transactions, name: str, actor: Actor, message: MessageId, destination: MailboxId, moving: bool
) -> Placed:
    box = (await _located(tx, actor, message)).box
    await tx.database.read("admin mailbox", _destination_txn, actor, box.owner.account, destination)
    return await _committed(
        tx,
        name,
        _transfer_txn,
        actor,
        message,
        destination,
        moving,
        account=box.owner.account,
        mailboxes=(box.id, destination),
    )


async def _committed(
    tx: Transactions,
    name: str,
    fn: Callable[..., Changed[Placed]],
    *args: object,
    account: AccountId,
    mailboxes: tuple[MailboxId, ...],
) -> Placed:
    """What `fn` placed, once it is committed; a refusal for want of room is counted."""
    try:
        return await tx.commit(f"{name}-message", fn, *args, account=account, mailboxes=set(mailboxes))
    except OverQuota:
        await quotas.refused(tx, "undelete" if name == "restore" else "copy", [account])
        raise


def _message_txn(cursor: Cursor, actor: Actor, message: MessageId) -> Whole:
    whole = browsing.message_txn(cursor, message, actor.domain)
    if whole is None or (whole.message.withheld and not actor.administers(whole.box.owner.domain)):
        raise NoSuchMessage
    return whole


def _shown_txn(cursor: Cursor, actor: Actor, message: MessageId) -> Shown:
    whole = _message_txn(cursor, actor, message)
    return Shown(whole, browsing.details_txn(cursor, whole.message.object))


def _destination_txn(cursor: Cursor, actor: Actor, account: AccountId, mailbox: MailboxId) -> Box:
    """The mailbox that a message of an account is to go to."""
    box = browsing.box_txn(cursor, mailbox)
    if box is None or box.deleted_us or not actor.administers(box.owner.domain):
        raise NoSuchDestination
    if box.owner.account != account:
        raise Cannot("A message can only go to a mailbox of its own account.")
    return box


def _of_mailbox_txn(
    cursor: Cursor,
    actor: Actor,
    mailbox: MailboxId,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int,
) -> Listed:
    box = box_txn(cursor, actor, mailbox, deleted=wanted.gone)
    found = browsing.messages_txn(cursor, box.owner.account, mailbox, wanted, after, limit, offset)
    if after is not None or not wanted.everything:
        return Listed(found, None)
    if found.next is None and (found.messages or not offset):
        return Listed(found, offset + len(found.messages))
    return Listed(found, browsing.total_txn(cursor, mailbox))


def _of_account_txn(
    cursor: Cursor,
    actor: Actor,
    account: AccountId,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int,
    mailbox: MailboxId | None = None,
) -> Found:
    """`mailbox` goes with `wanted.deleted` alone: the other list of a mailbox does not ask whose it is."""
    owner = owner_txn(cursor, actor, account)
    if wanted.withheld and not actor.administers(owner.domain):
        raise NoSuchAccount
    return browsing.messages_txn(cursor, account, mailbox, wanted, after, limit, offset)


def _record(actor: Actor, action: str, whole: Whole, **detail: object) -> Statement:
    owner = whole.box.owner
    about = {"message": whole.message.id, "mailbox": whole.box.name, **detail}
    return actor.record(f"message.{action}", owner.address, about, owner.domain)


def _open_txn(cursor: Cursor, actor: Actor, message: MessageId, what: str) -> Changed[Opened]:
    whole = _message_txn(cursor, actor, message)
    account = accounts.by_id_txn(cursor, whole.box.owner.account)
    if account is None:
        raise NoSuchMessage
    object_ = whole.message.object
    ref = blobs.refs_txn(cursor, account, [object_]).get(object_)
    parts = blobs.parts_txn(cursor, [object_]).get(object_, b"")
    if ref is None:
        raise NoSuchMessage
    cursor.execute(*_record(actor, "view", whole, what=what))
    return Changed(Opened(whole, ref, parts))


def _delete_txn(cursor: Cursor, actor: Actor, message: MessageId) -> Changed[None]:
    whole = _message_txn(cursor, actor, message)
    if whole.message.withheld:
        raise Cannot("The message was withheld: it is in no mailbox.")
    if whole.message.deleted_us:
        raise Cannot("The message is deleted already.")
    box = whole.box
    try:
        changed = expunge_txn(cursor, box.owner.account, box.id, [whole.message.uid], False)
    except Nothing:
        raise NoSuchMessage from None
    cursor.execute(*_record(actor, "delete", whole))
    return Changed(None, changed.modseqs)


def _transfer_txn(
    cursor: Cursor, actor: Actor, message: MessageId, destination: MailboxId, moving: bool
) -> Changed[Placed]:
    whole = _message_txn(cursor, actor, message)
    if whole.message.deleted_us:
        raise Cannot("The message is deleted; it can be restored.")
    account = whole.box.owner.account
    into = _destination_txn(cursor, actor, account, destination)
    try:
        changed = transfer_txn(cursor, account, whole.box.id, [whole.message.uid], destination, moving)
    except Nothing:
        raise NoSuchMessage from None
    placed = _placed(cursor, destination, changed.value.uids[0])
    cursor.execute(*_record(actor, "move" if moving else "copy", whole, into=into.name, new=placed.id))
    return Changed(placed, changed.modseqs)


def _restore_txn(cursor: Cursor, actor: Actor, message: MessageId, into: MailboxId) -> Changed[Placed]:
    whole = _message_txn(cursor, actor, message)
    account = whole.box.owner.account
    box = _destination_txn(cursor, actor, account, into)
    try:
        changed = restore_txn(cursor, account, [(whole.box.id, whole.message.uid)], into)
    except Nothing:
        raise NoSuchMessage from None
    placed = _placed(cursor, into, changed.value.uids[0])
    cursor.execute(*_record(actor, "restore", whole, into=box.name, new=placed.id))
    return Changed(placed, changed.modseqs)


def _placed(cursor: Cursor, mailbox: MailboxId, uid: int) -> Placed:
    return Placed(browsing.id_txn(cursor, mailbox, uid), mailbox, uid)
