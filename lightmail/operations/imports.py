"""An import's messages: stored like an APPEND of many, in one transaction with the note that they are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.errors import InUse, MailError, OverQuota, ServerBug
from lightmail.model import Account, MailboxId
from lightmail.operations import quotas
from lightmail.operations.arrivals import NewMessage, Refusal, Stored, Unit, arrive_txn, weight
from lightmail.operations.outcome import Changed, RunAgain
from lightmail.operations.transactions import Transactions
from lightmail.store import imports, progress
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.imports import Page

# So long after its last message an import is forgotten, and would bring everything again.
_FORGET_AFTER_US: Final = 400 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class _Batch:
    unit: Unit
    page: Page


async def bring(
    tx: Transactions, account: Account, mailbox: MailboxId, messages: Sequence[NewMessage], page: Page
) -> None:
    """Put the messages into the mailbox and write the page, all of it or nothing.

    Raises InUse (another import of the same source wrote the page), NoSuchDestination, OverQuota, LimitReached (no
    room for a keyword), Unavailable.
    """
    unit = Unit(account.id, mailbox, messages)
    answer = await tx.together(
        "import",
        _bring_txn,
        _Batch(unit, page),
        accounts=(account.id,),
        mailboxes=(mailbox,),
        births=[message.blob.born_us for message in messages],
        octets=sum(weight(message.blob) for message in messages),
    )
    if isinstance(answer, Stored):
        return
    if isinstance(answer, OverQuota):
        await quotas.refused(tx, "import", [account.id])
    raise answer if isinstance(answer, MailError) else ServerBug()


def _bring_txn(cursor: Cursor, batches: Sequence[_Batch]) -> Changed[Sequence[Stored | Refusal]]:
    # Before the mailboxes: nobody but an import locks a page, and each locks one.
    for batch in batches:
        if batch.unit.refusal is None and not imports.write_page_txn(cursor, batch.page):
            _refuse(batch.unit)
    changed = arrive_txn(cursor, [(batch.unit,) for batch in batches])
    return Changed([answer for (answer,) in changed.value], changed.modseqs)


def _refuse(unit: Unit) -> None:
    def accept() -> None:
        unit.refusal = InUse("Another import of the same source is under way.")

    raise RunAgain(accept)


async def forget(database: Database, source: str) -> None:
    """Forget what was brought from a source. Raises Unavailable."""
    await database.run("import-forget", imports.forget_txn, source)


async def forget_old(database: Database) -> None:
    """Forget imports that brought nothing for more than a year. Raises Unavailable."""
    await database.run("import-forget", progress.forget_txn, imports.FAMILY, _FORGET_AFTER_US)
