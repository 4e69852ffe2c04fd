"""Domains, as administrators of the server set them up."""

from __future__ import annotations

from typing import Final

from lightmail.errors import AlreadyExists, Cannot, Invalid, NoSuchDomain
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import domains
from lightmail.store.addresses import normalised_domain
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey

_MOST: Final = (1 << 63) - 1


async def add_domain(tx: Transactions, actor: Actor, name: str, max_accounts: int = 0) -> int:
    """Add a domain that may have `max_accounts` accounts, 0 for any number; its id.

    Raises AlreadyExists, Invalid, NotPermitted, Unavailable.
    """
    _check_limit(max_accounts)
    return await tx.commit("add-domain", _add_txn, actor, normalised_domain(name), max_accounts, account=None)


async def limit_domain(tx: Transactions, actor: Actor, domain: int, max_accounts: int) -> None:
    """Let the domain of that id have `max_accounts` accounts, 0 for any number; those it has beyond that stay.

    Raises NoSuchDomain, Invalid, NotPermitted, Unavailable.
    """
    _check_limit(max_accounts)
    await tx.commit("limit-domain", _limit_txn, actor, domain, max_accounts, account=None)


async def delete_domain(tx: Transactions, actor: Actor, domain: int) -> None:
    """Remove a domain without accounts and aliases. Raises NoSuchDomain, Cannot, NotPermitted, Unavailable."""
    await tx.commit("delete-domain", _delete_txn, actor, domain, account=None)


def lock_domain_txn(cursor: Cursor, actor: Actor, address: str) -> int:
    """The id of the domain of a normalised address, locked. NoSuchDomain where there is none that is the actor's."""
    domain = domains.lock_name_txn(cursor, address.rpartition("@")[2])
    if domain is None or not actor.administers(domain):
        raise NoSuchDomain
    return domain


def _check_limit(accounts: int) -> None:
    if not 0 <= accounts <= _MOST:
        raise Invalid("A limit is a number from 0 on.")


def _add_txn(cursor: Cursor, actor: Actor, name: str, max_accounts: int) -> Changed[int]:
    actor.require_server()
    try:
        domain = domains.insert_txn(cursor, name)
    except DuplicateKey:
        raise AlreadyExists from None
    domains.limit_txn(cursor, domain, max_accounts)
    cursor.execute(*actor.record("domain.add", name, {"max_accounts": max_accounts}, domain))
    return Changed(domain)


def _limit_txn(cursor: Cursor, actor: Actor, domain: int, max_accounts: int) -> Changed[None]:
    name = _lock(cursor, actor, domain)
    domains.limit_txn(cursor, domain, max_accounts)
    cursor.execute(*actor.record("domain.change", name, {"max_accounts": max_accounts}, domain))
    return Changed(None)


def _delete_txn(cursor: Cursor, actor: Actor, domain: int) -> Changed[None]:
    name = _lock(cursor, actor, domain)
    if domains.is_in_use_txn(cursor, domain):
        raise Cannot("The domain still has accounts or aliases.")
    domains.delete_txn(cursor, domain)
    cursor.execute(*actor.record("domain.delete", name, {}, domain))
    return Changed(None)


def _lock(cursor: Cursor, actor: Actor, domain: int) -> str:
    actor.require_server()
    name = domains.lock_txn(cursor, domain)
    if name is None:
        raise NoSuchDomain
    return name
