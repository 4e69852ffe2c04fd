"""The clients of an account that are connected now, and their end: for its administrator, and for its owner himself."""

from __future__ import annotations

from typing import Final

from lightmail.errors import NoSuchSession
from lightmail.operations import sessions as operations
from lightmail.store import sessions
from lightmail.web.pages import fields, lists
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, OF_OWNERS, subject
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit


async def show(visit: Visit) -> Answer:
    """The clients, those that came last first."""
    about = await subject(visit)
    found, total = await operations.listed(
        visit.services.database,
        about.actor,
        account=about.profile.id,
        limit=lists.LENGTH + 1,
        offset=lists.offset(visit),
    )
    shown = lists.listing(visit, f"{about.base}/clients", {}, found, total)
    return Html("clients.html", {"about": about, "list": shown})


async def end(visit: Visit) -> Answer:
    """Disconnect one client."""
    about = await subject(visit)
    wanted = fields.identifier(visit.path, NoSuchSession, "session")
    found = await visit.services.database.read("session", sessions.find_txn, wanted)
    back = f"{about.base}/clients"
    if found is None:
        return Redirect(back, "client-gone")
    if found.account != about.profile.id:
        raise NoSuchSession
    await operations.end_session(visit.services.transactions, about.actor, wanted)
    return Redirect(back, "client-ended")


async def end_all(visit: Visit) -> Answer:
    """Disconnect all of them."""
    about = await subject(visit)
    await operations.end_account_sessions(visit.services.transactions, about.actor, about.profile.id)
    return Redirect(f"{about.base}/clients", "clients-ended")


VIEWS: Final = tuple(
    row
    for base, access in ((OF_ADMINISTRATORS, Access.ADMINISTRATOR), (OF_OWNERS, Access.SIGNED_IN))
    for row in (
        View("GET", f"{base}/clients", access, show),
        View("POST", f"{base}/clients/end", access, end_all),
        View("POST", f"{base}/clients/{{session}}/end", access, end),
    )
)
