"""Tokens of the HTTP API: who has one and what it may do, making one, which shows its secret once, and revoking it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lightmail.errors import AlreadyExists, Invalid, MailError, NoSuchDomain, NoSuchToken
from lightmail.operations import tokens as operations
from lightmail.store import tokens
from lightmail.store.tokens import Token
from lightmail.web.api.scopes import Scope
from lightmail.web.pages import accounts, confirming, domains, fields, lists
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/tokens"
_MOST: Final = 1_000_000
# What each scope lets a program do, as an administrator would say it.
SCOPES: Final[Mapping[Scope, str]] = MappingProxyType(
    {
        Scope.STATUS_READ: "see whether the server is well, and its figures",
        Scope.ACCOUNTS_READ: "see domains, accounts and aliases",
        Scope.ACCOUNTS_WRITE: "add, change and delete domains, accounts and aliases",
        Scope.MESSAGES_READ: "see mailboxes, and who wrote what about when",
        Scope.MESSAGES_CONTENT: "read messages",
        Scope.MESSAGES_WRITE: "delete, move, copy and restore messages",
        Scope.SESSIONS_READ: "see connected clients",
        Scope.SESSIONS_WRITE: "disconnect clients",
        Scope.JOBS_READ: "see jobs",
        Scope.JOBS_WRITE: "start and cancel jobs",
        Scope.CALENDAR_READ: "see calendars",
        Scope.CALENDAR_WRITE: "change calendars",
        Scope.AUDIT_READ: "see the audit log",
        Scope.LOGS_READ: "see the server's log",
        Scope.TOKENS_WRITE: "see, make and revoke tokens",
        Scope.WEBHOOKS_READ: "see the webhook and what waits for it",
        Scope.WEBHOOKS_WRITE: "test the webhook and try its events again",
    }
)


async def list_(visit: Visit) -> Answer:
    """The tokens, the first made first; of one domain for who has not the server."""
    return await _page(visit)


async def add(visit: Visit) -> Answer:
    """Make a token, and show its secret."""
    try:
        made, secret = await _add(visit)
    except AlreadyExists as error:
        line = "There is a token of that name already. Enter another name, or revoke that token first."
        return await _page(visit, fields.trouble(error, line, "name"))
    except NoSuchDomain as error:
        return await _page(visit, fields.trouble(error, "That domain is not here. Enter another one.", "domain"))
    except MailError as error:
        return await _page(visit, fields.trouble(error))
    return Html("token_made.html", {"token": made, "secret": secret})


async def _add(visit: Visit) -> tuple[Token, str]:
    form, own = visit.form, domains.administered(visit)
    name = form.get("name", "").strip()
    scopes = [scope.value for scope in Scope if f"scope.{scope.value}" in form]
    if not scopes:
        raise Invalid("Choose what the token may do, one thing at least.")
    expires = fields.day(form, "expires") or 0
    if expires and expires < time.time_ns() // 1000:
        raise WrongField("expires", "That day has begun already. Enter a later one, or nothing.")
    domain, actor = None, visit.actor
    if form.get("domain", "").strip() or own is not None:
        domain = (await domains.named(visit, form.get("domain", "") or (own[0][1] if own else ""))).id
        actor = visit.actor_of(domain)
    with fields.about("name"):
        return await operations.add_token(
            visit.services.transactions, actor, name, scopes, domain=domain, expires_us=expires
        )


async def ask_revoke(visit: Visit) -> Answer:
    """Ask whether a token is to go."""
    return confirming.ask(_revocation(await _asked_for(visit)))


async def revoke(visit: Visit) -> Answer:
    """Have a token be good for nothing."""
    token = await _asked_for(visit)
    question = _revocation(token)
    again = confirming.refused(visit, question)
    if again is not None:
        return again
    actor = visit.actor if token.domain is None else visit.actor_of(token.domain)
    await operations.revoke_token(visit.services.transactions, actor, token.id)
    return Redirect(_PATH, "token-revoked")


async def _asked_for(visit: Visit) -> Token:
    id = fields.identifier(visit.path, NoSuchToken)
    found = await visit.services.database.read("tokens", tokens.by_id_txn, id)
    actor = visit.actor if found is None or found.domain is None else visit.actor_of(found.domain)
    return operations.seen_by(actor, found)


def _revocation(token: Token) -> Question:
    of = token.domain_name or "the server"
    return Question(
        title=f"Revoke the token “{token.name}”",
        going=(f"The token “{token.name}” of {of}: whatever uses it is refused from its next request on.",),
        undo="It does not come back; you can make another one of that name, with another secret.",
        typed=token.name,
        button=f"Revoke {token.name}",
        action=f"{_PATH}/{token.id}/revoke",
        back=_PATH,
    )


async def _page(visit: Visit, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    own = domains.administered(visit)
    chosen = await accounts.chosen_domain(visit)
    found = await visit.services.database.read(
        "tokens",
        tokens.page_txn,
        0,
        min(lists.offset(visit), _MOST),
        lists.LENGTH + 1,
        None if chosen is None else chosen.id,
    )
    of = "" if chosen is None else chosen.name
    values = {
        "list": lists.listing(visit, _PATH, {"domain": of}, found),
        "now_us": time.time_ns() // 1000,
        "scopes": [(scope.value, words, f"scope.{scope.value}" in visit.form) for scope, words in SCOPES.items()],
        "choice": None if own is None else [name for _, name in own],
        "of": of,
        **{name: visit.form.get(name, "") for name in ("name", "expires")},
        "domain": visit.form.get("domain", of),
        "trouble": shown,
    }
    return Html("tokens.html", values, shown.status)


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, list_),
    View("POST", f"{_PATH}/add", Access.ADMINISTRATOR, add),
    View("GET", f"{_PATH}/{{id}}/revoke", Access.ADMINISTRATOR, ask_revoke),
    View("POST", f"{_PATH}/{{id}}/revoke", Access.ADMINISTRATOR, revoke),
)
