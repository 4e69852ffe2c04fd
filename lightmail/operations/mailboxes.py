"""CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.3 to 6.3.7).

Whoever changes names holds the account's row, so that what it finds among them stays true until COMMIT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lightmail.errors import Cannot, HasChildren, Invalid, LimitReached, MailboxExists, NoSuchAccount, NoSuchMailbox
from lightmail.model import INBOX, Account, AccountId, Mailbox, MailboxId
from lightmail.operations.copy import transfer_txn
from lightmail.operations.names import DEPTH, canonical, is_below, superiors
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes, messages, snapshots, subscriptions
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey

MAILBOXES_BOUND: Final = 10_000
SUBSCRIPTIONS_BOUND: Final = 10_000

SPECIAL_USES: Final = frozenset({"\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"})


async def create(tx: Transactions, account: Account, name: str, special_use: str | None = None) -> None:
    """Make a mailbox, and those above it that do not exist.

    Raises MailboxExists, Invalid, Cannot (no such special use), LimitReached, Unavailable.
    """
    if special_use is not None and special_use not in SPECIAL_USES:
        raise Cannot("No mailbox can be made for that special use.")
    await tx.commit("create", create_txn, account.id, canonical(name), special_use, account=account.id)


async def delete(tx: Transactions, account: Account, name: str) -> None:
    """Remove a mailbox and its messages; mailboxes below it stay.

    Raises Cannot for INBOX, NoSuchMailbox, HasChildren where there are only mailboxes below the name, Unavailable.
    """
    known = canonical(name)
    held = await _held(tx, account.id, known)
    await tx.commit("delete", delete_txn, account.id, known, account=account.id, mailboxes=held)


async def rename(tx: Transactions, account: Account, old: str, new: str, depth: int = DEPTH) -> None:
    """Give a mailbox and those below it another name. Messages of INBOX move to the new mailbox, INBOX stays empty.

    `depth`: how many levels the names may have, those of the mailboxes below too. Raises NoSuchMailbox, MailboxExists,
    Cannot (into itself), Invalid, LimitReached, Unavailable.
    """
    known, wanted = canonical(old), canonical(new, depth)
    held = await _held(tx, account.id, known, below=known != INBOX)
    await tx.commit("rename", _rename_txn, account.id, known, wanted, depth, account=account.id, mailboxes=held)


async def _held(tx: Transactions, account: AccountId, name: str, *, below: bool = False) -> set[MailboxId]:
    """The mailboxes that a change to a name will lock, those `below` too, as things stand: so that it waits for whoever
    writes to them before it takes a connection."""
    return {
        mailbox.id
        for mailbox in await tx.database.read("names", mailboxes.list_txn, account)
        if mailbox.name == name or (below and is_below(mailbox.name, name))
    }


async def subscribe(tx: Transactions, account: Account, name: str) -> None:
    """Put a name on the list of subscriptions, whether a mailbox of that name exists or not."""
    await tx.commit("subscribe", _subscribe_txn, account.id, canonical(name), account=account.id)


async def unsubscribe(tx: Transactions, account: Account, name: str) -> None:
    """Take a name off the list of subscriptions, whether it is there or not."""
    try:
        known = canonical(name)
    except (Invalid, LimitReached):
        return
    await tx.commit("unsubscribe", _unsubscribe_txn, account.id, known, account=account.id)


def create_txn(cursor: Cursor, account: AccountId, name: str, special_use: str | None) -> Changed[None]:
    """The transaction: the account's row locked, UIDVALIDITYs never given before."""
    existing = _locked_names(cursor, account)
    if name in existing:
        raise MailboxExists
    _insert(cursor, account, existing, name, special_use)
    return Changed(None)


def _locked_names(cursor: Cursor, account: AccountId) -> Mapping[str, Mailbox]:
    """The account's mailboxes by name, which nobody else changes until this transaction ends."""
    if not accounts.lock_txn(cursor, account):
        raise NoSuchAccount
    return {mailbox.name: mailbox for mailbox in mailboxes.list_txn(cursor, account)}


def _insert(
    cursor: Cursor, account: AccountId, existing: Mapping[str, Mailbox], name: str, special_use: str | None
) -> None:
    """Insert a mailbox and the missing ones above it."""
    above = [superior for superior in superiors(name) if superior not in existing]
    if len(existing) + len(above) >= MAILBOXES_BOUND:
        raise LimitReached("There are too many mailboxes.")
    uidvalidity = mailboxes.take_uidvalidity_txn(cursor, account, len(above) + 1)
    for position, superior in enumerate(above):
        mailboxes.insert_txn(cursor, account, superior, uidvalidity + position, None)
    mailboxes.insert_txn(cursor, account, name, uidvalidity + len(above), special_use)


def delete_txn(cursor: Cursor, account: AccountId, name: str) -> Changed[None]:
    """The transaction: the account's row locked, the mailbox and its messages marked deleted at one moment."""
    if name == INBOX:
        raise Cannot("INBOX cannot be deleted.")
    existing = _locked_names(cursor, account)
    mailbox = existing.get(name)
    if mailbox is None:
        raise HasChildren if any(is_below(other, name) for other in existing) else NoSuchMailbox
    *locked, sums = cursor.script(
        [*mailboxes.lock_statements(account, [mailbox.id]), messages.sum_statement(mailbox.id)]
    )
    held = mailboxes.locked(row for result in locked for row in result.rows)[mailbox.id]
    mailboxes.leave_name_txn(cursor, account, name, mailbox.uidvalidity)
    octets, count = (int(value) for value in sums.rows[0])
    cursor.script(
        [
            mailboxes.delete_statement(mailbox.id),
            messages.bury_all_statement(mailbox.id),
            *snapshots.drop_statements(mailbox.id),
            accounts.discharge_statement(account, octets, count),
        ]
    )
    return Changed(None, {mailbox.id: held.highest_modseq + 1})


def _rename_txn(cursor: Cursor, account: AccountId, old: str, new: str, depth: int) -> Changed[None]:
    existing = _locked_names(cursor, account)
    if new in existing:
        raise MailboxExists
    if old == INBOX:
        return _rename_inbox(cursor, account, existing, new)
    moving = [mailbox for name, mailbox in existing.items() if name == old or is_below(name, old)]
    if not moving:  # a name that only has mailboxes below it is renamed by renaming them
        raise NoSuchMailbox
    if is_below(new, old):
        raise Cannot("A mailbox cannot be moved into itself.")
    names = {mailbox.id: canonical(new + mailbox.name.removeprefix(old), depth) for mailbox in moving}
    if any(name in existing for name in names.values()):
        raise MailboxExists
    _insert_above(cursor, account, existing, new)
    modseqs: dict[MailboxId, int] = {}
    for mailbox in sorted(moving, key=lambda mailbox: mailbox.id):
        uidvalidity = mailbox.uidvalidity
        if mailboxes.former_uidvalidity_txn(cursor, account, names[mailbox.id]) >= uidvalidity:
            uidvalidity = mailboxes.take_uidvalidity_txn(cursor, account)
        mailboxes.leave_name_txn(cursor, account, mailbox.name, mailbox.uidvalidity)
        mailboxes.rename_txn(cursor, mailbox.id, names[mailbox.id], uidvalidity)
        modseqs[mailbox.id] = mailbox.highest_modseq + 1
    return Changed(None, modseqs)


def _insert_above(cursor: Cursor, account: AccountId, existing: Mapping[str, Mailbox], name: str) -> None:
    """Insert the missing mailboxes above `name`."""
    above = superiors(name)
    if above and above[-1] not in existing:
        _insert(cursor, account, existing, above[-1], None)


def _rename_inbox(cursor: Cursor, account: AccountId, existing: Mapping[str, Mailbox], new: str) -> Changed[None]:
    """Make the new mailbox and move all messages of INBOX there (RFC 3501 section 6.3.5)."""
    _insert(cursor, account, existing, new, None)
    made = mailboxes.by_name_txn(cursor, account, new)
    if made is None:
        raise LookupError("the mailbox that was just inserted is not there")
    try:
        moved = transfer_txn(cursor, account, existing[INBOX].id, None, made.id, True)
    except Nothing:
        # Caught here, it rolls nothing back: INBOX was empty, and the new mailbox stays.
        return Changed(None)
    return Changed(None, moved.modseqs)


def _subscribe_txn(cursor: Cursor, account: AccountId, name: str) -> Changed[None]:
    if not accounts.lock_txn(cursor, account):
        raise NoSuchAccount
    if subscriptions.count_txn(cursor, account) >= SUBSCRIPTIONS_BOUND:
        raise LimitReached("There are too many subscriptions.")
    try:
        subscriptions.insert_txn(cursor, account, name)
    except DuplicateKey:
        raise Nothing(None) from None
    return Changed(None)


def _unsubscribe_txn(cursor: Cursor, account: AccountId, name: str) -> Changed[None]:
    subscriptions.delete_txn(cursor, account, name)
    return Changed(None)
