"""The mailboxes of an account, the messages in them, and those that were withheld from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lightmail.config import GarbageConfig
from lightmail.errors import NoSuchMailbox
from lightmail.operations import admin_mailboxes, admin_messages
from lightmail.operations.admin_messages import Listed
from lightmail.store.browsing import Place
from lightmail.web.pages import fields, finding, lists, located
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, Subject, subject
from lightmail.web.pages.views import Access, Answer, Html, View, Visit

_FIELDS: Final = ("sender", "subject", "since", "until")


async def show(visit: Visit) -> Answer:
    """The mailboxes of an account by name."""
    about = await subject(visit)
    found = await admin_mailboxes.listed(
        visit.services.transactions, about.actor, about.profile.id, None, lists.LENGTH + 1, lists.offset(visit)
    )
    shown = lists.listing(visit, f"{about.base}/mailboxes", {}, found.mailboxes, found.total)
    return Html("mailboxes.html", {"about": about, "list": shown})


async def of_mailbox(visit: Visit) -> Answer:
    """The messages of one mailbox, the newest first."""
    box, actor = await located.mailbox(visit)
    if box.deleted_us:
        raise NoSuchMailbox("The mailbox is deleted. What was in it is among the account's deleted mail.")
    path, query, trouble = f"/web/mailboxes/{box.id}", finding.words(visit, *_FIELDS), Trouble()
    try:
        wanted = finding.wanted(query)
    except WrongField as error:
        found, trouble = finding.nothing(), fields.trouble(error)
    else:

        async def ask(after: Place | None, limit: int, offset: int) -> Listed:
            tx = visit.services.transactions
            return await admin_messages.of_mailbox(tx, actor, box.id, wanted, after, limit, offset)

        found = await finding.results(visit, path, query, wanted.by_text, ask)
    values = {"box": box, "path_of_list": path, "query": query, "found": found, "trouble": trouble}
    return Html("mailbox.html", values, trouble.status)


async def of_account(visit: Visit) -> Answer:
    """The messages of an account in all its mailboxes, the newest first."""
    about = await subject(visit)
    return await _searched(visit, about, "messages", "messages.html", {})


async def withheld(visit: Visit) -> Answer:
    """The messages of an account that were withheld for a virus, the last first."""
    about = await subject(visit)
    config = visit.services.config
    days = (config.garbage or GarbageConfig()).undelete_days
    about_scans = {"undelete_days": days, "scanning": config.clamav.enabled}
    return await _searched(visit, about, "withheld", "withheld.html", about_scans, withheld=True)


async def _searched(
    visit: Visit, about: Subject, page: str, template: str, values: dict[str, Any], *, withheld: bool = False
) -> Answer:
    """A list of messages from all mailboxes of an account, narrowed by what is looked for."""
    path, query, trouble = f"{about.base}/{page}", finding.words(visit, *_FIELDS), Trouble()
    try:
        wanted = replace(finding.wanted(query), withheld=withheld)
    except WrongField as error:
        found, trouble = finding.nothing(), fields.trouble(error)
    else:

        async def ask(after: Place | None, limit: int, offset: int) -> Listed:
            tx = visit.services.transactions
            some = await admin_messages.of_account(tx, about.actor, about.profile.id, wanted, after, limit, offset)
            return Listed(some, None)

        found = await finding.results(visit, path, query, wanted.by_text, ask)
    values |= {"about": about, "path_of_list": path, "query": query, "found": found, "trouble": trouble}
    return Html(template, values, trouble.status)


VIEWS: Final = (
    View("GET", f"{OF_ADMINISTRATORS}/mailboxes", Access.ADMINISTRATOR, show),
    View("GET", f"{OF_ADMINISTRATORS}/messages", Access.ADMINISTRATOR, of_account),
    View("GET", f"{OF_ADMINISTRATORS}/withheld", Access.ADMINISTRATOR, withheld),
    View("GET", "/web/mailboxes/{id}", Access.ADMINISTRATOR, of_mailbox),
)
