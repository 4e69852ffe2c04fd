"""Endpoints about calendars and their events."""

from __future__ import annotations

from typing import Any, Final

from lightmail.calendars.occurrences import Happening, Position
from lightmail.calendars.reading import SUMMARY_OCTETS, TEXT_OCTETS, UID_OCTETS
from lightmail.model import AccountId
from lightmail.operations import calendar_events as events
from lightmail.operations import calendars as operations
from lightmail.operations.calendar_events import Hands
from lightmail.store.calendars import Calendar, Event
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Octets, Page, Query
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Boolean, Id, Integer, Moment, Nullable, Object, Text, moment_text
from lightmail.web.api.scopes import Scope

MEDIA: Final = "text/calendar"
_NAME: Final = Text(operations.NAME_OCTETS, minimum=1)
_DESCRIPTION: Final = Text(operations.DESCRIPTION_OCTETS)
_SUMMARY: Final = Text(SUMMARY_OCTETS)
_TEXT: Final = Text(TEXT_OCTETS, minimum=1, lines=True, about="An iCalendar object with one event (RFC 5545).")

CALENDAR: Final = Object(
    {
        "id": Id(),
        "account_id": Id(),
        "name": _NAME,
        "description": _DESCRIPTION,
        "created_at": Moment(),
    },
    name="Calendar",
)
NEW_CALENDAR: Final = Object({"account_id": Id(), "name": _NAME}, {"description": _DESCRIPTION}, name="NewCalendar")
EVENT: Final = Object(
    {
        "id": Id(),
        "calendar_id": Id(),
        "account_id": Id(),
        "uid": Text(UID_OCTETS),
        "summary": _SUMMARY,
        "starts_at": Moment(about="When its first occurrence begins."),
        "ends_at": Nullable(Moment(), about="When its last one ends; null where it goes on for ever."),
        "all_day": Boolean(about="It is of whole days; these are told as UTC."),
        "recurring": Boolean(),
        "octets": Integer(),
        "created_at": Moment(),
        "updated_at": Moment(),
    },
    name="Event",
)
NEW_EVENT: Final = Object({"calendar_id": Id(), "icalendar": _TEXT}, name="NewEvent")
EVENT_TEXT: Final = Object({"icalendar": _TEXT}, name="EventText")
OCCURRENCE: Final = Object(
    {
        "event_id": Id(),
        "summary": _SUMMARY,
        "starts_at": Moment(),
        "ends_at": Moment(),
        "recurring": Boolean(),
        "recurrence_at": Moment(about="When it would begin had this occurrence not been changed (RECURRENCE-ID)."),
    },
    name="Occurrence",
)


def document(calendar: Calendar) -> dict[str, Any]:
    """A calendar as JSON."""
    return {
        "id": calendar.id,
        "account_id": calendar.account,
        "name": calendar.name,
        "description": calendar.description,
        "created_at": moment_text(calendar.created_us),
    }


def event_document(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "id": event.id,
        "calendar_id": event.calendar,
        "account_id": event.account,
        "uid": event.uid,
        "summary": event.summary,
        "starts_at": moment_text(event.starts_us),
        "ends_at": None if event.ends_us is None else moment_text(event.ends_us),
        "all_day": event.all_day,
        "recurring": event.recurring,
        "octets": event.octets,
        "created_at": moment_text(event.created_us),
        "updated_at": moment_text(event.updated_us),
    }


def occurrence(happening: Happening) -> dict[str, Any]:
    """Something that happens, as JSON."""
    return {
        "event_id": happening.event,
        "summary": happening.summary,
        "starts_at": moment_text(happening.starts_us),
        "ends_at": moment_text(happening.ends_us),
        "recurring": happening.recurs,
        "recurrence_at": moment_text(happening.recurrence_us),
    }


def _hands(call: Call) -> Hands:
    return Hands(call.services.transactions, call.services.objects, call.services.pool)


async def add(call: Call) -> Json:
    """Add a calendar to an account."""
    body = call.body
    with about("name"):
        made = await operations.add_calendar(
            call.services.transactions,
            call.actor,
            AccountId(body["account_id"]),
            body["name"],
            body.get("description", ""),
        )
    return Json(document(made))


async def list_(call: Call) -> Page:
    """An account's calendars."""
    page = call.page
    found, total = await operations.list_calendars(
        call.services.database,
        call.actor,
        AccountId(call.query["account_id"]),
        after=int(page.after[0]) if page.after is not None else 0,
        limit=page.limit + 1,
        offset=page.offset,
    )
    shown = found[: page.limit]
    following = (shown[-1].id,) if len(found) > page.limit else None
    return Page([document(each) for each in shown], following, total)


async def show(call: Call) -> Json:
    """One calendar."""
    return Json(document(await operations.show_calendar(call.services.database, call.actor, call.path["id"])))


async def delete(call: Call) -> Nothing:
    """Delete a calendar with its events."""
    await operations.delete_calendar(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def add_event(call: Call) -> Json:
    """Add an event to a calendar."""
    with about("icalendar"):
        octets = call.body["icalendar"].encode()
        made = await events.add_event(_hands(call), call.actor, call.body["calendar_id"], octets)
    return Json(event_document(made))


async def replace_event(call: Call) -> Json:
    """Let an event be what another text says."""
    with about("icalendar"):
        octets = call.body["icalendar"].encode()
        changed = await events.replace_event(_hands(call), call.actor, call.path["id"], octets)
    return Json(event_document(changed))


async def list_events(call: Call) -> Page:
    """What happens in a calendar in some time."""
    page, query = call.page, call.query
    after = None if page.after is None else Position(*(int(each) for each in page.after))
    found = await events.list_happenings(
        _hands(call), call.actor, query["calendar_id"], query["from"], query["to"], after, page.limit + 1
    )
    shown = found[: page.limit]
    following = tuple(shown[-1].position) if len(found) > page.limit else None
    return Page([occurrence(each) for each in shown], following)


async def show_event(call: Call) -> Json:
    """What is known of an event."""
    return Json(event_document(await events.show_event(call.services.database, call.actor, call.path["id"])))


async def event_text(call: Call) -> Octets:
    """The text of an event, as it came."""
    octets = await events.event_text(_hands(call), call.actor, call.path["id"])
    return Octets(f"{MEDIA}; charset=utf-8", f"event-{call.path['id']}.ics", octets)


async def delete_event(call: Call) -> Nothing:
    """Delete an event."""
    await events.delete_event(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def restore_event(call: Call) -> Json:
    """Bring a deleted event back."""
    return Json(event_document(await events.restore_event(call.services.transactions, call.actor, call.path["id"])))


_READ, _WRITE = Scope.CALENDAR_READ, Scope.CALENDAR_WRITE
_NO_CALENDAR: Final = {"no_such_calendar": 404}
_NO_EVENT: Final = {"no_such_event": 404}
_TEXT_TROUBLE: Final = {"already_exists": 409, "limit_reached": 409}

ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/calendar",
        _WRITE,
        "Add a calendar to an account",
        add,
        body=NEW_CALENDAR,
        answer=CALENDAR,
        status=201,
        codes={"no_such_account": 404, **_TEXT_TROUBLE},
    ),
    Endpoint(
        "GET",
        "/calendar",
        _READ,
        "List the calendars of an account",
        list_,
        query=(Query("account_id", Id(), required=True),),
        answer=CALENDAR,
        paged=True,
        codes={"no_such_account": 404},
    ),
    Endpoint("GET", "/calendar/{id}", _READ, "Show a calendar", show, answer=CALENDAR, codes=_NO_CALENDAR),
    Endpoint(
        "DELETE",
        "/calendar/{id}",
        _WRITE,
        "Delete a calendar with its events",
        delete,
        status=204,
        codes=_NO_CALENDAR,
    ),
    Endpoint(
        "POST",
        "/calendar/event",
        _WRITE,
        "Add an event to a calendar",
        add_event,
        body=NEW_EVENT,
        answer=EVENT,
        status=201,
        codes={**_NO_CALENDAR, **_TEXT_TROUBLE},
    ),
    Endpoint(
        "GET",
        "/calendar/events",
        _READ,
        "List what happens in a calendar, by its beginning",
        list_events,
        query=(
            Query("calendar_id", Id(), required=True),
            Query("from", Moment(about="What ends before is left out."), required=True),
            Query("to", Moment(about="What begins then or later is left out."), required=True),
        ),
        answer=OCCURRENCE,
        paged=True,
        position=(int, int, int),
        offset=False,
        codes={**_NO_CALENDAR, "limit_reached": 409},
        about="Of events that recur each occurrence is listed.",
    ),
    Endpoint("GET", "/calendar/events/{id}", _READ, "Show an event", show_event, answer=EVENT, codes=_NO_EVENT),
    Endpoint(
        "GET",
        "/calendar/events/{id}/raw",
        _READ,
        "Give the iCalendar text of an event; that is recorded in the audit log",
        event_text,
        media=MEDIA,
        codes=_NO_EVENT,
    ),
    Endpoint(
        "PUT",
        "/calendar/events/{id}",
        _WRITE,
        "Let an event be what another text says",
        replace_event,
        body=EVENT_TEXT,
        answer=EVENT,
        codes={**_NO_EVENT, **_NO_CALENDAR, **_TEXT_TROUBLE},
    ),
    Endpoint(
        "DELETE",
        "/calendar/events/{id}",
        _WRITE,
        "Delete an event; it can be restored for [garbage] undelete_days",
        delete_event,
        status=204,
        codes={**_NO_EVENT, **_NO_CALENDAR},
    ),
    Endpoint(
        "POST",
        "/calendar/events/{id}/restore",
        _WRITE,
        "Bring a deleted event back",
        restore_event,
        answer=EVENT,
        codes={**_NO_EVENT, **_NO_CALENDAR, **_TEXT_TROUBLE},
    ),
)
