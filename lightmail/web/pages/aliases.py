"""Aliases: addresses that lead to accounts and to other aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lightmail.errors import AlreadyExists, MailError, NoSuchAccount, NoSuchAlias, NoSuchDomain
from lightmail.operations import aliases as operations
from lightmail.store import aliases
from lightmail.store.addresses import normalised
from lightmail.store.aliases import Alias, Chosen
from lightmail.store.ranges import names_from
from lightmail.web.pages import accounts, confirming, domains, fields, lists
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/aliases"


async def list_(visit: Visit) -> Answer:
    """Each target of each alias, by address."""

    async def find(domain: int | None, search: str, limit: int, offset: int) -> tuple[Sequence[Any], int | None]:
        chosen = Chosen(names_from(search), domain)
        return await visit.services.database.read(
            "aliases", aliases.listed_txn, chosen, None, limit, offset, counting=True
        )

    domain, own = await accounts.chosen_domain(visit), domains.administered(visit)
    return Html("aliases.html", {"shown": await lists.addresses(visit, _PATH, domain, own, find)})


async def ask_add(visit: Visit) -> Answer:
    """The form for a new alias, or one more target."""
    return _add_form(visit)


async def add(visit: Visit) -> Answer:
    """Let an address lead to a target."""
    form = visit.form
    try:
        with fields.about("address"):
            address = normalised(form.get("address", ""))
        with fields.about("target"):
            target = normalised(form.get("target", ""))
        domain = await domains.named(visit, address.rpartition("@")[2])
        await operations.add_alias(visit.services.transactions, visit.actor_of(domain.id), address, target)
    except NoSuchDomain as error:
        line = "That domain is not here. Add it under Domains first, or enter an address of one that is."
        return _add_form(visit, fields.trouble(error, line, "address"))
    except NoSuchAccount as error:
        line = "The target is no account and no alias here. Enter the address of one that is."
        return _add_form(visit, fields.trouble(error, line, "target"))
    except AlreadyExists as error:
        line = "That address leads there already, or is an account's own. Enter another one."
        return _add_form(visit, fields.trouble(error, line, "address"))
    except MailError as error:
        return _add_form(visit, fields.trouble(error, field="target"))
    return Redirect(_PATH, "alias-added")


async def ask_delete(visit: Visit) -> Answer:
    """Ask whether a target is to go."""
    return confirming.ask(_deletion(await _asked_for(visit, visit.query.get("address", ""), visit.query.get("target"))))


async def delete(visit: Visit) -> Answer:
    """Let an address lead to a target no longer."""
    alias = await _asked_for(visit, visit.form.get("address", ""), visit.form.get("target"))
    again = confirming.refused(visit, _deletion(alias))
    if again is not None:
        return again
    domain = await domains.named(visit, alias.address.rpartition("@")[2])
    actor = visit.actor_of(domain.id)
    await operations.delete_alias(visit.services.transactions, actor, alias.address, alias.target)
    return Redirect(_PATH, "alias-deleted")


async def _asked_for(visit: Visit, address: str, target: str | None) -> Alias:
    """The target of the alias. Raises NoSuchAlias also where it is not for who asks, Invalid."""
    wanted = Alias(normalised(address), normalised(target or ""))
    try:
        domain = await domains.named(visit, wanted.address.rpartition("@")[2])
    except NoSuchDomain:
        raise NoSuchAlias from None
    chosen = Chosen(names_from(wanted.address), domain.id, wanted.target)
    found, _ = await visit.services.database.read("alias", aliases.listed_txn, chosen, None, 1)
    if wanted not in found:
        raise NoSuchAlias
    return wanted


def _add_form(visit: Visit, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    own = domains.administered(visit)
    values = {
        "address": visit.form.get("address", visit.query.get("address", "")),
        "target": visit.form.get("target", visit.query.get("target", "")),
        "example": visit.query.get("domain", "") or (own[0][1] if own else "") or "example.org",
        "trouble": shown,
    }
    return Html("alias_add.html", values, shown.status)


def _deletion(alias: Alias) -> Question:
    return Question(
        title=f"Delete the alias {alias.address}",
        going=(f"Mail to {alias.address} goes to {alias.target} no longer. Mail that has come stays where it is.",),
        undo="It can be added again at any time.",
        typed=alias.address,
        button=f"Delete {alias.address}",
        action=f"{_PATH}/delete",
        back=_PATH,
        hidden={"address": alias.address, "target": alias.target},
    )


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, list_),
    View("GET", f"{_PATH}/add", Access.ADMINISTRATOR, ask_add),
    View("POST", f"{_PATH}/add", Access.ADMINISTRATOR, add),
    View("GET", f"{_PATH}/delete", Access.ADMINISTRATOR, ask_delete),
    View("POST", f"{_PATH}/delete", Access.ADMINISTRATOR, delete),
)
