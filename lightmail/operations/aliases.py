"""Aliases, as administrators set them up."""

from __future__ import annotations

from lightmail.errors import AlreadyExists, Cannot, NoSuchAccount, NoSuchAlias, NoSuchDomain
from lightmail.operations.actors import Actor
from lightmail.operations.domains import lock_domain_txn
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, aliases, domains
from lightmail.store.addresses import normalised
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey


async def add_alias(tx: Transactions, actor: Actor, address: str, target: str) -> None:
    """Let mail to `address` go to `target` too, an account or an alias that exists; the domain must exist.

    For an administrator of one domain, targets of other domains do not exist. Raises AlreadyExists (or an account has
    the address), NoSuchAccount (no such target), NoSuchDomain, Cannot (in a circle), Invalid, Unavailable.
    """
    await tx.commit("add-alias", _add_txn, actor, normalised(address), normalised(target), account=None)


async def delete_alias(tx: Transactions, actor: Actor, address: str, target: str | None = None) -> None:
    """Remove one target of an alias, or all. Raises NoSuchAlias, Invalid, Unavailable."""
    known = None if target is None else normalised(target)
    await tx.commit("delete-alias", _delete_txn, actor, normalised(address), known, account=None)


def _add_txn(cursor: Cursor, actor: Actor, address: str, target: str) -> Changed[None]:
    domain = lock_domain_txn(cursor, actor, address)
    if accounts.by_address_txn(cursor, address) is not None:
        raise AlreadyExists("An account has that address.")
    if address in accounts.reached_txn(cursor, target):
        raise Cannot("The alias would lead back to itself.")
    if not _may_lead_to(cursor, actor, target) or not accounts.route_txn(cursor, target):
        raise NoSuchAccount("The target is no account and no alias.")
    try:
        aliases.insert_txn(cursor, address, target, domain)
    except DuplicateKey:
        raise AlreadyExists from None
    cursor.execute(*actor.record("alias.add", address, {"target": target}, domain))
    return Changed(None)


def _may_lead_to(cursor: Cursor, actor: Actor, target: str) -> bool:
    domain = domains.by_name_txn(cursor, target.rpartition("@")[2])
    return domain is not None and actor.administers(domain.id)


def _delete_txn(cursor: Cursor, actor: Actor, address: str, target: str | None) -> Changed[None]:
    try:
        domain = lock_domain_txn(cursor, actor, address)
    except NoSuchDomain:
        raise NoSuchAlias from None
    if not aliases.delete_txn(cursor, address, target):
        raise NoSuchAlias
    cursor.execute(*actor.record("alias.delete", address, {} if target is None else {"target": target}, domain))
    return Changed(None)
