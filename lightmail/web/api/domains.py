"""Endpoints of domains. Whoever administers one sees that, and changes none."""

from __future__ import annotations

from typing import Any, Final

from lightmail.errors import NoSuchDomain
from lightmail.operations import domains as operations
from lightmail.store import domains
from lightmail.store.domains import Domain
from lightmail.store.ranges import names_from
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page, Query
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Id, Integer, Moment, Object, Text, moment_text
from lightmail.web.api.scopes import Scope

_NAME: Final = Text(255, minimum=1, about="Such as `example.org`.")
_MOST: Final = Integer(about="How many accounts it may have; 0 for any number.")
_DOMAIN: Final = Object(
    {
        "id": Id(),
        "name": _NAME,
        "accounts": Integer(about="How many accounts it has."),
        "max_accounts": _MOST,
        "created_at": Moment(),
    },
    name="Domain",
)
_NEW_DOMAIN: Final = Object({"name": _NAME}, {"max_accounts": _MOST}, name="NewDomain")
_CHANGES: Final = Object({"max_accounts": _MOST}, name="DomainChanges")


async def list_(call: Call) -> Page:
    """A page of the domains, by name."""
    page, database = call.page, call.services.database
    if call.actor.domain is not None:
        own = await database.read("domains", domains.by_id_txn, call.actor.domain)
        names = names_from(call.query["search"] or "", str(page.after[0]) if page.after else None)
        shown = [own] if own is not None and names.low <= own.name.encode() < names.high else []
        return Page([_document(each) for each in shown[page.offset :]], None, None if page.after else len(shown))
    found, total = await database.read(
        "domains",
        domains.listed_txn,
        names_from(call.query["search"] or "", str(page.after[0]) if page.after else None),
        page.limit + 1,
        page.offset,
        counting=page.after is None,
    )
    shown = found[: page.limit]
    return Page([_document(each) for each in shown], (shown[-1].name,) if len(found) > page.limit else None, total)


async def show(call: Call) -> Json:
    """One domain."""
    return await _shown(call, call.path["id"])


async def add(call: Call) -> Json:
    """Add a domain."""
    with about("name"):
        added = await operations.add_domain(
            call.services.transactions, call.actor, call.body["name"], call.body.get("max_accounts", 0)
        )
    return await _shown(call, added)


async def change(call: Call) -> Json:
    """Let a domain have more accounts, or fewer."""
    await operations.limit_domain(call.services.transactions, call.actor, call.path["id"], call.body["max_accounts"])
    return await _shown(call, call.path["id"])


async def delete(call: Call) -> Nothing:
    """Remove a domain that has no accounts and aliases."""
    await operations.delete_domain(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def _shown(call: Call, domain: int) -> Json:
    found = await call.services.database.read("domain", domains.by_id_txn, domain)
    if found is None or not call.actor.administers(domain):
        raise NoSuchDomain
    return Json(_document(found))


def _document(domain: Domain) -> dict[str, Any]:
    return {
        "id": domain.id,
        "name": domain.name,
        "accounts": domain.accounts,
        "max_accounts": domain.max_accounts,
        "created_at": moment_text(domain.created_us),
    }


_GONE: Final = {"no_such_domain": 404}

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/domains",
        Scope.ACCOUNTS_READ,
        "List domains",
        list_,
        query=(Query("search", Text(255, about="Only those whose names begin with it.")),),
        answer=_DOMAIN,
        paged=True,
        position=(str,),
        about="They come by name. There is a `total` on pages that are asked for without a cursor.",
    ),
    Endpoint(
        "POST",
        "/admin/domains",
        Scope.ACCOUNTS_WRITE,
        "Add a domain",
        add,
        body=_NEW_DOMAIN,
        answer=_DOMAIN,
        status=201,
        server_only=True,
        codes={"already_exists": 409},
    ),
    Endpoint("GET", "/admin/domains/{id}", Scope.ACCOUNTS_READ, "Show a domain", show, answer=_DOMAIN, codes=_GONE),
    Endpoint(
        "PUT",
        "/admin/domains/{id}",
        Scope.ACCOUNTS_WRITE,
        "Change a domain",
        change,
        body=_CHANGES,
        answer=_DOMAIN,
        server_only=True,
        codes=_GONE,
        about="Accounts that it has beyond `max_accounts` stay.",
    ),
    Endpoint(
        "DELETE",
        "/admin/domains/{id}",
        Scope.ACCOUNTS_WRITE,
        "Delete a domain",
        delete,
        status=204,
        server_only=True,
        codes={**_GONE, "cannot": 409},
        about="It must not have accounts or aliases any more: 409 `cannot` otherwise.",
    ),
)
