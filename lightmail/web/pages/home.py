"""The first page: is the server well, how much is on it, and what it did of late."""

from __future__ import annotations

from typing import Final

from lightmail.store import epochs
from lightmail.web.pages import dashboard
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_CHECKS: Final = {"database": "Database", "objects": "Object store", "schema": "Schema", "server": "Server"}


async def root(visit: Visit) -> Answer:
    """The address without a path leads to the first page."""
    return Redirect("/web/")


async def show(visit: Visit) -> Answer:
    """The page; an account's owner is shown what to enter in his client instead."""
    if visit.who is not None and visit.who.administrator is None:
        return Redirect("/web/client-settings")
    services = visit.services
    ready, checks = await services.readiness.state()
    values = {
        "ready": ready,
        "checks": [(_CHECKS.get(name, name.capitalize()), word) for name, word in checks.items()],
        "totals": await services.figures.totals(visit.actor.domain),
        "domain": visit.domain_name,
        "frozen": (await services.database.read("collection", epochs.read_txn)).frozen_reason,
        "dashboard": await dashboard.values(visit) if visit.actor.domain is None else None,
    }
    return Html("home.html", values)


VIEWS: Final = (
    View("GET", "/", Access.EVERYBODY, root),
    View("GET", "/web/", Access.SIGNED_IN, show),
)
