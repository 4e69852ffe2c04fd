"""Accounts, as administrators set them up."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from lightmail.errors import AlreadyExists, Cannot, Invalid, LimitReached, NoSuchAccount
from lightmail.model import INBOX, Account, AccountId
from lightmail.operations.actors import Actor
from lightmail.operations.domains import lock_domain_txn
from lightmail.operations.events import Events
from lightmail.operations.labels import label
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, aliases, domains, mailboxes, sessions, web_sessions
from lightmail.store.accounts import Held, Settings
from lightmail.store.addresses import normalised
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey

# What a new account begins with (RFC 6154).
FIRST_MAILBOXES: Final[tuple[tuple[str, str | None], ...]] = (
    (INBOX, None),
    ("Sent", "\\Sent"),
    ("Drafts", "\\Drafts"),
    ("Trash", "\\Trash"),
    ("Junk", "\\Junk"),
    ("Archive", "\\Archive"),
)
FULL_NAME_OCTETS: Final = 320
_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change of an account's settings; None leaves one as it is. Quotas of 0 mean none."""

    password_hash: str | None = None
    full_name: str | None = None
    active: bool | None = None
    quota_octets: int | None = None
    quota_messages: int | None = None

    def given(self) -> dict[str, Any]:
        """The settings that change, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


async def add_account(
    tx: Transactions,
    actor: Actor,
    address: str,
    password_hash: str,
    quota_octets: int = 0,
    quota_messages: int = 0,
    *,
    full_name: str = "",
    active: bool = True,
) -> Account:
    """Add an account with its first mailboxes; its domain must exist. Quotas of 0 mean none.

    Raises AlreadyExists, NoSuchDomain, LimitReached (the domain is full), Invalid, Unavailable.
    """
    known = normalised(address)
    settings = _checked(Settings(password_hash, full_name, active, quota_octets, quota_messages))
    return await tx.commit("add-account", _add_txn, tx.events, actor, known, settings, account=None)


async def change_account(tx: Transactions, actor: Actor, account: AccountId, change: Change) -> None:
    """Change settings of an account, all or none of them.

    Nobody logs in to one that is not active, and its mail waits at the sender's server. Another password, and the end
    of being active, end its sessions. Raises NoSuchAccount, Invalid, Unavailable.
    """
    await tx.commit("change-account", _change_txn, tx.events, actor, account, change.given(), account=account)


async def delete_account(tx: Transactions, actor: Actor, account: AccountId) -> None:
    """Delete an account with its mailboxes; its address is free at once, its rows stay until they are purged.

    Its sessions end. Raises NoSuchAccount, Cannot (aliases lead to it), Unavailable.
    """
    await tx.commit("delete-account", _delete_txn, tx.events, actor, account, account=None)


def hold_account_txn(cursor: Cursor, actor: Actor, account: AccountId) -> Held:
    """The account, its row locked. NoSuchAccount where there is none that is the actor's."""
    held = accounts.hold_txn(cursor, account)
    if held is None:
        raise NoSuchAccount
    actor.require(held.domain)
    return held


def hold_own_account_txn(cursor: Cursor, actor: Actor, account: AccountId) -> Held:
    """As `hold_account_txn`, and for the account's owner, too: for what he may change of it himself."""
    held = accounts.hold_txn(cursor, account)
    if held is None:
        raise NoSuchAccount
    actor.require_account(account, held.domain)
    return held


def _event(actor: Actor, address: str, settings: Settings) -> dict[str, Any]:
    """What a webhook is told of an account: nothing that is its owner's own."""
    return {
        "address": address,
        "active": settings.active,
        "quota_octets": settings.quota_octets,
        "quota_messages": settings.quota_messages,
        "actor": actor.name,
    }


def _checked(settings: Settings) -> Settings:
    if not (0 <= settings.quota_octets <= _MOST and 0 <= settings.quota_messages <= _MOST):
        raise Invalid("A quota is a number from 0 on.")
    return replace(settings, full_name=label(settings.full_name, FULL_NAME_OCTETS, "full name"))


def _add_txn(cursor: Cursor, told: Events, actor: Actor, address: str, settings: Settings) -> Changed[Account]:
    # The domain's lock makes accounts and aliases of one domain come one after another.
    domain = lock_domain_txn(cursor, actor, address)
    if aliases.exists_txn(cursor, address):
        raise AlreadyExists("An alias has that address.")
    if domains.is_full_txn(cursor, domain):
        raise LimitReached("The domain has as many accounts as it may have.")
    uuid = os.urandom(16)
    try:
        account = accounts.insert_account_txn(cursor, uuid, address, domain, settings)
    except DuplicateKey:
        raise AlreadyExists from None
    uidvalidity = mailboxes.take_uidvalidity_txn(cursor, account, len(FIRST_MAILBOXES))
    for position, (name, special_use) in enumerate(FIRST_MAILBOXES):
        mailboxes.insert_txn(cursor, account, name, uidvalidity + position, special_use)
    cursor.script(
        [
            actor.record("account.add", address, {"account": account}, domain),
            *told.statements("account.add", account, _event(actor, address, settings)),
        ]
    )
    return Changed(Account(account, uuid, address, settings.active, settings.quota_octets, settings.quota_messages))


def _change_txn(cursor: Cursor, told: Events, actor: Actor, account: AccountId, given: dict[str, Any]) -> Changed[None]:
    held = hold_account_txn(cursor, actor, account)
    settings = _checked(replace(held.settings, **given))
    accounts.set_txn(cursor, account, settings)
    # Values of what is no secret and nothing personal; of the rest, that it changed.
    values = {name: value for name, value in given.items() if name not in ("password_hash", "full_name")}
    changed = sorted("password" if name == "password_hash" else name for name in given)
    detail = {"account": account, "changed": changed, **values}
    event = {**_event(actor, held.address, settings), "changed": changed}
    statements = [
        actor.record("account.change", held.address, detail, held.domain),
        *told.statements("account.change", account, event),
    ]
    if "password_hash" in given or (held.settings.active and not settings.active):
        statements += [sessions.end_account_statement(account), web_sessions.delete_of_statement(0, account)]
    cursor.script(statements)
    return Changed(None)


def _delete_txn(cursor: Cursor, told: Events, actor: Actor, account: AccountId) -> Changed[None]:
    held = hold_account_txn(cursor, actor, account)
    if aliases.leading_to_txn(cursor, held.address):
        raise Cannot("Aliases lead to the account; delete them first.")
    accounts.delete_account_txn(cursor, account)
    cursor.script(
        [
            actor.record("account.delete", held.address, {"account": account}, held.domain),
            *told.statements("account.delete", account, {"address": held.address, "actor": actor.name}),
            sessions.end_account_statement(account),
            web_sessions.delete_of_statement(0, account),
        ]
    )
    return Changed(None)
