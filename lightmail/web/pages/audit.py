"""The audit log: who did what, when, from where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class _Page:
    """Entries, and whether there are newer and older ones."""

    entries: Sequence[Entry] = ()
    newer: bool = False
    older: bool = False


async def list_(visit: Visit) -> Answer:
    """The entries, the newest first; of one domain for who has not the server."""
    trouble, shown = fields.Trouble(), _Page()
    chosen = await accounts.chosen_domain(visit)
    asked = {name: visit.query.get(name, "").strip() for name in (*_TEXTS, *_DAYS)}
    asked["domain"] = "" if chosen is None else chosen.name
    try:
        shown = await _page(visit, replace(_filters(visit, asked), domain=None if chosen is None else chosen.id))
    except Invalid as error:
        trouble = fields.trouble(error)
    own, entries = domains.administered(visit), shown.entries
    values = {
        "entries": [(entry, telling.sentence(entry.detail)) for entry in entries],
        "asked": asked,
        "trouble": trouble,
        "choice": None if own is None else [name for _, name in own],
        "newest": lists.link(_PATH, asked) if shown.newer else "",
        "newer": lists.link(_PATH, {**asked, "after": str(entries[0].id)}) if entries and shown.newer else "",
        "older": lists.link(_PATH, {**asked, "before": str(entries[-1].id)}) if shown.older else "",
        "narrowed": any(value for name, value in asked.items() if name != "domain" or own is None),
    }
    return Html("audit.html", values, trouble.status)


async def _page(visit: Visit, filters: Filters) -> _Page:
    """The page behind or before the entry that the query names, or else the newest."""
    database, after, before = visit.services.database, _place(visit, "after"), _place(visit, "before")
    if after is not None:
        found = await database.read("audit", audit.newer_txn, filters, after, lists.LENGTH + 1)
        if len(found) > lists.LENGTH:
            return _Page(found[1:], True, True)
        before = None  # what is newer is all on the first page, which may have older ones, too
    found = await database.read("audit", audit.page_txn, filters, before, lists.LENGTH + 1)
    return _Page(found[: lists.LENGTH], before is not None, len(found) > lists.LENGTH)


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


def _place(visit: Visit, name: str) -> int | None:
    """The id of the entry that bounds the page, None where the query has none."""
    text = visit.query.get(name, "")
    return min(int(text), fields.MOST) if re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII) else None


VIEWS: Final = (View("GET", _PATH, Access.ADMINISTRATOR, list_),)
