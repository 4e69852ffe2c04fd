"""Endpoints of tokens. A secret is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from typing import Any, Final

from lightmail.operations import tokens as operations
from lightmail.operations.tokens import seen_by
from lightmail.store import tokens as stored
from lightmail.store.tokens import Token
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Choice, Id, ListOf, Moment, Nullable, Object, Text, moment_text, optional_moment
from lightmail.web.api.scopes import Scope

_SCOPES: Final = ListOf(Choice(tuple(scope.value for scope in Scope)), len(Scope), minimum=1)
_NAME: Final = Text(60, minimum=1, about="Which program or person has it; one token of each name.")
_MAY: Final = {
    "id": Id(),
    "name": _NAME,
    "scopes": _SCOPES,
    "domain_id": Nullable(Id(), about="The one domain that it administers; null for the server."),
    "domain": Nullable(Text()),
    "created_at": Moment(),
    "expires_at": Nullable(Moment()),
    "last_used_at": Nullable(Moment(), about="To the minute."),
}
_TOKEN: Final = Object(_MAY, name="Token")
_NEW_TOKEN: Final = Object(
    {"name": _NAME, "scopes": _SCOPES},
    {"domain_id": Nullable(Id()), "expires_at": Nullable(Moment(about="Null, as without it: never."))},
    name="NewToken",
)
_MADE_TOKEN: Final = Object(
    {**_MAY, "token": Text(about="The secret, shown this once.", secret=True)}, name="MadeToken"
)


async def list_(call: Call) -> Page:
    """A page of the tokens that the caller may know of, by id."""
    page = call.page
    after = int(page.after[0]) if page.after else 0
    found = await call.services.database.read(
        "tokens", stored.page_txn, after, page.offset, page.limit + 1, call.actor.domain
    )
    shown = found[: page.limit]
    return Page([_shown(each) for each in shown], (shown[-1].id,) if len(found) > page.limit else None)


async def add(call: Call) -> Json:
    """Make a token."""
    with about("name"):
        made, secret = await operations.add_token(
            call.services.transactions,
            call.actor,
            call.body["name"],
            frozenset(call.body["scopes"]),
            domain=call.body.get("domain_id"),
            expires_us=call.body.get("expires_at") or 0,
            within=frozenset(scope.value for scope in call.scopes),
        )
    return Json({**_shown(made), "token": secret})


async def show(call: Call) -> Json:
    """One token."""
    found = await call.services.database.read("tokens", stored.by_id_txn, call.path["id"])
    return Json(_shown(seen_by(call.actor, found)))


async def revoke(call: Call) -> Nothing:
    """Have a token be good for nothing from now on."""
    await operations.revoke_token(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


def _shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "domain_id": token.domain,
        "domain": token.domain_name,
        "created_at": moment_text(token.created_us),
        "expires_at": optional_moment(token.expires_us),
        "last_used_at": optional_moment(token.last_used_us),
    }


_GONE: Final = {"no_such_token": 404}

ENDPOINTS: Final = (
    Endpoint("GET", "/admin/tokens", Scope.TOKENS_WRITE, "List tokens", list_, answer=_TOKEN, paged=True),
    Endpoint(
        "POST",
        "/admin/tokens",
        Scope.TOKENS_WRITE,
        "Make a token",
        add,
        body=_NEW_TOKEN,
        answer=_MADE_TOKEN,
        status=201,
        codes={"already_exists": 409, "no_such_domain": 404, "not_permitted": 403},
        about="Nobody gives a scope that he does not have, and a token of one domain makes tokens of that alone.",
    ),
    Endpoint("GET", "/admin/tokens/{id}", Scope.TOKENS_WRITE, "Show a token", show, answer=_TOKEN, codes=_GONE),
    Endpoint("DELETE", "/admin/tokens/{id}", Scope.TOKENS_WRITE, "Revoke a token", revoke, status=204, codes=_GONE),
)
