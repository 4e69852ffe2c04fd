"""Mailboxes of others, as administrators handle them: by id, within the domains that are theirs."""

from __future__ import annotations

from dataclasses import dataclass

from lightmail.errors import Cannot, NoSuchAccount, NoSuchMailbox
from lightmail.model import AccountId, MailboxId
from lightmail.operations.actors import Actor
from lightmail.operations.mailboxes import SPECIAL_USES, create_txn, delete_txn
from lightmail.operations.names import canonical
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, browsing, mailboxes
from lightmail.store.browsing import Box, Counted, Owner
from lightmail.store.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Shown:
    """A mailbox in numbers, and whose it is."""

    counted: Counted
    owner: Owner


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of an account's mailboxes, how many there are in all, and whose they are."""

    mailboxes: list[Counted]
    more: bool
    total: int
    owner: Owner


async def listed(
    tx: Transactions, actor: Actor, account: AccountId, after: str | None, limit: int, offset: int = 0
) -> Listed:
    """The mailboxes of an account by the octets of their names, after a name or an offset.

    Raises NoSuchAccount, Unavailable.
    """
    return await tx.database.read("admin mailboxes", _listed_txn, actor, account, after, limit, offset)


async def shown(tx: Transactions, actor: Actor, mailbox: MailboxId) -> Shown:
    """One mailbox. Raises NoSuchMailbox, Unavailable."""
    return await tx.database.read("admin mailbox", _shown_txn, actor, mailbox)


async def add(
    tx: Transactions, actor: Actor, account: AccountId, name: str, special_use: str | None = None
) -> MailboxId:
    r"""Make a mailbox, and those above it that do not exist; `special_use` is an attribute such as ``\Sent``.

    Raises NoSuchAccount, MailboxExists, Invalid, Cannot (no such special use), LimitReached, Unavailable.
    """
    if special_use is not None and special_use not in SPECIAL_USES:
        raise Cannot("No mailbox can be made for that special use.")
    return await tx.commit("add-mailbox", _add_txn, actor, account, canonical(name), special_use, account=account)


async def delete(tx: Transactions, actor: Actor, mailbox: MailboxId) -> None:
    """Remove a mailbox and its messages, which can be restored; mailboxes below it stay.

    Raises NoSuchMailbox, Cannot for INBOX, Unavailable.
    """
    box = await tx.database.read("admin mailbox", box_txn, actor, mailbox)
    await tx.commit("delete-mailbox", _delete_txn, actor, mailbox, account=box.owner.account, mailboxes=(mailbox,))


def owner_txn(cursor: Cursor, actor: Actor, account: AccountId) -> Owner:
    """The account of that id. Raises NoSuchAccount, also where it is no business of the actor's."""
    owner = browsing.owner_txn(cursor, account)
    if owner is None or not actor.may_see(account, owner.domain):
        raise NoSuchAccount
    return owner


def box_txn(cursor: Cursor, actor: Actor, mailbox: MailboxId, *, deleted: bool = False) -> Box:
    """The mailbox of that id, with `deleted` one that was deleted, too.

    Raises NoSuchMailbox, also where it is no business of the actor's.
    """
    box = browsing.box_txn(cursor, mailbox)
    if box is None or not actor.administers(box.owner.domain) or (box.deleted_us and not deleted):
        raise NoSuchMailbox
    return box


def _listed_txn(cursor: Cursor, actor: Actor, account: AccountId, after: str | None, limit: int, offset: int) -> Listed:
    owner = owner_txn(cursor, actor, account)
    found = browsing.boxes_txn(cursor, account, after, limit + 1, offset)
    return Listed(found[:limit], len(found) > limit, browsing.boxes_count_txn(cursor, account), owner)


def _shown_txn(cursor: Cursor, actor: Actor, mailbox: MailboxId) -> Shown:
    box = box_txn(cursor, actor, mailbox)
    counted = browsing.counted_txn(cursor, mailbox)
    if counted is None:
        raise NoSuchMailbox
    return Shown(counted, box.owner)


def _add_txn(
    cursor: Cursor, actor: Actor, account: AccountId, name: str, special_use: str | None
) -> Changed[MailboxId]:
    owner = owner_txn(cursor, actor, account)
    create_txn(cursor, account, name, special_use)
    made = mailboxes.by_name_txn(cursor, account, name)
    if made is None:
        raise LookupError("the mailbox that was just inserted is not there")
    detail = {"mailbox": made.id, "name": name}
    cursor.execute(*actor.record("mailbox.add", owner.address, detail, owner.domain))
    return Changed(made.id)


def _delete_txn(cursor: Cursor, actor: Actor, mailbox: MailboxId) -> Changed[None]:
    owner = box_txn(cursor, actor, mailbox).owner
    # With the account's row its names: what the mailbox is called now is what it is called at COMMIT.
    locked = accounts.lock_txn(cursor, owner.account)
    found = mailboxes.by_id_txn(cursor, owner.account, mailbox) if locked else None
    if found is None:
        raise NoSuchMailbox
    changed = delete_txn(cursor, owner.account, found.name)
    detail = {"mailbox": mailbox, "name": found.name}
    cursor.execute(*actor.record("mailbox.delete", owner.address, detail, owner.domain))
    return changed
