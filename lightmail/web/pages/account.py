"""One account, as its administrator sees it: what it uses, its settings, its password, and its end."""

from __future__ import annotations

from typing import Final

from lightmail.auth.passwords import hash_password
from lightmail.errors import Cannot, MailError
from lightmail.operations import accounts as operations
from lightmail.operations.accounts import Change
from lightmail.store import aliases
from lightmail.store.aliases import Alias, Chosen
from lightmail.store.ranges import names_from
from lightmail.web.pages import accounts, confirming, fields
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, Subject, subject
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

# So many aliases are shown with the account; its domain's are all under Aliases.
_ALIASES: Final = 20


async def show(visit: Visit) -> Answer:
    """The page."""
    return await _page(visit, await subject(visit))


async def change_settings(visit: Visit) -> Answer:
    """Change the full name and the quotas."""
    about, form = await subject(visit), visit.form
    try:
        change = Change(
            full_name=form.get("full_name", ""),
            quota_octets=fields.size(form, "quota"),
            quota_messages=fields.number(form, "quota_messages"),
        )
        with fields.about("full_name"):
            await _change(visit, about, change)
    except MailError as error:
        return await _page(visit, about, fields.trouble(error))
    return Redirect(about.base, "account-changed")


async def change_password(visit: Visit) -> Answer:
    """Give the account another password, which ends its sessions."""
    about = await subject(visit)
    try:
        with fields.about("password"):
            password_hash = await visit.services.hashing.run(hash_password, fields.new_password(visit.form))
        await _change(visit, about, Change(password_hash=password_hash))
    except MailError as error:
        return await _page(visit, about, fields.trouble(error))
    return Redirect(about.base, "account-password")


async def disable(visit: Visit) -> Answer:
    """Let nobody in any more, until the account is enabled again."""
    about = await subject(visit)
    await _change(visit, about, Change(active=False))
    return Redirect(about.base, "account-disabled")


async def enable(visit: Visit) -> Answer:
    """Let its owner in again."""
    about = await subject(visit)
    await _change(visit, about, Change(active=True))
    return Redirect(about.base, "account-enabled")


async def ask_delete(visit: Visit) -> Answer:
    """Ask whether the account is to go."""
    return confirming.ask(_deletion(visit, await subject(visit)))


async def delete(visit: Visit) -> Answer:
    """Delete the account with its mail."""
    about = await subject(visit)
    question = _deletion(visit, about)
    again = confirming.refused(visit, question)
    if again is not None:
        return again
    try:
        await operations.delete_account(visit.services.transactions, about.actor, about.profile.id)
    except Cannot as error:
        line = "Aliases lead to the account. Delete them first, under Aliases; then the account can go."
        return confirming.failed(question, error, line)
    return Redirect(accounts.PATH, "account-deleted")


async def _change(visit: Visit, about: Subject, change: Change) -> None:
    await operations.change_account(visit.services.transactions, about.actor, about.profile.id, change)


async def _page(visit: Visit, about: Subject, trouble: Trouble | None = None) -> Html:
    shown, profile, form = trouble or Trouble(), about.profile, visit.form
    values = {
        "about": about,
        "account": profile,
        "aliases": await _aliases(visit, about),
        "full_name": form.get("full_name", profile.full_name),
        "quota": form.get("quota", fields.size_entered(profile.quota_octets)),
        "quota_messages": form.get("quota_messages", fields.number_entered(profile.quota_messages)),
        "trouble": shown,
    }
    return Html("account.html", values, shown.status)


async def _aliases(visit: Visit, about: Subject) -> list[Alias]:
    """The first aliases that lead to the account, of those that are for who asks."""
    chosen = Chosen(names_from(), about.actor.domain, about.profile.address)
    found, _ = await visit.services.database.read("aliases", aliases.listed_txn, chosen, None, _ALIASES)
    return found


def _deletion(visit: Visit, about: Subject) -> Question:
    profile, days = about.profile, accounts.undelete_days(visit)
    mail = "1 message" if profile.used_messages == 1 else f"{profile.used_messages:,} messages"
    back = f"It can be brought back for {days} days, with its password and mail: under Accounts, Deleted accounts, or"
    going = (
        f"The account {profile.address} goes, with its mailboxes and {mail}.",
        "Its clients are disconnected, and mail for it is refused from then on.",
    )
    undo = (
        f"{back} by lightmail account restore {profile.address}."
        if days
        else "It cannot be brought back: this server keeps nothing that was deleted."
    )
    return confirming.deletion("", profile.address, about.base, going, undo)


VIEWS: Final = (
    View("GET", OF_ADMINISTRATORS, Access.ADMINISTRATOR, show),
    View("POST", f"{OF_ADMINISTRATORS}/settings", Access.ADMINISTRATOR, change_settings),
    View("POST", f"{OF_ADMINISTRATORS}/password", Access.ADMINISTRATOR, change_password),
    View("POST", f"{OF_ADMINISTRATORS}/disable", Access.ADMINISTRATOR, disable),
    View("POST", f"{OF_ADMINISTRATORS}/enable", Access.ADMINISTRATOR, enable),
    View("GET", f"{OF_ADMINISTRATORS}/delete", Access.ADMINISTRATOR, ask_delete),
    View("POST", f"{OF_ADMINISTRATORS}/delete", Access.ADMINISTRATOR, delete),
)
