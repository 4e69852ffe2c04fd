"""Deleted mail and its way back: for the account's administrator, and for its owner himself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lightmail.config import GarbageConfig
from lightmail.errors import MailError, NoSuchAccount
from lightmail.model import Account, MailboxId
from lightmail.operations import admin_messages, jobs, undelete, undelete_choice
from lightmail.operations.admin_messages import Listed
from lightmail.operations.undelete import Plan
from lightmail.store import accounts
from lightmail.store import undelete as deleted
from lightmail.store.browsing import Place, Wanted
from lightmail.store.undelete import Day, Filters
from lightmail.web.pages import fields, finding
from lightmail.web.pages import jobs as job_pages
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, OF_OWNERS, Subject, subject
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_FIELDS: Final = ("sender", "subject", "since", "mailbox")
_CHOSEN: Final = re.compile(r"chosen-([1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a list can be narrowed to: a value of its field, what it is called, and how many messages that leaves."""

    value: str
    name: str
    messages: int


async def show(visit: Visit) -> Answer:
    """What can be restored, deleted last first."""
    return await _page(visit, await subject(visit), finding.words(visit, *_FIELDS), Trouble())


async def restore_chosen(visit: Visit) -> Answer:
    """Restore the messages that were ticked."""
    about = await subject(visit)
    matches = [match for name in visit.form if (match := _CHOSEN.fullmatch(name)) is not None]
    if not matches:
        trouble = Trouble("Tick the messages that are to come back first.", "", 422)
        return await _page(visit, about, _query(visit.form), trouble)
    return await _restore(visit, about, Filters(ids=tuple(int(match[1]) for match in matches)))


async def restore_all(visit: Visit) -> Answer:
    """Restore all that the list was narrowed to."""
    about = await subject(visit)
    query = _query(visit.form)
    try:
        filters = _filters(query)
    except WrongField as error:
        return await _page(visit, about, query, fields.trouble(error))
    return await _restore(visit, about, filters)


async def _restore(visit: Visit, about: Subject, filters: Filters) -> Answer:
    tx = visit.services.transactions
    account = await visit.services.database.read("account", accounts.by_id_txn, about.profile.id)
    if account is None:
        raise NoSuchAccount
    try:
        planned = await undelete.plan(tx, account, filters)
        if planned.messages > visit.services.at_once:
            return await _leave_to_job(visit, about, account, filters, planned)
        outcome = await undelete.restore(tx, about.actor, account, filters, planned)
    except MailError as error:
        return await _page(visit, about, _query(visit.form), fields.trouble(error))
    return Redirect(f"{about.base}/deleted", "messages-restored" if outcome.messages else "nothing-restored")


async def _leave_to_job(visit: Visit, about: Subject, account: Account, filters: Filters, planned: Plan) -> Answer:
    """Have a job restore what takes longer than anybody waits for a page. Raises OverQuota, Cannot, LimitReached."""
    tx = visit.services.transactions
    await undelete.require_room(tx, account, planned)
    given = undelete_choice.arguments(filters)
    job = await jobs.start(tx, about.actor, jobs.UNDELETE, given, account=account.id)
    visit.services.desk.hasten()
    return Redirect(job_pages.address(visit, job), "restoring")


def _query(form: Mapping[str, str]) -> dict[str, str]:
    """What the list was narrowed to, as a form carries it along."""
    return {name: form.get(name, "")[:255] for name in _FIELDS}


def _filters(query: Mapping[str, str]) -> Filters:
    """The same as `undelete` takes it. Raises WrongField."""
    since_us = finding.day_us(query["since"], "since") if query["since"] else 0
    return Filters(since_us=since_us, sender=query["sender"], subject=query["subject"], box=_mailbox(query) or 0)


def _mailbox(query: Mapping[str, str]) -> MailboxId | None:
    """The mailbox that the list is narrowed to; what is no id is none that has anything."""
    text = query["mailbox"]
    if not text:
        return None
    return MailboxId(int(text)) if re.fullmatch(r"[1-9][0-9]{0,17}", text, re.ASCII) else MailboxId(-1)


async def _page(visit: Visit, about: Subject, query: Mapping[str, str], trouble: Trouble) -> Answer:
    services, path = visit.services, f"{about.base}/deleted"
    days = await services.database.read("deleted days", deleted.days_txn, about.profile.id)
    restoring = await jobs.restoring(services.database, about.actor, about.profile.id, about.profile.domain)
    try:
        filters = _filters(query)
    except WrongField as error:
        found, trouble = finding.nothing(), fields.trouble(error)
    else:
        wanted = Wanted(sender=filters.sender, subject=filters.subject, deleted=True)
        if filters.since_us > 0:
            wanted = Wanted(wanted.sender, wanted.subject, deleted=True, deleted_since_us=filters.since_us)

        async def ask(after: Place | None, limit: int, offset: int) -> Listed:
            page = await admin_messages.deleted_of_account(
                services.transactions,
                about.actor,
                about.profile.id,
                _mailbox(query),
                wanted,
                after,
                limit,
                offset,
            )
            return Listed(page, None)

        found = await finding.results(visit, path, query, wanted.by_text, ask)
    values = {
        "about": about,
        "path_of_list": path,
        "query": query,
        "found": found,
        "trouble": trouble,
        "jobs": [(job, job_pages.address(visit, job)) for job in restoring],
        "days": _since(days),
        "mailboxes": _of_mailboxes(days),
        "undelete_days": (services.config.garbage or GarbageConfig()).undelete_days,
    }
    return Html("deleted.html", values, trouble.status)


def _since(days: Sequence[Day]) -> list[Choice]:
    """The days on which something was deleted, oldest first, each with how many were deleted since."""
    counts: Counter[int] = Counter()
    for day in days:
        counts[day.day_us] += day.messages
    choices, since = [], 0
    for day_us in sorted(counts, reverse=True):
        since += counts[day_us]
        begins = datetime.fromtimestamp(day_us / 1_000_000, UTC)
        choices.append(Choice(begins.strftime("%Y-%m-%d"), f"{begins.day} {begins.strftime('%B %Y')}", since))
    return choices[::-1]


def _of_mailboxes(days: Sequence[Day]) -> list[Choice]:
    """The mailboxes that something was deleted from, by name."""
    counts: Counter[tuple[str, int, bool]] = Counter()
    for day in days:
        counts[day.name, day.mailbox, day.deleted_us > 0] += day.messages
    return [
        Choice(str(mailbox), f"{name} (deleted)" if gone else name, messages)
        for (name, mailbox, gone), messages in sorted(counts.items())
    ]


VIEWS: Final = tuple(
    row
    for base, access in ((OF_ADMINISTRATORS, Access.ADMINISTRATOR), (OF_OWNERS, Access.SIGNED_IN))
    for row in (
        View("GET", f"{base}/deleted", access, show),
        View("POST", f"{base}/deleted/restore", access, restore_chosen),
        View("POST", f"{base}/deleted/restore-all", access, restore_all),
    )
)
