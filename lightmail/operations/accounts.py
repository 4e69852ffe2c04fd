"""Domains, accounts and aliases, as the operator sets them up."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from lightmail.errors import AlreadyExists, Cannot, Invalid, LimitReached, NoSuchAccount
from lightmail.model import INBOX, Account, AccountId
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes
from lightmail.store.addresses import normalised, normalised_domain
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
_MOST: Final = (1 << 63) - 1


async def add_domain(tx: Transactions, name: str, max_accounts: int = 0) -> None:
    """Add a domain that may have `max_accounts` accounts, 0 for any number.

    Raises AlreadyExists, Invalid, Unavailable.
    """
    _check_limit(max_accounts)
    await tx.commit("add-domain", _add_domain_txn, normalised_domain(name), max_accounts, account=None)


async def limit_domain(tx: Transactions, name: str, max_accounts: int) -> None:
    """Let a domain have `max_accounts` accounts, 0 for any number; those it has beyond that stay.

    Raises NoSuchAccount, Invalid, Unavailable.
    """
    _check_limit(max_accounts)
    await tx.commit("limit-domain", _limit_domain_txn, normalised_domain(name), max_accounts, account=None)


async def delete_domain(tx: Transactions, name: str) -> None:
    """Remove a domain without accounts and aliases. Raises NoSuchAccount, Cannot, Unavailable."""
    await tx.commit("delete-domain", _delete_domain_txn, normalised_domain(name), account=None)


async def add_account(
    tx: Transactions, address: str, password_hash: str, quota_octets: int = 0, quota_messages: int = 0
) -> Account:
    """Add an account with its first mailboxes; its domain must exist. Quotas of 0 mean none.

    Raises AlreadyExists, NoSuchAccount (no such domain), LimitReached (the domain is full), Invalid, Unavailable.
    """
    known = normalised(address)
    _check_quota(quota_octets, quota_messages)
    return await tx.commit(
        "add-account", _add_account_txn, known, password_hash, quota_octets, quota_messages, account=None
    )


async def set_password(tx: Transactions, address: str, password_hash: str) -> None:
    """Give an account another password. Raises NoSuchAccount, Unavailable."""
    await _change(
        tx, "set-password", address, lambda cursor, account: accounts.set_password_txn(cursor, account, password_hash)
    )


async def set_active(tx: Transactions, address: str, active: bool) -> None:
    """Enable or disable an account: nobody logs in to a disabled one, its mail waits at the sender's server.

    Raises NoSuchAccount, Unavailable.
    """
    await _change(tx, "set-active", address, lambda cursor, account: accounts.set_active_txn(cursor, account, active))


async def set_quota(tx: Transactions, address: str, octets: int | None = None, messages: int | None = None) -> None:
    """Set an account's quotas, 0 for none, None to leave one as it is. Raises NoSuchAccount, Invalid, Unavailable."""
    _check_quota(octets or 0, messages or 0)

    def change(cursor: Cursor, account: AccountId) -> bool:
        found = accounts.by_id_txn(cursor, account)
        if found is None:
            return False
        return accounts.set_quota_txn(
            cursor,
            account,
            found.quota_octets if octets is None else octets,
            found.quota_messages if messages is None else messages,
        )

    await _change(tx, "set-quota", address, change)


async def delete_account(tx: Transactions, address: str) -> None:
    """Delete an account with its mailboxes; its address is free at once, its rows stay until they are purged.

    Raises NoSuchAccount, Cannot (aliases lead to it), Unavailable.
    """
    known = normalised(address)

    def change(cursor: Cursor, account: AccountId) -> bool:
        if accounts.aliases_to_txn(cursor, known):
            raise Cannot("Aliases lead to the account; delete them first.")
        return accounts.delete_account_txn(cursor, account)

    await _change(tx, "delete-account", address, change)


async def add_alias(tx: Transactions, address: str, target: str) -> None:
    """Let mail to `address` go to `target` too, an account or an alias that exists; the domain must exist.

    Raises AlreadyExists (or an account has the address), NoSuchAccount (no such target or domain), Cannot (in a
    circle), Invalid, Unavailable.
    """
    await tx.commit("add-alias", _add_alias_txn, normalised(address), normalised(target), account=None)


async def delete_alias(tx: Transactions, address: str, target: str | None = None) -> None:
    """Remove one target of an alias, or all. Raises NoSuchAccount, Unavailable."""
    known = None if target is None else normalised(target)
    await tx.commit("delete-alias", _delete_alias_txn, normalised(address), known, account=None)


def _check_quota(octets: int, messages: int) -> None:
    if not (0 <= octets <= _MOST and 0 <= messages <= _MOST):
        raise Invalid("A quota is a number from 0 on.")


def _check_limit(accounts: int) -> None:
    if not 0 <= accounts <= _MOST:
        raise Invalid("A limit is a number from 0 on.")


async def _change(tx: Transactions, name: str, address: str, change: Callable[[Cursor, AccountId], bool]) -> None:
    """Change the account of that address; NoSuchAccount when there is none, or `change` finds it gone."""
    await tx.commit(name, _change_txn, normalised(address), change, account=None)


def _change_txn(cursor: Cursor, address: str, change: Callable[[Cursor, AccountId], bool]) -> Changed[None]:
    found = accounts.by_address_txn(cursor, address)
    if found is None or not accounts.lock_txn(cursor, found[0].id) or not change(cursor, found[0].id):
        raise NoSuchAccount
    return Changed(None)


def _add_domain_txn(cursor: Cursor, name: str, max_accounts: int) -> Changed[None]:
    try:
        accounts.insert_domain_txn(cursor, name)
    except DuplicateKey:
        raise AlreadyExists from None
    accounts.limit_domain_txn(cursor, _domain(cursor, name), max_accounts)
    return Changed(None)


def _limit_domain_txn(cursor: Cursor, name: str, max_accounts: int) -> Changed[None]:
    accounts.limit_domain_txn(cursor, _domain(cursor, name), max_accounts)
    return Changed(None)


def _domain(cursor: Cursor, name: str) -> int:
    domain = accounts.domain_id_txn(cursor, name)
    if domain is None:
        raise NoSuchAccount("There is no such domain.")
    return domain


def _delete_domain_txn(cursor: Cursor, name: str) -> Changed[None]:
    domain = _domain(cursor, name)
    if accounts.domain_in_use_txn(cursor, domain):
        raise Cannot("The domain still has accounts or aliases.")
    accounts.delete_domain_txn(cursor, domain)
    return Changed(None)


def _add_account_txn(
    cursor: Cursor, address: str, password_hash: str, quota_octets: int, quota_messages: int
) -> Changed[Account]:
    # The domain's lock makes accounts and aliases of one domain come one after another.
    domain = _domain(cursor, address.rpartition("@")[2])
    if accounts.has_alias_txn(cursor, address):
        raise AlreadyExists("An alias has that address.")
    if accounts.is_domain_full_txn(cursor, domain):
        raise LimitReached("The domain has as many accounts as it may have.")
    uuid = os.urandom(16)
    try:
        account = accounts.insert_account_txn(
            cursor, uuid, address, domain, password_hash, quota_octets, quota_messages
        )
    except DuplicateKey:
        raise AlreadyExists from None
    uidvalidity = mailboxes.take_uidvalidity_txn(cursor, account, len(FIRST_MAILBOXES))
    for position, (name, special_use) in enumerate(FIRST_MAILBOXES):
        mailboxes.insert_txn(cursor, account, name, uidvalidity + position, special_use)
    return Changed(Account(account, uuid, address, True, quota_octets, quota_messages))


def _add_alias_txn(cursor: Cursor, address: str, target: str) -> Changed[None]:
    domain = _domain(cursor, address.rpartition("@")[2])
    if accounts.by_address_txn(cursor, address) is not None:
        raise AlreadyExists("An account has that address.")
    if address in accounts.reached_txn(cursor, target):
        raise Cannot("The alias would lead back to itself.")
    if not accounts.route_txn(cursor, target):
        raise NoSuchAccount("The target is no account and no alias.")
    try:
        accounts.insert_alias_txn(cursor, address, target, domain)
    except DuplicateKey:
        raise AlreadyExists from None
    return Changed(None)


def _delete_alias_txn(cursor: Cursor, address: str, target: str | None) -> Changed[None]:
    if not accounts.delete_alias_txn(cursor, address, target):
        raise NoSuchAccount("There is no such alias.")
    return Changed(None)
