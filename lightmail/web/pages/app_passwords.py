"""App passwords of an account: for its administrator, and for its owner himself. A secret is seen once."""

from __future__ import annotations

from typing import Final

from lightmail.auth.app_passwords import PROTOCOLS
from lightmail.errors import AlreadyExists, MailError, NoSuchAppPassword
from lightmail.operations import app_passwords as operations
from lightmail.store import app_passwords
from lightmail.store.app_passwords import AppPassword
from lightmail.web.pages import confirming, fields
from lightmail.web.pages.confirming import Question
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, OF_OWNERS, Subject, subject
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit


async def show(visit: Visit) -> Answer:
    """The list, and the form for a new one."""
    return await _page(visit, await subject(visit))


async def add(visit: Visit) -> Answer:
    """Make an app password, and show it this once: it stands in this answer alone."""
    about, form = await subject(visit), visit.form
    protocols = [protocol for protocol in PROTOCOLS if protocol in form]
    try:
        if not protocols:
            raise fields.WrongField("protocols", "Choose what it is for: IMAP, POP3 or both.")
        with fields.about("name"):
            issued = await operations.add_app_password(
                visit.services.transactions, about.actor, about.profile.id, form.get("name", ""), protocols
            )
    except AlreadyExists as error:
        line = "There is an app password of that name already. Enter another name, or revoke that one first."
        return await _page(visit, about, fields.trouble(error, line, "name"))
    except MailError as error:
        return await _page(visit, about, fields.trouble(error))
    return Html("app_password_made.html", {"about": about, "made": issued.app_password, "secret": issued.secret})


async def ask_revoke(visit: Visit) -> Answer:
    """Ask whether an app password is to go."""
    about = await subject(visit)
    return confirming.ask(_revocation(about, await _asked_for(visit, about)))


async def revoke(visit: Visit) -> Answer:
    """Let an app password open nothing any more."""
    about = await subject(visit)
    found = await _asked_for(visit, about)
    again = confirming.refused(visit, _revocation(about, found))
    if again is not None:
        return again
    await operations.revoke_app_password(visit.services.transactions, about.actor, found.id)
    return Redirect(f"{about.base}/app-passwords", "app-password-revoked")


async def _asked_for(visit: Visit, about: Subject) -> AppPassword:
    wanted = fields.identifier(visit.path, NoSuchAppPassword, "app_password")
    found = await visit.services.database.read("app-password", app_passwords.by_id_txn, wanted)
    if found is None or found.account != about.profile.id:
        raise NoSuchAppPassword
    return found


async def _page(visit: Visit, about: Subject, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    values = {
        "about": about,
        "app_passwords": await visit.services.database.read("app-passwords", app_passwords.list_txn, about.profile.id),
        "most": operations.MOST,
        "name": visit.form.get("name", ""),
        "protocols": [(each, each.upper(), not visit.form or each in visit.form) for each in PROTOCOLS],
        "trouble": shown,
    }
    return Html("app_passwords.html", values, shown.status)


def _revocation(about: Subject, found: AppPassword) -> Question:
    return Question(
        title=f"Revoke the app password “{found.name}”",
        going=(
            f"The app password “{found.name}” of {about.profile.address}: the client that has it gets no mail.",
            "All clients of the account are disconnected; those with another password come back by themselves.",
        ),
        undo="It cannot be undone, but a new one can be made for the same client.",
        typed=found.name,
        button=f"Revoke {found.name}",
        action=f"{about.base}/app-passwords/{found.id}/revoke",
        back=f"{about.base}/app-passwords",
    )


VIEWS: Final = tuple(
    row
    for base, access in ((OF_ADMINISTRATORS, Access.ADMINISTRATOR), (OF_OWNERS, Access.SIGNED_IN))
    for row in (
        View("GET", f"{base}/app-passwords", access, show),
        View("POST", f"{base}/app-passwords", access, add),
        View("GET", f"{base}/app-passwords/{{app_password}}/revoke", access, ask_revoke),
        View("POST", f"{base}/app-passwords/{{app_password}}/revoke", access, revoke),
    )
)
