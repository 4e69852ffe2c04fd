"""Which account a page is about: the one that an administrator asks for by its id, or the owner's own.

A page that both have stands twice in its table: below /web/accounts/{id} and below /web/my.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.errors import NoSuchAccount
from lightmail.model import AccountId
from lightmail.operations.actors import Actor
from lightmail.store import profiles
from lightmail.store.profiles import Profile
from lightmail.web.pages import fields
from lightmail.web.pages.views import Visit

OF_ADMINISTRATORS: Final = "/web/accounts/{id}"
OF_OWNERS: Final = "/web/my"


@dataclass(frozen=True, slots=True)
class Subject:
    """The account; `base` is where its pages are, `actor` who asks, `own` says that this is its owner."""

    profile: Profile
    base: str
    actor: Actor
    own: bool


async def subject(visit: Visit) -> Subject:
    """The account that a page is about. Raises NoSuchAccount where there is none, or it is not for who asks."""
    who = visit.who
    if "id" in visit.path:
        id, base, own = fields.identifier(visit.path, NoSuchAccount), "", False
    elif who is not None and who.account is not None:
        id, base, own = who.account.id, OF_OWNERS, True
    else:
        raise NoSuchAccount
    found = await visit.services.database.read("account", profiles.by_id_txn, AccountId(id))
    if found is None:
        raise NoSuchAccount
    actor = visit.actor_of(found.domain)
    actor.require_account(found.id, found.domain)
    return Subject(found, base or f"/web/accounts/{found.id}", actor, own)
