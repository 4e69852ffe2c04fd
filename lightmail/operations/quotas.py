"""Accounts that run full: the owner is told, and so is whoever reads events.

What is said of an account is a row of `quota_warnings`, inserted by the transaction that says it: so it is said once,
by however many processes, until the account has room again. The quotas themselves are kept by the conditional UPDATE
of `account_usage` that ends every transaction which brings messages.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.metrics import QUOTA_REFUSALS, QUOTA_WARNINGS
from lightmail.model import AccountId, StoredBlob
from lightmail.operations.arrivals import NewMessage, Stored, Unit, arrive_txn
from lightmail.operations.events import Events
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, events, quotas
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.database import Database
from lightmail.store.faults import Conflict, DuplicateKey
from lightmail.store.quotas import EXCEEDED, WARNING, Filling

log = Logger()

# Mail that is too big for the room of an account which is far from full is reported once a day.
_EXCEEDED_AGE_US: Final = 86_400_000_000


def relief_percent(percent: int) -> int:
    """What an account must fall below until it is warned anew: ten points under the threshold, or half of it."""
    return max(percent - 10, percent // 2)


async def warn(tx: Transactions, filling: Filling, blob: StoredBlob, internaldate_us: int, percent: int) -> bool:
    """Put a warning into the account's INBOX, if none stands and it still uses `percent` of a quota; whether it did.

    The warning is charged like any message, and no quota refuses it. Raises Unavailable.
    """
    unit = Unit(filling.account.id, filling.inbox, [NewMessage(blob, (), internaldate_us)])
    warned = await tx.commit(
        "quota-warning",
        _warn_txn,
        tx.events,
        unit,
        percent,
        account=filling.account.id,
        mailboxes=(filling.inbox,),
        born_us=blob.born_us,
    )
    if warned:
        QUOTA_WARNINGS.inc()
        used = filling.quota.percent()
        log.info("{address} uses {used} % of its quota and was told", address=filling.account.address, used=used)
    return warned


def _warn_txn(cursor: Cursor, told: Events, unit: Unit, percent: int) -> Changed[bool]:
    quota = _say(cursor, WARNING, [unit.account]).get(unit.account)
    if quota is None or quota.percent() < percent:
        raise Nothing(False)
    cursor.script(_event(told, "quota.warning", unit.account, quota))
    arrived = arrive_txn(cursor, [[unit]], within_quota=False)
    if not isinstance(arrived.value[0][0], Stored):  # the INBOX went with its account
        raise Nothing(False)
    return Changed(True, arrived.modseqs)


def _say(cursor: Cursor, kind: str, to: Sequence[AccountId]) -> dict[AccountId, Quota]:
    """Note that this is said of the accounts, in one round trip; the quotas of those of which it was not said yet."""
    try:
        *said, quotas_now = cursor.script(
            [*(quotas.say_statement(kind, account) for account in to), accounts.quotas_statement(to)]
        )
    except DuplicateKey:
        # Another process says the same just now: what came of that is seen when this runs again.
        raise Conflict("twin") from None
    now = accounts.quotas(quotas_now.rows)
    return {
        account: now[account] for account, result in zip(to, said, strict=True) if result.rowcount and account in now
    }


async def relieve(database: Database, percent: int) -> int:
    """Have accounts that have clearly room again warned anew when they need it; how many. Raises Unavailable."""
    below = relief_percent(percent)
    relieved = await database.run("quota-relief", quotas.unsay_txn, WARNING, below, 0)
    await database.run("quota-relief", quotas.unsay_txn, EXCEEDED, below, _EXCEEDED_AGE_US)
    return relieved


async def refused(tx: Transactions, way: str, to: Collection[AccountId]) -> None:
    """Count what was refused to accounts for want of room, and make an event of the first time for each.

    `way` is a word for metrics. Never raises a MailError: the refusal stands whatever becomes of this.
    """
    QUOTA_REFUSALS.labels(way).inc(len(to))
    try:
        said = await tx.database.read("quota-said", quotas.said_txn, EXCEEDED, sorted(set(to)))
        unsaid = sorted(set(to) - said)
        if unsaid:
            only = unsaid[0] if len(unsaid) == 1 else None
            await tx.commit("quota-exceeded", _exceeded_txn, tx.events, unsaid, account=only)
    except MailError as error:
        log.warn("a refusal for want of room could not be reported: {error}", error=error)


def _exceeded_txn(cursor: Cursor, told: Events, to: Sequence[AccountId]) -> Changed[None]:
    found = _say(cursor, EXCEEDED, to)
    if not found:
        raise Nothing(None)
    cursor.script([each for account in found for each in _event(told, "quota.exceeded", account, found[account])])
    return Changed(None)


def _event(told: Events, kind: str, account: AccountId, quota: Quota) -> list[Statement]:
    """What notes an event, for those who read the table and for the webhook."""
    detail = _detail(quota)
    return [events.event_statement(kind, account, detail), *told.statements(kind, account, detail)]


def _detail(quota: Quota) -> dict[str, Any]:
    return {
        "octets": quota.used_octets,
        "quota_octets": quota.octets,
        "messages": quota.used_messages,
        "quota_messages": quota.messages,
        "percent": quota.percent(),
    }
