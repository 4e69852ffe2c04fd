"""APPEND: messages that a client brings (RFC 3501 section 6.3.11, MULTIAPPEND RFC 3502)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightmail.errors import MailError, NoSuchDestination, OverQuota, ServerBug
from lightmail.model import Account, AccountId, MailboxId, StoredBlob
from lightmail.objects.blobs import Making
from lightmail.operations import quotas
from lightmail.operations.arrivals import NewMessage, Refusal, Stored, Unit, arrive, arrive_txn, weight
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Cursor

__all__ = ["Appended", "NewMessage", "announce", "append", "bring"]


@dataclass(frozen=True, slots=True)
class Appended:
    """What APPENDUID tells (RFC 4315 section 3)."""

    uidvalidity: int
    uids: list[int]


async def announce(tx: Transactions, account: Account, name: str, octets: int) -> MailboxId:
    """The mailbox of that name, if a message of so many octets may come to it, as things stand: asked before it is
    sent, it saves sending it.

    Raises NoSuchDestination, OverQuota, Unavailable.
    """
    found, quota = await tx.database.read("append target", _target_txn, account.id, name)
    if found is None:
        raise NoSuchDestination
    if quota is not None and not quota.admits(octets, 1):
        await quotas.refused(tx, "append", [account.id])
        raise OverQuota
    return found


def _target_txn(cursor: Cursor, account: AccountId, name: str) -> tuple[MailboxId | None, Quota | None]:
    mailbox, quota = cursor.script([mailboxes.name_statement(account, name), accounts.quotas_statement([account])])
    found = MailboxId(mailbox.rows[0][0]) if mailbox.rows else None
    return found, accounts.quotas(quota.rows).get(account)


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
    return await _appended(tx, account, answer)


async def bring(
    tx: Transactions,
    account: Account,
    mailbox: MailboxId,
    making: Making,
    flags: tuple[bytes, ...],
    internaldate_us: int,
    name: str | None = None,
) -> Appended:
    """As `append`, for one message whose object is yet to be stored: while nobody else writes, with one hand-off.

    With a `name` the mailbox must have it still, else NoSuchDestination.
    """

    def unit(blob: StoredBlob) -> tuple[Unit]:
        return (Unit(account.id, mailbox, [NewMessage(blob, flags, internaldate_us)], name=name),)

    return await _appended(tx, account, (await arrive(tx, "append", unit, making, [account.id], [mailbox]))[0])


async def _appended(tx: Transactions, account: Account, answer: Stored | Refusal) -> Appended:
    if isinstance(answer, Stored):
        return Appended(answer.uidvalidity, answer.uids)
    if isinstance(answer, OverQuota):
        await quotas.refused(tx, "append", [account.id])
    raise answer if isinstance(answer, MailError) else ServerBug()
