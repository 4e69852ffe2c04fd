"""The audit log: who did what, when, from where."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from lightmail.errors import Invalid
from lightmail.peers import ip_of
from lightmail.store import audit
from lightmail.store.audit import Entry, Filters
from lightmail.web.pages import accounts, domains, fields, lists, telling
from lightmail.web.pages.views import Access, Answer, Html, View, Visit

_PATH: Final = "/web/audit"
_DAY_US: Final = 86_400_000_000
_TEXTS: Final = ("actor", "action", "subject", "origin", "domain")
_DAYS: Final = ("since", "until")


async def list_(visit: Visit) -> Answer:
    """The entries, the newest first; of one domain for who has not the server."""
    trouble = fields.Trouble()
    found: list[Entry] = []
    chosen = await accounts.chosen_domain(visit)
    asked = {name: visit.query.get(name, "").strip() for name in (*_TEXTS, *_DAYS)}
    asked["domain"] = "" if chosen is None else chosen.name
    before = _before(visit)
    try:
        filters = replace(_filters(visit, asked), domain=None if chosen is None else chosen.id)
        found = await visit.services.database.read("audit", audit.page_txn, filters, before, lists.LENGTH + 1)
    except Invalid as error:
        trouble = fields.trouble(error)
    shown = found[: lists.LENGTH]
    own = domains.administered(visit)
    older = {**asked, "before": str(shown[-1].id)} if len(found) > lists.LENGTH else {}
    values = {
        "entries": [(entry, telling.sentence(entry.detail)) for entry in shown],
        "asked": asked,
        "trouble": trouble,
        "choice": None if own is None else [name for _, name in own],
        "newest": lists.link(_PATH, asked) if before is not None else "",
        "older": lists.link(_PATH, older) if older else "",
        "narrowed": any(value for name, value in asked.items() if name != "domain" or own is None),
    }
    return Html("audit.html", values, trouble.status)


def _filters(visit: Visit, asked: dict[str, str]) -> Filters:
    """What is searched for. Raises Invalid, which says what is wrong with it."""
    until = fields.day(visit.query, "until")
    return Filters(
        actor=asked["actor"] or None,
        action=asked["action"] or None,
        subject=asked["subject"] or None,
        origin=str(ip_of(asked["origin"]) or asked["origin"]) or None,
        since_us=fields.day(visit.query, "since"),
        until_us=None if until is None else until + _DAY_US,
    )


def _before(visit: Visit) -> int | None:
    """The entry that the page comes after, None for the newest ones."""
    text = visit.query.get("before", "")
    return min(int(text), fields.MOST) if re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII) else None


VIEWS: Final = (View("GET", _PATH, Access.ADMINISTRATOR, list_),)
