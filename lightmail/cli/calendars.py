"""``lightmail calendar``: calendars of accounts and their events."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, BinaryIO, Final

import click

from lightmail.app import Rows, Stores
from lightmail.calendars.occurrences import Happening
from lightmail.calendars.reading import TEXT_OCTETS
from lightmail.cli.common import Refused, account_id, config_option, console, table, with_rows, with_stores
from lightmail.cli.gc import moment
from lightmail.cli.undelete import Moment
from lightmail.errors import MailError
from lightmail.operations import calendar_events as events
from lightmail.operations import calendars as operations
from lightmail.operations.calendar_events import Hands
from lightmail.store.calendars import Calendar, Event

_DAY_US: Final = 86_400_000_000
_MOST: Final = operations.CALENDARS_BOUND


@click.group("calendar")
def calendar() -> None:
    """Calendars of accounts, and the events in them."""


@calendar.command("add")
@config_option
@click.argument("address")
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
def add(address: str, name: str, description: str) -> None:
    """Add a calendar to the account ADDRESS, and print its id."""
    actor = console()

    async def work(rows: Rows) -> Calendar:
        owner = await account_id(rows, address)
        return await operations.add_calendar(rows.transactions, actor, owner, name, description)

    click.echo(with_rows(work, address).id)


@calendar.command("list")
@config_option
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(address: str, as_json: bool) -> None:
    """Print the calendars of the account ADDRESS."""
    actor = console()

    async def work(rows: Rows) -> list[Calendar]:
        owner = await account_id(rows, address)
        found, _ = await operations.list_calendars(rows.database, actor, owner, limit=_MOST)
        return list(found)

    found = with_rows(work, address)
    if as_json:
        documents = [
            {"id": each.id, "name": each.name, "description": each.description, "created_at": moment(each.created_us)}
            for each in found
        ]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    rows = [(str(each.id), moment(each.created_us), _clean(each.name), _clean(each.description)) for each in found]
    table([("ID", "CREATED", "NAME", "DESCRIPTION"), *rows])


@calendar.command("delete")
@config_option
@click.argument("id_", metavar="ID", type=click.IntRange(1))
def delete(id_: int) -> None:
    """Delete the calendar ID with its events."""
    actor = console()

    async def work(rows: Rows) -> None:
        await operations.delete_calendar(rows.transactions, actor, id_)

    with_rows(work, f"calendar {id_}")


@calendar.command("events")
@config_option
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--since", type=Moment(), help="From then on: 2026-03-01, 2026-03-01T14:05; now, if not given.")
@click.option("--until", type=Moment(), help="Until then; 30 days later, if not given.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_events(id_: int, since: int | None, until: int | None, limit: int, as_json: bool) -> None:
    """Print what happens in the calendar ID, each occurrence of what recurs. Times are UTC."""
    actor = console()
    begin_us = time.time_ns() // 1000 if since is None else since
    end_us = begin_us + 30 * _DAY_US if until is None else until

    async def work(stores: Stores) -> list[Happening]:
        found = await events.list_happenings(_hands(stores), actor, id_, begin_us, end_us, None, limit)
        return list(found)

    found = _told(f"calendar {id_}", work)
    if as_json:
        documents = [
            {
                "event": each.event,
                "starts_at": moment(each.starts_us),
                "ends_at": moment(each.ends_us),
                "recurring": each.recurs,
                "summary": each.summary,
            }
            for each in found
        ]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            str(each.event),
            moment(each.starts_us),
            moment(each.ends_us),
            "yes" if each.recurs else "-",
            _clean(each.summary),
        )
        for each in found
    ]
    table([("EVENT", "BEGINS", "ENDS", "RECURS", "SUMMARY"), *rows])


# --- events ---


@calendar.group("event")
def event() -> None:
    """Single events, by their ids."""


@event.command("add")
@config_option
@click.argument("calendar_id", metavar="CALENDAR", type=click.IntRange(1))
@click.argument("file", type=click.File("rb"))
def add_event(calendar_id: int, file: BinaryIO) -> None:
    """Add the event in FILE, an iCalendar text (- for standard input), to CALENDAR; prints its id."""
    octets, actor = _read(file), console()

    async def work(stores: Stores) -> Event:
        return await events.add_event(_hands(stores), actor, calendar_id, octets)

    click.echo(_told(f"calendar {calendar_id}", work).id)


@event.command("replace")
@config_option
@click.argument("id_", metavar="EVENT", type=click.IntRange(1))
@click.argument("file", type=click.File("rb"))
def replace_event(id_: int, file: BinaryIO) -> None:
    """Let EVENT be what the iCalendar text in FILE says."""
    octets, actor = _read(file), console()

    async def work(stores: Stores) -> Event:
        return await events.replace_event(_hands(stores), actor, id_, octets)

    _told(f"event {id_}", work)


@event.command("show")
@config_option
@click.argument("id_", metavar="EVENT", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show_event(id_: int, as_json: bool) -> None:
    """Print what is known of EVENT. Times are UTC, and span all its occurrences."""
    actor = console()

    async def work(rows: Rows) -> Event:
        return await events.show_event(rows.database, actor, id_)

    found = _document(with_rows(work, f"event {id_}"))
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, value in found.items():
        click.echo(f"{name}: {_clean(str(value))}")


@event.command("raw")
@config_option
@click.argument("id_", metavar="EVENT", type=click.IntRange(1))
def raw_event(id_: int) -> None:
    """Write the iCalendar text of EVENT to standard output; the audit log notes it."""
    actor = console()

    async def work(stores: Stores) -> bytes:
        return await events.event_text(_hands(stores), actor, id_)

    sys.stdout.buffer.write(_told(f"event {id_}", work))


@event.command("delete")
@config_option
@click.argument("id_", metavar="EVENT", type=click.IntRange(1))
def delete_event(id_: int) -> None:
    """Delete EVENT; it can be restored for [garbage] undelete_days."""
    actor = console()

    async def work(rows: Rows) -> None:
        await events.delete_event(rows.transactions, actor, id_)

    with_rows(work, f"event {id_}")


@event.command("restore")
@config_option
@click.argument("id_", metavar="EVENT", type=click.IntRange(1))
def restore_event(id_: int) -> None:
    """Bring the deleted EVENT back."""
    actor = console()

    async def work(rows: Rows) -> Event:
        return await events.restore_event(rows.transactions, actor, id_)

    with_rows(work, f"event {id_}")


def _hands(stores: Stores) -> Hands:
    return Hands(stores.transactions, stores.objects, stores.pool)


def _told(about: str, work: Any) -> Any:
    """What `work` makes of the stores; a refusal names what it is about."""
    try:
        return with_stores(work)
    except MailError as error:
        raise Refused(f"{about}: {error}") from error


def _read(file: BinaryIO) -> bytes:
    return file.read(TEXT_OCTETS + 1)


def _document(found: Event) -> dict[str, Any]:
    return {
        "id": found.id,
        "calendar": found.calendar,
        "account": found.address,
        "uid": found.uid,
        "summary": found.summary,
        "starts_at": moment(found.starts_us),
        "ends_at": None if found.ends_us is None else moment(found.ends_us),
        "all_day": found.all_day,
        "recurring": found.recurring,
        "octets": found.octets,
        "object": found.object_key,
        "updated_at": moment(found.updated_us),
    }


def _clean(text: str) -> str:
    """What strangers wrote, fit for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
