"""APPEND: messages that a client brings (RFC 3501 section 6.3.11, MULTIAPPEND RFC 3502)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightmail.errors import MailError, ServerBug
from lightmail.model import Account, MailboxId
from lightmail.operations.arrivals import NewMessage, Stored, Unit, arrive_txn, weight
from lightmail.operations.transactions import Transactions

__all__ = ["Appended", "NewMessage", "append"]


@dataclass(frozen=True, slots=True)
class Appended:
    """What APPENDUID tells (RFC 4315 section 3)."""

    uidvalidity: int
    uids: list[int]


async def append(tx: Transactions, account: Account, mailbox: MailboxId, messages: Sequence[NewMessage]) -> Appended:
    """Put the messages into the mailbox, all of them or none.

    Raises NoSuchDestination, OverQuota, LimitReached (no room for a keyword), Unavailable.
    """
    unit = Unit(account.id, mailbox, messages)
    (answer,) = await tx.together(
        "append",
        arrive_txn,
        (unit,),
        accounts=(account.id,),
        mailboxes=(mailbox,),
        births=[message.blob.born_us for message in messages],
        octets=sum(weight(message.blob) for message in messages),
    )
    if isinstance(answer, Stored):
        return Appended(answer.uidvalidity, answer.uids)
    raise answer if isinstance(answer, MailError) else ServerBug()
