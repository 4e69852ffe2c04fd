"""Endpoints of aliases: addresses that lead to accounts and other aliases."""

from __future__ import annotations

from typing import Any, Final

from lightmail.operations import aliases as operations
from lightmail.store import aliases
from lightmail.store.aliases import Alias, Chosen
from lightmail.store.ranges import names_from
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page, Query
from lightmail.web.api.schemas import Address, Id, Object, Text
from lightmail.web.api.scopes import Scope

_ALIAS: Final = Object({"address": Text(320), "target": Text(320)}, name="Alias")
_NEW_ALIAS: Final = Object(
    {
        "address": Address(about="Its domain must exist, and no account have it."),
        "target": Address(about="An account or another alias."),
    },
    name="NewAlias",
)


async def list_(call: Call) -> Page:
    """A page of the targets of aliases, by address and target."""
    page, query, domain = call.page, call.query, call.query["domain_id"]
    if call.actor.domain is not None:
        if domain not in (None, call.actor.domain):
            return Page([], None, 0)
        domain = call.actor.domain
    found, total = await call.services.database.read(
        "aliases",
        aliases.listed_txn,
        Chosen(names_from(query["search"] or ""), domain, query["target"]),
        Alias(str(page.after[0]), str(page.after[1])) if page.after else None,
        page.limit + 1,
        page.offset,
        counting=page.after is None,
    )
    shown = found[: page.limit]
    following = (shown[-1].address, shown[-1].target) if len(found) > page.limit else None
    return Page([_document(each.address, each.target) for each in shown], following, total)


async def add(call: Call) -> Json:
    """Let an address lead to one more target."""
    address, target = call.body["address"], call.body["target"]
    await operations.add_alias(call.services.transactions, call.actor, address, target)
    return Json(_document(address, target))


async def delete(call: Call) -> Nothing:
    """Remove an alias, or one of its targets."""
    await operations.delete_alias(call.services.transactions, call.actor, call.path["address"], call.query["target"])
    return Nothing()


def _document(address: str, target: str) -> dict[str, Any]:
    return {"address": address, "target": target}


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/aliases",
        Scope.ACCOUNTS_READ,
        "List aliases",
        list_,
        query=(
            Query("search", Text(320, about="Only those whose addresses begin with it.")),
            Query("target", Address(about="Only those that lead there at once.")),
            Query("domain_id", Id(about="Only those of one domain.")),
        ),
        answer=_ALIAS,
        paged=True,
        position=(str, str),
        about=(
            "One item for each target of each alias, by address and target. There is a `total` on pages that are asked"
            " for without a cursor."
        ),
    ),
    Endpoint(
        "POST",
        "/admin/aliases",
        Scope.ACCOUNTS_WRITE,
        "Add a target to an alias",
        add,
        body=_NEW_ALIAS,
        answer=_ALIAS,
        status=201,
        codes={"no_such_domain": 404, "no_such_account": 404, "already_exists": 409, "cannot": 409},
        about=(
            "Mail to `address` goes to `target`, too. 404 `no_such_account`: the target is neither an account nor an"
            " alias; 409 `cannot`: the alias would lead back to itself."
        ),
    ),
    Endpoint(
        "DELETE",
        "/admin/aliases/{address}",
        Scope.ACCOUNTS_WRITE,
        "Delete an alias",
        delete,
        variables={"address": Address()},
        query=(Query("target", Address(about="Only this target of it.")),),
        status=204,
        codes={"no_such_alias": 404},
    ),
)
