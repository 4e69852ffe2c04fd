"""The webhook: who is told of events, what waits to be told or was given up, another attempt, and a test."""

from __future__ import annotations

from typing import Final

from lightmail.errors import NoSuchQueuedEvent
from lightmail.operations import webhooks as operations
from lightmail.store import webhooks
from lightmail.web.pages import fields, lists
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit
from lightmail.webhooks import Attempt

_PATH: Final = "/web/webhook"
# Events are counted so far.
_COUNTED: Final = 10_000
_SHOWN: Final = (("", "all"), ("waiting", "those that wait"), ("failed", "those that were given up"))


async def show(visit: Visit) -> Answer:
    """The receiver, and the events that have not arrived, the oldest first."""
    return await _page(visit)


async def retry(visit: Visit) -> Answer:
    """Have one event tried again."""
    id = fields.identifier(visit.path, NoSuchQueuedEvent)
    try:
        await operations.retry(visit.services.transactions, visit.actor, [id])
    except NoSuchQueuedEvent:
        return Redirect(_PATH, "event-gone")
    return Redirect(_PATH, "event-retried")


async def retry_failed(visit: Visit) -> Answer:
    """Have all events tried again that were given up."""
    count = await operations.retry_failed(visit.services.transactions, visit.actor)
    return Redirect(_PATH, "events-retried" if count else "no-events")


async def test(visit: Visit) -> Answer:
    """Tell the receiver of a test event, and say what came of it."""
    sender = visit.services.receiver.sender
    if sender is None:
        return Redirect(_PATH)
    _, attempt = await operations.test(visit.services.transactions, visit.actor, sender)
    return await _page(visit, attempt)


async def _page(visit: Visit, attempt: Attempt | None = None) -> Html:
    services = visit.services
    which = visit.query.get("which", "")
    which = which if which in dict(_SHOWN) else ""
    failed = {"waiting": False, "failed": True}.get(which)
    found = await services.database.read(
        "webhook-list", webhooks.list_txn, 0, lists.LENGTH + 1, failed, lists.offset(visit)
    )
    waiting, given_up = await services.database.read("webhook-count", webhooks.count_txn, _COUNTED)
    values = {
        "config": services.receiver.config,
        "enabled": services.receiver.sender is not None,
        "waiting": waiting,
        "given_up": given_up,
        "counted": _COUNTED,
        "list": lists.listing(visit, _PATH, {"which": which}, found),
        "which": which,
        "choices": _SHOWN,
        "attempt": attempt,
    }
    return Html("webhook.html", values)


VIEWS: Final = (
    View("GET", _PATH, Access.SERVER, show),
    View("POST", f"{_PATH}/events/{{id}}/retry", Access.SERVER, retry),
    View("POST", f"{_PATH}/retry", Access.SERVER, retry_failed),
    View("POST", f"{_PATH}/test", Access.SERVER, test),
)
