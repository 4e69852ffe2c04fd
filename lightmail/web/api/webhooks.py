"""Endpoints about the webhook: who is told of events, what waits to be told, and another attempt."""

from __future__ import annotations

from typing import Any, Final

from lightmail.errors import Cannot
from lightmail.model import EVENT_KINDS
from lightmail.operations import webhooks as operations
from lightmail.store.webhooks import Queued, count_txn, list_txn
from lightmail.web.api.endpoints import Call, Endpoint, Json, Page, Query
from lightmail.web.api.schemas import (
    Boolean,
    Choice,
    Id,
    Integer,
    ListOf,
    Moment,
    Nullable,
    Number,
    Object,
    Text,
    moment_text,
    optional_moment,
)
from lightmail.web.api.scopes import Scope

# Events that wait are counted so far.
_COUNTED: Final = 10_000

_KIND: Final = Choice(EVENT_KINDS)
_EVENT_ID: Final = Text(64, about="The `webhook-id` of its requests.")

WEBHOOK: Final = Object(
    {
        "enabled": Boolean(),
        "url": Text(2000),
        "events": ListOf(_KIND, len(EVENT_KINDS), about="What is told."),
        "timeout_ms": Integer(),
        "waiting": Integer(0, _COUNTED, about="Events on their way, counted up to 10,000."),
        "failed": Integer(0, _COUNTED, about="Events that were given up, counted up to 10,000."),
    },
    name="Webhook",
)
EVENT: Final = Object(
    {
        "id": Id(),
        "event_id": _EVENT_ID,
        "kind": _KIND,
        "account_id": Nullable(Id(), about="Whom it is about."),
        "created_at": Moment(),
        "attempts": Integer(),
        "next_at": Nullable(Moment(), about="When it is tried again; null if it was given up."),
        "failed_at": Nullable(Moment(), about="When it was given up."),
        "last_error": Text(255, about="What came of the last attempt."),
    },
    name="WebhookEvent",
)
ATTEMPT: Final = Object(
    {
        "event_id": _EVENT_ID,
        "arrived": Boolean(about="Whether the receiver took it: any 2xx."),
        "status": Nullable(Integer(100, 999), about="Its HTTP status; null if it gave none."),
        "error": Text(255, about="What went wrong, in one line."),
        "seconds": Number(),
    },
    name="WebhookAttempt",
)
RETRIED: Final = Object({"events": Integer(about="How many are tried again.")}, name="WebhookRetried")


def _document(event: Queued) -> dict[str, Any]:
    return {
        "id": event.id,
        "event_id": f"evt_{event.event_id.hex()}",
        "kind": event.kind,
        "account_id": event.account,
        "created_at": moment_text(event.created_us),
        "attempts": event.attempts,
        "next_at": None if event.failed_us else moment_text(event.next_us),
        "failed_at": optional_moment(event.failed_us),
        "last_error": event.last_error,
    }


async def show(call: Call) -> Json:
    """Who is told, of what, and how much waits."""
    config = call.services.receiver.config
    waiting, failed = await call.services.database.read("webhook-count", count_txn, _COUNTED)
    return Json(
        {
            "enabled": config.enabled,
            "url": config.url,
            "events": list(config.events),
            "timeout_ms": config.timeout_ms,
            "waiting": waiting,
            "failed": failed,
        }
    )


async def list_(call: Call) -> Page:
    """The events that have not arrived yet, the oldest first."""
    page = call.page
    after = 0 if page.after is None else int(page.after[0])
    found = await call.services.database.read(
        "webhook-list", list_txn, after, page.limit + 1, call.query["failed"], page.offset
    )
    shown = found[: page.limit]
    return Page([_document(event) for event in shown], (shown[-1].id,) if len(found) > page.limit else None)


async def retry(call: Call) -> Json:
    """Have one event tried again."""
    count = await operations.retry(call.services.transactions, call.actor, [call.path["id"]])
    return Json({"events": count})


async def retry_failed(call: Call) -> Json:
    """Have all events that were given up tried again."""
    return Json({"events": await operations.retry_failed(call.services.transactions, call.actor)})


async def test(call: Call) -> Json:
    """Tell the receiver of an event of no consequence, now."""
    sender = call.services.receiver.sender
    if sender is None:
        raise Cannot("No webhook is enabled: see [webhook] in the configuration.")
    event_id, attempt = await operations.test(call.services.transactions, call.actor, sender)
    return Json(
        {
            "event_id": f"evt_{event_id.hex()}",
            "arrived": attempt.arrived,
            "status": attempt.status,
            "error": attempt.error,
            "seconds": round(attempt.seconds, 3),
        }
    )


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/webhook",
        Scope.WEBHOOKS_READ,
        "Show who is told of events, and how many wait",
        show,
        answer=WEBHOOK,
        server_only=True,
    ),
    Endpoint(
        "GET",
        "/admin/webhook/events",
        Scope.WEBHOOKS_READ,
        "List events that have not arrived, the oldest first",
        list_,
        query=(Query("failed", Boolean(about="Only those that were given up, or only those that wait.")),),
        answer=EVENT,
        paged=True,
        server_only=True,
    ),
    Endpoint(
        "POST",
        "/admin/webhook/events/{id}/retry",
        Scope.WEBHOOKS_WRITE,
        "Try an event again at once",
        retry,
        answer=RETRIED,
        server_only=True,
        codes={"no_such_queued_event": 404},
    ),
    Endpoint(
        "POST",
        "/admin/webhook/retry",
        Scope.WEBHOOKS_WRITE,
        "Try all events again that were given up",
        retry_failed,
        answer=RETRIED,
        server_only=True,
    ),
    Endpoint(
        "POST",
        "/admin/webhook/test",
        Scope.WEBHOOKS_WRITE,
        "Tell the receiver of a test event",
        test,
        answer=ATTEMPT,
        server_only=True,
        codes={"cannot": 409},
    ),
)
