"""Delivery: one message towards several recipients, each answered on its own (RFC 2033 section 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from lightmail.errors import MailError, NoSuchMailbox, OverQuota, Unavailable
from lightmail.model import Account, MailboxId, StoredBlob, Virus
from lightmail.objects.blobs import Making
from lightmail.operations import quotas
from lightmail.operations.arrivals import Duplicate, NewMessage, Stored, Unit, arrive
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, ledger
from lightmail.store.cursor import Cursor, Statement

__all__ = ["Delivered", "Duplicate", "Recipient", "deliver"]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes: an account's mailbox; `given` is the recipient's address as it was received."""

    account: Account
    mailbox: MailboxId
    given: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The message is in the recipient's mailbox, with this UID; or withheld from it."""

    uid: int
    withheld: bool = False


async def deliver(
    tx: Transactions,
    blob: StoredBlob | Making,
    sender: str,
    digest: bytes | None,
    recipients: Sequence[Recipient],
    internaldate_us: int,
    virus: Virus | None = None,
) -> list[Delivered | Duplicate | MailError]:
    """Store a message for each recipient in one transaction; the outcomes in the same order.

    `digest` is the SHA-256 of the octets as received: a second delivery with the same sender and recipient stores
    nothing and is a Duplicate. None: never a duplicate. A blob that is yet to be stored is stored first. With a `virus`
    that is withheld the message never shows in a mailbox, and no quota refuses it. Quota or a vanished mailbox fail
    their recipient alone, the latter as Unavailable: the message comes again and is routed anew.
    Raises Unavailable for all of them, and what storing the blob raises.
    """
    digests = [None if digest is None else _digest(digest, sender, to.given) for to in recipients]
    arrivals = [tx.events.arrival("lmtp", sender, to.given, virus) for to in recipients]
    withheld = virus is not None and virus.is_withheld

    def units(blob: StoredBlob) -> list[Unit]:
        message = (NewMessage(blob, (), internaldate_us),)
        return [
            Unit(to.account.id, to.mailbox, message, each, arrival=arrival, withheld=withheld)
            for to, each, arrival in zip(recipients, digests, arrivals, strict=True)
        ]

    accounts = {to.account.id for to in recipients}
    mailboxes = {to.mailbox for to in recipients}
    answers = await arrive(tx, "deliver", units, blob, accounts, mailboxes)
    full = [to.account.id for to, answer in zip(recipients, answers, strict=True) if isinstance(answer, OverQuota)]
    if full:
        await quotas.refused(tx, "delivery", full)
    return [_outcome(answer, withheld) for answer in answers]


async def delivered_before(
    tx: Transactions, sender: str, digest: bytes | None, recipients: Sequence[Recipient]
) -> list[bool]:
    """Which of the recipients have this very delivery already, as `deliver` would find out. Raises Unavailable."""
    if digest is None:
        return [False] * len(recipients)
    return await tx.database.read("delivered", _delivered_txn, sender, digest, recipients)


async def without_room(
    tx: Transactions, octets: int, sender: str, digest: bytes | None, recipients: Sequence[Recipient]
) -> list[bool]:
    """Which of the recipients `deliver` would refuse for want of room, if the message has `octets` octets or more.

    For recipients that seem to be full: asked before the object is made, it saves making it. What was delivered
    before is a duplicate, however full the account is now. Raises Unavailable.
    """
    full = await tx.database.read("room", _without_room_txn, octets, sender, digest, recipients)
    refused = [to.account.id for to, is_full in zip(recipients, full, strict=True) if is_full]
    if refused:
        await quotas.refused(tx, "delivery", refused)
    return full


def _noted_statements(sender: str, digest: bytes, recipients: Sequence[Recipient]) -> list[Statement]:
    return [ledger.noted_statement(to.account.id, _digest(digest, sender, to.given)) for to in recipients]


def _delivered_txn(cursor: Cursor, sender: str, digest: bytes, recipients: Sequence[Recipient]) -> list[bool]:
    return [bool(result.rows) for result in cursor.script(_noted_statements(sender, digest, recipients))]


def _without_room_txn(
    cursor: Cursor, octets: int, sender: str, digest: bytes | None, recipients: Sequence[Recipient]
) -> list[bool]:
    notes = [] if digest is None else _noted_statements(sender, digest, recipients)
    *noted, found = cursor.script([*notes, accounts.quotas_statement(sorted({to.account.id for to in recipients}))])
    room = {account: accounts.Room(quota) for account, quota in accounts.quotas(found.rows).items()}
    known = [bool(result.rows) for result in noted] or [False] * len(recipients)
    return [
        not is_known and to.account.id in room and not room[to.account.id].take(octets, 1)
        for to, is_known in zip(recipients, known, strict=True)
    ]


def _digest(octets: bytes, sender: str, given: str) -> bytes:
    """What makes a delivery the same one again: its octets, its sender, and the recipient as given."""
    texts = [sender.encode("utf-8", "surrogateescape"), given.encode("utf-8", "surrogateescape")]
    return hashlib.sha256(b"".join([octets, *(len(text).to_bytes(4, "big") + text for text in texts)])).digest()


def _outcome(answer: Stored | Duplicate | MailError, withheld: bool) -> Delivered | Duplicate | MailError:
    if isinstance(answer, Stored):
        return Delivered(answer.uids[0], withheld)
    return Unavailable() if isinstance(answer, NoSuchMailbox) else answer
