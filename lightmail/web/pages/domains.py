"""Domains: the list, adding one, how many accounts it may have, and what leads mail to it."""

from __future__ import annotations

from typing import Final

from lightmail.errors import AlreadyExists, Cannot, Invalid, MailError, NoSuchDomain
from lightmail.operations import domains as operations
from lightmail.store import domains
from lightmail.store.addresses import domain_in_dns, normalised_domain
from lightmail.store.domains import Domain
from lightmail.store.ranges import names_from
from lightmail.web.pages import confirming, fields, lists
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/domains"


async def list_(visit: Visit) -> Answer:
    """The domains by name; who administers some of them sees those."""
    search = visit.query.get("search", "")
    own = administered(visit)
    if own is None:
        found, total = await visit.services.database.read(
            "domains",
            domains.listed_txn,
            names_from(search),
            lists.LENGTH + 1,
            lists.offset(visit),
            counting=True,
        )
    else:
        ids = [id for id, name in own if name.startswith(search.strip().casefold())]
        first = lists.offset(visit)
        found, total = [await _find(visit, id) for id in ids[first : first + lists.LENGTH + 1]], len(ids)
    shown = lists.listing(visit, _PATH, {"search": search}, found, total)
    return Html("domains.html", {"list": shown, "search": search, "may_add": own is None})


async def ask_add(visit: Visit) -> Answer:
    """The form for a new domain."""
    return _add_form(visit)


async def add(visit: Visit) -> Answer:
    """Add a domain."""
    try:
        most = fields.number(visit.form, "max_accounts")
        with fields.about("name"):
            added = await operations.add_domain(
                visit.services.transactions, visit.actor, visit.form.get("name", ""), most
            )
    except AlreadyExists as error:
        return _add_form(visit, fields.trouble(error, "That domain is here already.", "name"))
    except MailError as error:
        return _add_form(visit, fields.trouble(error))
    return Redirect(f"{_PATH}/{added}", "domain-added")


async def show(visit: Visit) -> Answer:
    """One domain."""
    return _page(visit, await _asked_for(visit))


async def limit(visit: Visit) -> Answer:
    """Let a domain have more accounts, or fewer."""
    domain = await _asked_for(visit)
    try:
        most = fields.number(visit.form, "max_accounts")
        await operations.limit_domain(visit.services.transactions, visit.actor, domain.id, most)
    except MailError as error:
        return _page(visit, domain, fields.trouble(error, field="max_accounts"))
    return Redirect(f"{_PATH}/{domain.id}", "domain-limited")


async def ask_delete(visit: Visit) -> Answer:
    """Ask whether a domain is to go."""
    domain = await _asked_for(visit)
    if domain.accounts:
        return _page(visit, domain, Trouble(_IN_USE, status=409))
    return confirming.ask(_deletion(domain))


async def delete(visit: Visit) -> Answer:
    """Delete a domain."""
    domain = await _asked_for(visit)
    question = _deletion(domain)
    again = confirming.refused(visit, question)
    if again is not None:
        return again
    try:
        await operations.delete_domain(visit.services.transactions, visit.actor, domain.id)
    except Cannot as error:
        return confirming.failed(question, error, _IN_USE)
    return Redirect(_PATH, "domain-deleted")


_IN_USE: Final = "The domain still has accounts or aliases. Delete them first; then the domain can go."


def administered(visit: Visit) -> tuple[tuple[int, str], ...] | None:
    """The domains, ids with names, of who is signed in; None for who administers the server, and so all of them."""
    administrator = visit.who.administrator if visit.who is not None else None
    if administrator is None:
        return ()
    return None if administrator.server else administrator.domains


async def named(visit: Visit, name: str) -> Domain:
    """The domain of a name. Raises NoSuchDomain also for one that is not his to see."""
    try:
        known = normalised_domain(name)
    except Invalid:
        raise NoSuchDomain from None
    found = await visit.services.database.read("domain", domains.by_name_txn, known)
    if found is None or not visit.actor_of(found.id).administers(found.id):
        raise NoSuchDomain
    return found


async def _asked_for(visit: Visit) -> Domain:
    id = fields.identifier(visit.path, NoSuchDomain)
    if not visit.actor_of(id).administers(id):
        raise NoSuchDomain
    return await _find(visit, id)


async def _find(visit: Visit, id: int) -> Domain:
    found = await visit.services.database.read("domain", domains.by_id_txn, id)
    if found is None:
        raise NoSuchDomain
    return found


def _page(visit: Visit, domain: Domain, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    entered = visit.form.get("max_accounts", fields.number_entered(domain.max_accounts))
    values = {
        "domain": domain,
        "in_dns": domain_in_dns(domain.name),
        "hostname": visit.services.config.system.hostname,
        "max_accounts": entered,
        "may_change": administered(visit) is None,
        "trouble": shown,
    }
    return Html("domain.html", values, shown.status)


def _add_form(visit: Visit, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    values = {
        "name": visit.form.get("name", ""),
        "max_accounts": visit.form.get("max_accounts", ""),
        "trouble": shown,
    }
    return Html("domain_add.html", values, shown.status)


def _deletion(domain: Domain) -> Question:
    going = (f"The domain {domain.name}, which has no accounts, goes. Mail for it is refused from then on.",)
    undo = "Add the domain anew to have it back; its administrators have to be given it again."
    return confirming.deletion("", domain.name, f"{_PATH}/{domain.id}", going, undo)


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, list_),
    View("GET", f"{_PATH}/add", Access.SERVER, ask_add),
    View("POST", f"{_PATH}/add", Access.SERVER, add),
    View("GET", f"{_PATH}/{{id}}", Access.ADMINISTRATOR, show),
    View("POST", f"{_PATH}/{{id}}/limit", Access.SERVER, limit),
    View("GET", f"{_PATH}/{{id}}/delete", Access.SERVER, ask_delete),
    View("POST", f"{_PATH}/{{id}}/delete", Access.SERVER, delete),
)
