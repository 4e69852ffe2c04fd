"""The `Deleted` tree: looking at what was expunged, mailbox by mailbox, and taking it out again.

A mailbox of the tree shows, under the name of a mailbox, what was expunged from all that have or had that name: from
the one that is there, and from those of the name that were deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lightmail.errors import NoSuchMailbox, OverQuota
from lightmail.model import (
    DELETED,
    FIRST_KEYWORD_BIT,
    HIERARCHY_DELIMITER,
    LAST_KEYWORD_BIT,
    Account,
    AccountId,
    MailboxId,
)
from lightmail.operations import quotas
from lightmail.operations.copy import Copied
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.restoring import restore_txn
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, deleted, mailboxes
from lightmail.store.cursor import Cursor, Row
from lightmail.store.keywords import FIXED_MASK, Keywords
from lightmail.store.messages import Snapshot

ROOT: Final = "Deleted"
_BELOW: Final = ROOT + HIERARCHY_DELIMITER


@dataclass(frozen=True, slots=True)
class Seen:
    """A mailbox of the tree as it was seen: what it shows, and the MODSEQs of the mailboxes behind it.

    `snapshot` is for a `MailboxIndex`. What is shown never changes, so each message's MODSEQ is its UID.
    """

    snapshot: Snapshot
    sources: Mapping[MailboxId, int]


def inside(name: str) -> bool:
    """Whether a name is the tree's own."""
    return name == ROOT or name.startswith(_BELOW)


def shown(name: str) -> str | None:
    """The name whose deletions a mailbox of the tree shows; None for other names, the tree's root among them."""
    return name.removeprefix(_BELOW) if name.startswith(_BELOW) and name != _BELOW else None


async def hidden(tx: Transactions, account: Account) -> bool:
    """Whether the account has a mailbox of its own where the tree would be. Raises Unavailable."""
    return await tx.database.read("deleted root", deleted.shadowed_txn, account.id, ROOT)


async def names(tx: Transactions, account: Account) -> list[str]:
    """The names in the tree that have something to restore. Raises Unavailable."""
    if await hidden(tx, account):
        return []
    return [_BELOW + name for name in await tx.database.read("deleted names", deleted.names_txn, account.id)]


async def see(tx: Transactions, account: Account, name: str, last: Seen | None = None) -> Seen:
    """What was expunged from the mailboxes of a name; what was not seen before gets its UID.

    `last`: what was seen before. Without it NoSuchMailbox where no mailbox has the name and nothing is left of those
    that had it. Raises Unavailable.
    """
    return await tx.commit("deleted", _see_txn, account.id, name, last, account=account.id)


async def again(tx: Transactions, account: Account, name: str, last: Seen) -> Seen:
    """What there is to see now; `last` itself, with newer MODSEQs, where nothing was deleted, restored or purged.

    NoSuchMailbox where what was seen has no meaning any more: the UIDVALIDITY is another. Raises Unavailable.
    """
    uidvalidity = last.snapshot.uidvalidity
    sources, count, changed = await tx.database.read(
        "deleted changes", deleted.compare_txn, account.id, name, uidvalidity, last.sources
    )
    if not changed and count == len(last.snapshot.rows) and sources.keys() == last.sources.keys():
        return replace(last, sources=sources)
    seen = await see(tx, account, name, last)
    if seen.snapshot.uidvalidity != uidvalidity:
        raise NoSuchMailbox
    return seen


def _see_txn(cursor: Cursor, account: AccountId, name: str, last: Seen | None) -> Changed[Seen]:
    if not accounts.lock_txn(cursor, account):
        raise NoSuchMailbox
    sources, alive = deleted.lock_sources_txn(cursor, account, name)
    view, epoch = deleted.view_txn(cursor, account, name)
    if not sources and (last is None or view is None):
        raise NoSuchMailbox
    begun = view is None or view.epoch < epoch
    if view is None or begun:
        view = deleted.begin_txn(cursor, account, name, mailboxes.take_uidvalidity_txn(cursor, account), epoch)
    known = {} if last is None or begun else last.sources
    after = {mailbox: known.get(mailbox, 0) for mailbox in sources}
    uidnext, changed = deleted.assign_txn(cursor, view, after)
    rows, keywords = deleted.content_txn(cursor, view, sorted(sources))
    if not rows and not alive and last is None:
        raise NoSuchMailbox
    names, bits = _merged(keywords)
    snapshot = Snapshot(
        highest_modseq=uidnext - 1,
        uidvalidity=view.uidvalidity,
        uidnext=uidnext,
        recent_uid=uidnext - 1,
        keyword_version=0,
        keywords=names,
        rows=[_row(row, bits[row[6]]) for row in rows],
        epoch=epoch,
    )
    seen = Seen(snapshot, sources)
    if not changed and not begun:
        raise Nothing(seen)
    return Changed(seen)


def _merged(keywords: Mapping[MailboxId, Keywords]) -> tuple[Keywords, dict[MailboxId, dict[int, int]]]:
    """One table of keywords for mailboxes that have their own; and for each which bit of its own is which bit there.

    Those that find no room are not shown; they come back with the message all the same.
    """
    merged: Keywords = []
    bits: dict[MailboxId, dict[int, int]] = {}
    at: dict[bytes, int] = {}
    for mailbox in sorted(keywords):
        own = bits[mailbox] = {}
        for bit, name in keywords[mailbox]:
            folded = name.lower()
            if name and folded not in at and FIRST_KEYWORD_BIT + len(at) <= LAST_KEYWORD_BIT:
                at[folded] = FIRST_KEYWORD_BIT + len(at)
                merged.append((at[folded], name))
            if folded in at:
                own[bit] = at[folded]
    return merged, bits


def _row(row: Row, bits: Mapping[int, int]) -> Row:
    r"""A row of the tree as an index takes it. \Deleted is no flag there: clients would hide all there is to see."""
    id_, uid, flags, octets, internaldate_us, object_, _ = row
    there = flags & FIXED_MASK & ~DELETED
    for old, new in bits.items():
        there |= (flags >> old & 1) << new
    return id_, uid, uid, there, octets, internaldate_us, object_


async def take_out(
    tx: Transactions, account: Account, name: str, seen: Seen, uids: Sequence[int], destination: MailboxId
) -> Copied:
    """Restore messages of a mailbox of the tree (its UIDs) into `destination`, all or nothing, in the order of UIDs.

    Those that were restored or purged meanwhile are no longer there. Raises NoSuchDestination, OverQuota, Corruption,
    Unavailable.
    """
    try:
        return await tx.commit(
            "restore",
            _take_out_txn,
            account.id,
            name,
            seen.snapshot.uidvalidity,
            sorted(uids),
            destination,
            account=account.id,
            mailboxes={*seen.sources, destination},
        )
    except OverQuota:
        await quotas.refused(tx, "undelete", [account.id])
        raise


def _take_out_txn(
    cursor: Cursor, account: AccountId, name: str, uidvalidity: int, uids: Sequence[int], destination: MailboxId
) -> Changed[Copied]:
    view, _ = deleted.view_txn(cursor, account, name)
    messages = {} if view is None or view.uidvalidity != uidvalidity else deleted.messages_txn(cursor, view, uids)
    if not messages:
        raise Nothing(Copied(0, [], []))
    try:
        changed = restore_txn(cursor, account, list(messages.values()), destination)
    except Nothing as nothing:
        raise Nothing(Copied(nothing.value.uidvalidity, [], [])) from None
    there = {source: uid for uid, source in messages.items()}
    restored = changed.value
    copied = Copied(restored.uidvalidity, [there[source] for source in restored.sources], restored.uids)
    return Changed(copied, changed.modseqs)
