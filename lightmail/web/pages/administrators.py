"""Administrators of the web, for those of the server: who they are, what they administer, and how they sign in.

Nobody takes his own role, his own right to sign in, or himself away here: so there is always one who has the server.
"""

from __future__ import annotations

from typing import Final

from lightmail.auth.passwords import hash_password
from lightmail.errors import AlreadyExists, Cannot, MailError, NoSuchAdministrator, NoSuchDomain
from lightmail.operations import administrators as operations
from lightmail.store import administrators
from lightmail.store.administrators import Administrator
from lightmail.web.pages import confirming, domains, fields, lists
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/administrators"
_MOST_DOMAINS: Final = 100


async def list_(visit: Visit) -> Answer:
    """All of them, by name."""
    every = await visit.services.database.read("administrators", administrators.list_txn)
    first = lists.offset(visit)
    shown = lists.listing(visit, _PATH, {}, every[first : first + lists.LENGTH + 1], len(every))
    return Html("administrators.html", {"list": shown})


async def ask_add(visit: Visit) -> Answer:
    """The form for a new one."""
    return _add_form(visit)


async def add(visit: Visit) -> Answer:
    """Add an administrator."""
    try:
        name = _named(visit.form.get("name", ""))
        ids = await _chosen_domains(visit)
        with fields.about("password"):
            password_hash = await visit.services.hashing.run(hash_password, fields.new_password(visit.form))
        added = await operations.add_administrator(visit.services.transactions, visit.actor, name, password_hash, ids)
    except AlreadyExists as error:
        line = "There is an administrator of that name already. Enter another name."
        return _add_form(visit, fields.trouble(error, line, "name"))
    except MailError as error:
        return _add_form(visit, fields.trouble(error))
    return Redirect(f"{_PATH}/{added.id}", "administrator-added")


async def show(visit: Visit) -> Answer:
    """One administrator."""
    return _page(visit, await _asked_for(visit))


async def set_role(visit: Visit) -> Answer:
    """Let an administrator have the server, or some domains."""
    who = await _asked_for(visit)
    try:
        _require_another(visit, who, "role")
        await operations.set_role(visit.services.transactions, visit.actor, who.id, await _chosen_domains(visit))
    except MailError as error:
        return _page(visit, who, fields.trouble(error))
    return Redirect(f"{_PATH}/{who.id}", "administrator-role")


async def set_password(visit: Visit) -> Answer:
    """Give an administrator another password, which signs him out everywhere."""
    who = await _asked_for(visit)
    try:
        _require_another(visit, who, "password")
        with fields.about("password"):
            password_hash = await visit.services.hashing.run(hash_password, fields.new_password(visit.form))
        await operations.set_password(visit.services.transactions, visit.actor, who.id, password_hash)
    except MailError as error:
        return _page(visit, who, fields.trouble(error))
    return Redirect(f"{_PATH}/{who.id}", "administrator-password")


async def drop_codes(visit: Visit) -> Answer:
    """Ask an administrator, who has lost his authenticator app, for no codes any more."""
    who = await _asked_for(visit)
    try:
        _require_another(visit, who, "codes")
        await operations.set_totp(visit.services.transactions, visit.actor, who.id, b"")
    except MailError as error:
        return _page(visit, who, fields.trouble(error))
    return Redirect(f"{_PATH}/{who.id}", "administrator-codes")


async def disable(visit: Visit) -> Answer:
    """Let an administrator sign in no more, until he is enabled again."""
    return await _set_active(visit, False)


async def enable(visit: Visit) -> Answer:
    """Let an administrator sign in again."""
    return await _set_active(visit, True)


async def ask_delete(visit: Visit) -> Answer:
    """Ask whether an administrator is to go."""
    who = await _asked_for(visit)
    if _is_oneself(visit, who):
        return _page(visit, who, Trouble(_ONESELF["end"], status=409))
    return confirming.ask(_deletion(who))


async def delete(visit: Visit) -> Answer:
    """Delete an administrator."""
    who = await _asked_for(visit)
    question = _deletion(who)
    again = confirming.refused(visit, question)
    if again is not None:
        return again
    try:
        _require_another(visit, who, "end")
        await operations.delete_administrator(visit.services.transactions, visit.actor, who.id)
    except Cannot as error:
        return confirming.failed(question, error)
    return Redirect(_PATH, "administrator-deleted")


_ONESELF: Final = {
    "role": "You cannot change your own role. Another administrator of the server can.",
    "password": "Change your own password under Your sign-in, which asks for the present one.",
    "codes": "Change your own authenticator app under Your sign-in, which asks for your password.",
    "end": "You cannot disable or delete yourself. Another administrator of the server can.",
}


async def _set_active(visit: Visit, active: bool) -> Answer:
    who = await _asked_for(visit)
    try:
        _require_another(visit, who, "end")
        await operations.set_active(visit.services.transactions, visit.actor, who.id, active)
    except MailError as error:
        return _page(visit, who, fields.trouble(error))
    return Redirect(f"{_PATH}/{who.id}", "administrator-enabled" if active else "administrator-disabled")


def _is_oneself(visit: Visit, who: Administrator) -> bool:
    return visit.actor.administrator == who.id


def _require_another(visit: Visit, who: Administrator, what: str) -> None:
    """Raise Cannot where somebody would change that of himself."""
    if _is_oneself(visit, who):
        raise Cannot(_ONESELF[what])


async def _asked_for(visit: Visit) -> Administrator:
    id = fields.identifier(visit.path, NoSuchAdministrator)
    found = await visit.services.database.read("administrator", administrators.by_id_txn, id)
    if found is None:
        raise NoSuchAdministrator
    return found.administrator


def _named(entered: str) -> str:
    with fields.about("name"):
        return operations.administrator_name(entered)


async def _chosen_domains(visit: Visit) -> list[int] | None:
    """The ids of the domains that were entered, None for the whole server. Raises WrongField."""
    if visit.form.get("role") == "server":
        return None
    names = visit.form.get("domains", "").replace(",", " ").split()
    if not names:
        raise WrongField("domains", "Enter the domains, one a line, or choose the whole server.")
    if len(names) > _MOST_DOMAINS:
        raise WrongField("domains", f"Enter at most {_MOST_DOMAINS} domains.")
    ids = []
    for name in names:
        try:
            ids.append((await domains.named(visit, name)).id)
        except NoSuchDomain:
            raise WrongField("domains", f"{name} is no domain here. Add it under Domains first.") from None
    return ids


def _add_form(visit: Visit, trouble: Trouble | None = None) -> Html:
    shown, form = trouble or Trouble(), visit.form
    values = {
        "name": form.get("name", ""),
        "of_server": form.get("role", "") == "server",
        "domains": form.get("domains", ""),
        "trouble": shown,
    }
    return Html("administrator_add.html", values, shown.status)


def _page(visit: Visit, who: Administrator, trouble: Trouble | None = None) -> Html:
    shown, form = trouble or Trouble(), visit.form
    values = {
        "administrator": who,
        "oneself": _is_oneself(visit, who),
        "of_server": form.get("role", "server" if who.server else "domains") == "server",
        "domains": form.get("domains", "\n".join(name for _, name in who.domains)),
        "trouble": shown,
    }
    return Html("administrator.html", values, shown.status)


def _deletion(who: Administrator) -> Question:
    going = (f"{who.name} is signed out at once, and cannot sign in any more.",)
    undo = "What he did stays in the audit log. A new administrator of that name can be added."
    return confirming.deletion("the administrator", who.name, f"{_PATH}/{who.id}", going, undo)


VIEWS: Final = (
    View("GET", _PATH, Access.SERVER, list_),
    View("GET", f"{_PATH}/add", Access.SERVER, ask_add),
    View("POST", f"{_PATH}/add", Access.SERVER, add),
    View("GET", f"{_PATH}/{{id}}", Access.SERVER, show),
    View("POST", f"{_PATH}/{{id}}/role", Access.SERVER, set_role),
    View("POST", f"{_PATH}/{{id}}/password", Access.SERVER, set_password),
    View("POST", f"{_PATH}/{{id}}/drop-codes", Access.SERVER, drop_codes),
    View("POST", f"{_PATH}/{{id}}/disable", Access.SERVER, disable),
    View("POST", f"{_PATH}/{{id}}/enable", Access.SERVER, enable),
    View("GET", f"{_PATH}/{{id}}/delete", Access.SERVER, ask_delete),
    View("POST", f"{_PATH}/{{id}}/delete", Access.SERVER, delete),
)
