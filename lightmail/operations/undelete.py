"""What an operator restores: expunged messages by filter, deleted mailboxes whole, deleted accounts.

Messages go back batch by batch, each batch all or nothing. Whether all of them fit into the account's quota is found
out before the first: where they do not, nothing is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from lightmail.errors import (
    AlreadyExists,
    Cannot,
    Invalid,
    LimitReached,
    MailboxExists,
    NoSuchAccount,
    NoSuchDestination,
    OverQuota,
)
from lightmail.model import INBOX, Account, AccountId, MailboxId
from lightmail.operations import mailboxes as names
from lightmail.operations import quotas
from lightmail.operations.actors import Actor
from lightmail.operations.domains import lock_domain_txn
from lightmail.operations.names import canonical
from lightmail.operations.outcome import Changed
from lightmail.operations.restoring import Restored, restore_txn
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, aliases, browsing, domains, mailboxes, undelete
from lightmail.store.addresses import normalised
from lightmail.store.cursor import Cursor, Statement
from lightmail.store.faults import DuplicateKey
from lightmail.store.undelete import DeletedAccount, Filters, Origin

# Messages per transaction.
BATCH: Final = 500
# Ids that one call may name.
IDS_BOUND: Final = 1000

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a filter would restore: from which mailboxes, and the name of the mailbox that each one's messages go to."""

    moves: tuple[tuple[Origin, str], ...]

    @property
    def messages(self) -> int:
        """How many messages these are."""
        return sum(origin.messages for origin, _ in self.moves)

    @property
    def octets(self) -> int:
        """What they sum up to."""
        return sum(origin.octets for origin, _ in self.moves)


@dataclass(slots=True)
class Outcome:
    """What came of it: messages by the name of the mailbox they are in now, the last ones in `into`."""

    restored: dict[str, int] = field(default_factory=dict)
    into: str = ""

    @property
    def messages(self) -> int:
        """How many messages were restored."""
        return sum(self.restored.values())


async def plan(tx: Transactions, account: Account, filters: Filters, into: str | None = None) -> Plan:
    """What `restore` would do. Raises Cannot (ids that cannot be restored), Invalid, LimitReached, Unavailable."""
    if len(filters.ids) > IDS_BOUND:
        raise LimitReached(f"At most {IDS_BOUND} ids can be named at once.")
    destination = None if into is None else canonical(into)
    if filters.ids:
        missing = await tx.database.read("undelete ids", undelete.missing_txn, account.id, filters)
        if missing:
            listed = ", ".join(map(str, missing[:10]))
            raise Cannot(f"Not there to be restored: {listed}{' …' if len(missing) > 10 else ''}")
    origins = await tx.database.read("undelete plan", undelete.origins_txn, account.id, filters)
    return Plan(tuple((origin, destination or origin.name) for origin in origins))


async def restore(
    tx: Transactions,
    actor: Actor,
    account: Account,
    filters: Filters,
    planned: Plan,
    progress: Progress = lambda _: None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Restore what the plan says; `progress` hears of each batch, and `outcome` says what has come of it by then.

    A mailbox that is not there is made, with the special use of the deleted one where that is free; where its name
    cannot be, the messages go to INBOX. Messages that somebody else restores meanwhile are left to him.

    Raises NoSuchAccount (also where it is no business of the actor's), OverQuota (before anything; or midway, when mail
    that came meanwhile took the room), Corruption, Unavailable.
    """
    await require_room(tx, account, planned)
    outcome = Outcome() if outcome is None else outcome
    for origin, name in planned.moves:
        mailbox, chosen = await destination(tx, account, origin, name)
        outcome.into = chosen
        after = 0
        while True:
            uids = await tx.database.read(
                "undelete page", undelete.page_txn, account.id, filters, origin.id, after, BATCH
            )
            if not uids:
                break
            after = uids[-1]
            done = await _restore_batch(tx, actor, account, origin, uids, mailbox, chosen)
            outcome.restored[chosen] = outcome.restored.get(chosen, 0) + len(done.uids)
            progress(len(uids))
    return outcome


async def require_room(tx: Transactions, account: Account, planned: Plan) -> None:
    """Raise OverQuota where what is planned does not fit into the account; NoSuchAccount, Unavailable."""
    quota = (await tx.database.read("quota", _quota_txn, account.id)).get(account.id)
    if quota is None:
        raise NoSuchAccount
    if not quota.admits(planned.octets, planned.messages):
        raise OverQuota(_too_much(planned, quota))


async def _restore_batch(
    tx: Transactions, actor: Actor, account: Account, origin: Origin, uids: Sequence[int], mailbox: MailboxId, into: str
) -> Restored:
    try:
        return await tx.commit(
            "undelete",
            _restore_batch_txn,
            actor,
            account.id,
            origin,
            uids,
            mailbox,
            into,
            account=account.id,
            mailboxes={origin.id, mailbox},
        )
    except OverQuota:
        await quotas.refused(tx, "undelete", [account.id])
        raise OverQuota("Mail that came meanwhile has filled the account: not all was restored.") from None


def _restore_batch_txn(
    cursor: Cursor,
    actor: Actor,
    account: AccountId,
    origin: Origin,
    uids: Sequence[int],
    mailbox: MailboxId,
    into: str,
) -> Changed[Restored]:
    owner = browsing.owner_txn(cursor, account)
    if owner is None or not actor.may_see(account, owner.domain):
        raise NoSuchAccount

    def record(restored: int) -> Statement:
        detail = {"mailbox": origin.name, "into": into, "messages": restored}
        return actor.record("message.restore", owner.address, detail, owner.domain)

    return restore_txn(cursor, account, [(origin.id, uid) for uid in uids], mailbox, record)


def _quota_txn(cursor: Cursor, account: AccountId) -> dict[AccountId, accounts.Quota]:
    cursor.execute(*accounts.quotas_statement([account]))
    return accounts.quotas(cursor.fetchall())


def _too_much(planned: Plan, quota: accounts.Quota) -> str:
    wanted = f"{planned.messages} messages of {planned.octets} octets"
    of_octets = f"{quota.used_octets} of {quota.octets or 'any number of'} octets"
    of_messages = f"{quota.used_messages} of {quota.messages or 'any number of'} messages"
    return f"{wanted} do not fit: {of_octets} and {of_messages} are used. Nothing was restored."


async def destination(tx: Transactions, account: Account, origin: Origin, name: str) -> tuple[MailboxId, str]:
    """The mailbox of that name, made where it is missing; INBOX where it cannot be made."""
    found = await tx.database.read("undelete target", mailboxes.by_name_txn, account.id, name)
    if found is None:
        try:
            with suppress(MailboxExists):
                await names.create(tx, account, name, await _free_use(tx, account, origin, name))
        except (Cannot, Invalid, LimitReached):
            name = INBOX
        found = await tx.database.read("undelete target", mailboxes.by_name_txn, account.id, name)
    if found is None:
        raise NoSuchDestination
    return found.id, name


async def _free_use(tx: Transactions, account: Account, origin: Origin, name: str) -> str | None:
    """The special use that a deleted mailbox takes back with its name, unless another one has it now."""
    if origin.special_use is None or not origin.deleted_us or name != origin.name:
        return None
    existing = await tx.database.read("undelete target", mailboxes.list_txn, account.id)
    return None if any(mailbox.special_use == origin.special_use for mailbox in existing) else origin.special_use


async def restore_account(
    tx: Transactions, actor: Actor, address: str, undelete_days: int, chosen: AccountId | None = None
) -> DeletedAccount:
    """Bring back an account that was deleted within the last `undelete_days`, with its mailboxes, mail and password.

    `chosen` says which one, where several of that address were deleted.

    Raises NoSuchAccount, NoSuchDomain, AlreadyExists (the address is taken), Cannot (which one is meant), LimitReached
    (the domain is full), Invalid, Unavailable.
    """
    return await tx.commit(
        "restore-account",
        _restore_account_txn,
        actor,
        normalised(address),
        undelete_days * 86_400_000_000,
        chosen,
        account=None,
    )


def _restore_account_txn(
    cursor: Cursor, actor: Actor, address: str, window_us: int, chosen: AccountId | None
) -> Changed[DeletedAccount]:
    # The domain's lock makes accounts and aliases of one domain come one after another.
    domain = lock_domain_txn(cursor, actor, address)
    # A domain that was deleted and added again may have another administrator: what was there before is not his.
    found = [
        each
        for each in undelete.deleted_accounts_txn(cursor, address, window_us)
        if chosen in (None, each.id) and actor.administers(each.domain)
    ]
    if not found:
        raise NoSuchAccount("No account of that address was deleted within the time that deletions can be undone.")
    if len(found) > 1:
        ids = ", ".join(f"{each.id} with {each.messages} messages" for each in found)
        raise Cannot(f"{len(found)} accounts of that address were deleted, choose one by its id: {ids}.")
    if aliases.exists_txn(cursor, address):
        raise AlreadyExists("An alias has that address.")
    if domains.is_full_txn(cursor, domain):
        raise LimitReached("The domain has as many accounts as it may have.")
    (account,) = found
    try:
        revived = undelete.restore_account_txn(cursor, account, domain)
    except DuplicateKey:
        raise AlreadyExists("Another account has that address.") from None
    if not revived:
        raise NoSuchAccount
    cursor.execute(*actor.record("account.restore", address, {"account": account.id}, domain))
    return Changed(account)
