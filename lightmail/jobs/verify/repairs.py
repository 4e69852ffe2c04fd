"""From suspects to repairs: each function mends what the suspects of one range and one kind have wrong.

`operations.repair` looks again under locks; whether it helped is found out by looking for the same once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from lightmail.jobs.verify.steps import Hands
from lightmail.model import AccountId, BlobRef, MailboxId, ObjectId
from lightmail.objects.examining import own_header
from lightmail.operations import calendar_purge, repair
from lightmail.operations.transactions import Transactions
from lightmail.store import referred
from lightmail.store.referred import ObjectRow
from lightmail.store.suspects import Suspect

# Messages in one transaction of a repair: no writer to the mailbox waits long for it.
_AT_ONCE: Final = 500


def blob_ref(row: ObjectRow) -> BlobRef:
    """An object's row as the object layer knows it, on nobody's behalf."""
    return BlobRef(b"", row.key, row.octets, row.stored_octets, row.codec, row.sha256, row.frames)


async def restore_mailboxes(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Give messages whose mailboxes are gone mailboxes again."""
    for account, mailbox in sorted({(each.get("account"), each.get("mailbox")) for each in suspects}):
        await repair.restore_mailbox(hands.transactions, AccountId(account), MailboxId(mailbox))


async def settle_counters(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Settle the counters of mailboxes."""
    for mailbox in _mailboxes(suspects):
        await repair.settle_counters(hands.transactions, mailbox)


async def delete_mailboxes(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Mark mailboxes of deleted accounts deleted."""
    for mailbox in _mailboxes(suspects):
        await repair.delete_mailbox(hands.transactions, mailbox)


async def rename_twins(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Give mailboxes other names that have those of older ones."""
    for each in suspects:
        await repair.rename_twin(hands.transactions, each.get("account"), each.get("mailbox"))


async def raise_uidvalidities(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Let accounts give UIDVALIDITYs above those that they gave."""
    for account in _accounts(suspects):
        await repair.raise_uidvalidity(hands.transactions, account)


async def create_inboxes(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Give accounts their INBOX."""
    for account in _accounts(suspects):
        await repair.create_inbox(hands.transactions, account)


async def recount(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Count anew what accounts use."""
    for account in _accounts(suspects):
        await repair.recount(hands.transactions, account)


_OverUids = Callable[[Transactions, MailboxId, Sequence[int]], Awaitable[None]]


def _by_mailbox(operation: _OverUids) -> Callable[[Hands, Sequence[Suspect]], Awaitable[None]]:
    """The repair that calls `operation` for each mailbox with the UIDs of its suspects."""

    async def mend(hands: Hands, suspects: Sequence[Suspect]) -> None:
        for mailbox in _mailboxes(suspects):
            uids = sorted({each.get("uid") for each in suspects if each.get("mailbox") == mailbox})
            for start in range(0, len(uids), _AT_ONCE):
                await operation(hands.transactions, mailbox, uids[start : start + _AT_ONCE])

    return mend


own_messages = _by_mailbox(repair.own_messages)
drop_dead_references = _by_mailbox(repair.drop_dead_references)
settle_fates = _by_mailbox(repair.settle_fates)
settle_moved = _by_mailbox(repair.settle_moved)
clear_nameless_bits = _by_mailbox(repair.clear_nameless_bits)


async def take_uids(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Give messages new UIDs whose UIDs others have."""
    for mailbox in _mailboxes(suspects):
        twins = sorted((each.get("id"), each.get("uid")) for each in suspects if each.get("mailbox") == mailbox)
        await repair.take_uids(hands.transactions, mailbox, twins)


async def acquit(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Make objects LIVE again that messages refer to."""
    await repair.acquit(hands.transactions, sorted({each.get("object") for each in suspects}))


async def settle_marks(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Let exactly the objects that are not LIVE be marked."""
    await repair.settle_marks(hands.transactions, sorted({each.get("object") for each in suspects}))


async def set_octets(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Let messages have the octets of their objects, of those whose own header confirms what their row says."""
    ids = sorted({each.get("object") for each in suspects})
    rows = await hands.database.read("verify", referred.objects_txn, ids)
    confirmed = await hands.pool.run(_confirmed, hands, list(rows.values()))
    for mailbox in _mailboxes(suspects):
        messages = [
            (each.get("uid"), ObjectId(each.get("object")), confirmed[each.get("object")])
            for each in suspects
            if each.get("mailbox") == mailbox and each.get("object") in confirmed
        ]
        for start in range(0, len(messages), _AT_ONCE):
            await repair.set_octets(hands.transactions, mailbox, messages[start : start + _AT_ONCE])


def _confirmed(hands: Hands, rows: Sequence[ObjectRow]) -> dict[int, int]:
    """The octets of objects, by id, whose header says the same as their row. In a thread."""
    found: dict[int, int] = {}
    for row in rows:
        header = own_header(hands.store, blob_ref(row))
        if header is not None and header.octets == row.octets:
            found[row.id] = row.octets
    return found


async def keep_event_objects(hands: Hands, suspects: Sequence[Suspect]) -> None:
    """Let objects be kept that events refer to."""
    for key in sorted({bytes(each.get("key")).decode() for each in suspects}):
        await calendar_purge.keep(hands.database, key)


def remover(kind: str) -> Callable[[Hands, Sequence[Suspect]], Awaitable[None]]:
    """The repair that removes rows which the check `kind` found to belong to nothing."""

    async def mend(hands: Hands, suspects: Sequence[Suspect]) -> None:
        for start in range(0, len(suspects), _AT_ONCE):
            rows = [dict(each.row) for each in suspects[start : start + _AT_ONCE]]
            await repair.remove(hands.transactions, kind, rows)

    return mend


def _mailboxes(suspects: Sequence[Suspect]) -> list[MailboxId]:
    return [MailboxId(mailbox) for mailbox in sorted({each.get("mailbox") for each in suspects})]


def _accounts(suspects: Sequence[Suspect]) -> list[AccountId]:
    return [AccountId(account) for account in sorted({each.get("account") for each in suspects})]
