"""Accounts: the list with its search, adding one, and those that were deleted and can be restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lightmail.auth.passwords import hash_password
from lightmail.config import GarbageConfig
from lightmail.errors import AlreadyExists, LimitReached, MailError, NoSuchAccount, NoSuchDomain
from lightmail.model import AccountId
from lightmail.operations import accounts as operations
from lightmail.operations.undelete import restore_account
from lightmail.store import profiles, undelete
from lightmail.store.addresses import normalised
from lightmail.store.domains import Domain
from lightmail.store.ranges import names_from
from lightmail.web.pages import domains, fields, lists
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

PATH: Final = "/web/accounts"
_DELETED: Final = "/web/accounts/deleted"
_DAY_US: Final = 86_400_000_000
_ENTERED: Final = ("address", "full_name", "quota", "quota_messages")


async def list_(visit: Visit) -> Answer:
    """The accounts by address, of one domain or of all that there are for who asks."""

    async def find(domain: int | None, search: str, limit: int, offset: int) -> tuple[Sequence[Any], int | None]:
        return await visit.services.database.read(
            "accounts", profiles.listed_txn, domain, names_from(search), limit, offset, counting=True
        )

    domain, own = await chosen_domain(visit), domains.administered(visit)
    return Html("accounts.html", {"shown": await lists.addresses(visit, PATH, domain, own, find)})


async def ask_add(visit: Visit) -> Answer:
    """The form for a new account."""
    return await _add_form(visit)


async def add(visit: Visit) -> Answer:
    """Add an account."""
    try:
        added = await _add(visit)
    except NoSuchDomain as error:
        line = "That domain is not here. Add it under Domains first, or enter an address of one that is."
        return await _add_form(visit, fields.trouble(error, line, "address"))
    except AlreadyExists as error:
        line = "An account or an alias has that address already. Enter another one."
        return await _add_form(visit, fields.trouble(error, line, "address"))
    except LimitReached as error:
        line = "The domain has as many accounts as it may have. Delete one, or let the domain have more."
        return await _add_form(visit, fields.trouble(error, line, "address"))
    except MailError as error:
        return await _add_form(visit, fields.trouble(error))
    return Redirect(f"{PATH}/{added}", "account-added")


async def _add(visit: Visit) -> AccountId:
    form, services = visit.form, visit.services
    with fields.about("address"):
        address = normalised(form.get("address", ""))
    domain = await domains.named(visit, address.rpartition("@")[2])
    quota, messages = fields.size(form, "quota"), fields.number(form, "quota_messages")
    with fields.about("password"):
        password_hash = await services.hashing.run(hash_password, fields.new_password(form))
    with fields.about("full_name"):
        added = await operations.add_account(
            services.transactions,
            visit.actor_of(domain.id),
            address,
            password_hash,
            quota,
            messages,
            full_name=form.get("full_name", ""),
        )
    return added.id


async def list_deleted(visit: Visit) -> Answer:
    """The accounts that can be restored, the last added first."""
    domain = await chosen_domain(visit)
    found = await visit.services.database.read(
        "deleted-accounts",
        undelete.restorable_accounts_txn,
        None if domain is None else domain.id,
        undelete_days(visit) * _DAY_US,
        None,
        lists.LENGTH + 1,
        lists.offset(visit),
    )
    return _deleted_page(visit, found, "" if domain is None else domain.name)


async def restore(visit: Visit) -> Answer:
    """Bring a deleted account back."""
    wanted = AccountId(fields.identifier(visit.path, NoSuchAccount))
    found = await visit.services.database.read("deleted-account", undelete.deleted_account_txn, wanted)
    if found is None or not visit.actor_of(found.domain).administers(found.domain):
        raise NoSuchAccount
    actor, days = visit.actor_of(found.domain), undelete_days(visit)
    try:
        await restore_account(visit.services.transactions, actor, found.address, days, wanted)
    except MailError as error:
        return _deleted_page(visit, [found], "", fields.trouble(error, _RESTORE_TROUBLE.get(type(error), "")))
    return Redirect(f"{PATH}/{wanted}", "account-restored")


_RESTORE_TROUBLE: Final[dict[type[MailError], str]] = {
    AlreadyExists: "Its address is taken by now. Delete the account or alias that has it, then restore this one.",
    LimitReached: "The domain has as many accounts as it may have. Delete one, or let the domain have more.",
    NoSuchDomain: "Its domain is gone. Add the domain again, then restore the account.",
}


async def chosen_domain(visit: Visit) -> Domain | None:
    """The domain that a list is to be of, None for all; for who has not the server, his first where he names none.

    Raises NoSuchDomain.
    """
    own, wanted = domains.administered(visit), visit.query.get("domain", "").strip()
    if not wanted and own is None:
        return None
    if not wanted and not own:
        raise NoSuchDomain
    return await domains.named(visit, wanted or (own or (("", ""),))[0][1])


def undelete_days(visit: Visit) -> int:
    """For how many days deletions can be undone."""
    return (visit.services.config.garbage or GarbageConfig()).undelete_days


def _deleted_page(
    visit: Visit, found: list[undelete.DeletedAccount], domain: str, trouble: Trouble | None = None
) -> Html:
    shown = trouble or Trouble()
    values = {
        "list": lists.listing(visit, _DELETED, {"domain": domain}, found),
        "days": undelete_days(visit),
        "trouble": shown,
    }
    return Html("deleted_accounts.html", values, shown.status)


async def _add_form(visit: Visit, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    own = domains.administered(visit)
    example = visit.query.get("domain", "") or (own[0][1] if own else "") or "example.org"
    values = {
        **{name: visit.form.get(name, "") for name in _ENTERED},
        "example": f"ada@{example}",
        "trouble": shown,
    }
    return Html("account_add.html", values, shown.status)


VIEWS: Final = (
    View("GET", PATH, Access.ADMINISTRATOR, list_),
    View("GET", f"{PATH}/add", Access.ADMINISTRATOR, ask_add),
    View("POST", f"{PATH}/add", Access.ADMINISTRATOR, add),
    View("GET", _DELETED, Access.ADMINISTRATOR, list_deleted),
    View("POST", f"{_DELETED}/{{id}}/restore", Access.ADMINISTRATOR, restore),
)
