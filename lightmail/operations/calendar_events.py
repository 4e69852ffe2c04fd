"""Events of calendars: their texts as objects, what is known of them as rows.

The order of writes is that of messages: the text is read, then put under a fresh key, then committed with its row.
Before it is put the key has a row of its own, as one that nothing refers to; so whatever ends an operation in between,
the collector finds the object without listing any. A replaced text is dropped with the COMMIT of its replacement; the
text of a deleted event when the event is purged.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lightmail.calendars.occurrences import Happening, Position, Recurring, happenings
from lightmail.calendars.reading import read, recurrence_of, recurrence_text
from lightmail.calendars.recurrence import EVER_US, Window
from lightmail.calendars.rules import TooMuch
from lightmail.errors import AlreadyExists, Corruption, LimitReached, NoSuchEvent, Unavailable
from lightmail.model import AccountId
from lightmail.objects import keys
from lightmail.objects.backends import ObjectStore
from lightmail.operations.actors import Actor
from lightmail.operations.calendars import present, show_calendar
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import calendar_objects, calendars
from lightmail.store.calendars import Calendar, Event, Text
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import DuplicateKey
from lightmail.threads import BoundedPool

EVENTS_BOUND: Final = 10_000
# All of them are read to tell what happens on a day.
RECURRING_BOUND: Final = 2_000


@dataclass(frozen=True, slots=True)
class Hands:
    """What operations on events work with: `pool` reads texts and calls the store of objects."""

    transactions: Transactions
    objects: ObjectStore
    pool: BoundedPool

    @property
    def database(self) -> Database:
        """The rows, for reading."""
        return self.transactions.database


async def add_event(hands: Hands, actor: Actor, calendar: int, octets: bytes) -> Event:
    """Add the event whose iCalendar text this is to a calendar.

    Raises Invalid (the text), NoSuchCalendar, AlreadyExists (its UID), LimitReached, Unavailable.
    """
    into = await show_calendar(hands.database, actor, calendar)
    text, born_us = await _stored(hands, into.account, octets)
    return await hands.transactions.commit(
        "add-event", _add_txn, actor, calendar, text, account=into.account, born_us=born_us
    )


def _add_txn(cursor: Cursor, actor: Actor, calendar: int, text: Text) -> Changed[Event]:
    into = present(calendars.lock_txn(cursor, calendar), actor)
    _make_room(cursor, into, text, 1)
    _take_up(cursor, text)
    try:
        cursor.execute(*calendars.insert_event_statement(into, text))
    except DuplicateKey:
        raise AlreadyExists("The calendar has an event of that UID.") from None
    made = calendars.event_of_uid_txn(cursor, calendar, text.uid)
    if made is None:
        raise LookupError("the event that was just inserted is not there")
    cursor.execute(*_record(actor, "event.add", made))
    return Changed(made)


def _make_room(cursor: Cursor, calendar: Calendar, text: Text, more: int) -> None:
    events, recurring = calendars.count_events_txn(cursor, calendar.id)
    if events + more > EVENTS_BOUND or (text.recurrence and recurring + 1 > RECURRING_BOUND):
        raise LimitReached(f"A calendar has {EVENTS_BOUND} events at most, and {RECURRING_BOUND} that recur.")


def _take_up(cursor: Cursor, text: Text) -> None:
    # Within an hour of its birth, which the transaction has checked, the collector leaves it alone.
    if not calendar_objects.take_up_txn(cursor, text.object_key):
        raise Unavailable


async def replace_event(hands: Hands, actor: Actor, event: int, octets: bytes) -> Event:
    """Let an event be what another text says.

    Raises Invalid (the text), NoSuchEvent, AlreadyExists (another event has its UID), LimitReached, Unavailable.
    """
    found = await show_event(hands.database, actor, event)
    text, born_us = await _stored(hands, found.account, octets)
    return await hands.transactions.commit(
        "replace-event", _replace_txn, actor, event, text, account=found.account, born_us=born_us
    )


def _replace_txn(cursor: Cursor, actor: Actor, event: int, text: Text) -> Changed[Event]:
    found, calendar = _held(cursor, actor, event)
    if text.recurrence and not found.recurring:
        _make_room(cursor, calendar, text, 0)
    _take_up(cursor, text)
    try:
        cursor.execute(*calendars.update_event_statement(event, text))
    except DuplicateKey:
        raise AlreadyExists("The calendar has another event of that UID.") from None
    cursor.script([calendar_objects.drop_statement(found.object_key), _record(actor, "event.replace", found)])
    return Changed(_visible(calendars.event_txn(cursor, event), actor))


async def delete_event(tx: Transactions, actor: Actor, event: int) -> None:
    """Delete an event; it can be restored until it is purged. Raises NoSuchEvent, Unavailable."""
    await tx.commit("delete-event", _delete_txn, actor, event, account=None)


def _delete_txn(cursor: Cursor, actor: Actor, event: int) -> Changed[None]:
    found, _ = _held(cursor, actor, event)
    calendars.delete_event_txn(cursor, event)
    cursor.execute(*_record(actor, "event.delete", found))
    return Changed(None)


async def restore_event(tx: Transactions, actor: Actor, event: int) -> Event:
    """Bring a deleted event back. Raises NoSuchEvent, AlreadyExists (its UID is taken by now), LimitReached,
    Unavailable."""
    return await tx.commit("restore-event", _restore_txn, actor, event, account=None)


def _restore_txn(cursor: Cursor, actor: Actor, event: int) -> Changed[Event]:
    found = calendars.event_txn(cursor, event)
    if found is None or not found.deleted_us:
        raise NoSuchEvent
    calendar = present(calendars.lock_txn(cursor, found.calendar), actor)
    events, recurring = calendars.count_events_txn(cursor, calendar.id)
    if events + 1 > EVENTS_BOUND or recurring + found.recurring > RECURRING_BOUND:
        raise LimitReached(f"A calendar has {EVENTS_BOUND} events at most, and {RECURRING_BOUND} that recur.")
    try:
        cursor.execute(*calendars.restore_event_statement(event))
    except DuplicateKey:
        raise AlreadyExists("The calendar has another event of that UID.") from None
    cursor.execute(*_record(actor, "event.restore", found))
    return Changed(_visible(calendars.event_txn(cursor, event), actor))


async def show_event(database: Database, actor: Actor, event: int) -> Event:
    """What is known of an event. Raises NoSuchEvent, Unavailable."""
    return _visible(await database.read("calendars", calendars.event_txn, event), actor)


async def event_text(hands: Hands, actor: Actor, event: int) -> bytes:
    """The iCalendar text of an event, as it came; that it was read is recorded.

    Raises NoSuchEvent, Corruption, Unavailable.
    """
    found = await hands.transactions.commit("read-event", _read_txn, actor, event, account=None)
    octets = await hands.pool.run(hands.objects.read, found.object_key, 0, max(found.octets, 1))
    if await hands.pool.run(_sha256, octets) != found.sha256:
        raise Corruption
    return octets


def _read_txn(cursor: Cursor, actor: Actor, event: int) -> Changed[Event]:
    found = _visible(calendars.event_txn(cursor, event), actor)
    cursor.execute(*_record(actor, "event.read", found))
    return Changed(found)


async def list_happenings(
    hands: Hands, actor: Actor, calendar: int, begin_us: int, end_us: int, after: Position | None, limit: int
) -> Sequence[Happening]:
    """What happens in a calendar from `begin_us` to `end_us` (Unix us), by its beginning, behind the position `after`.

    Raises NoSuchCalendar, LimitReached (too much would have to be looked at), Unavailable.
    """
    if end_us <= begin_us:
        await show_calendar(hands.database, actor, calendar)
        return []
    position = Position(EVER_US, 0, 0) if after is None else after

    def rows(cursor: Cursor) -> tuple[list[Event], list[tuple[Event, bytes]]]:
        present(calendars.by_id_txn(cursor, calendar), actor)
        # The position may be that of one of several occurrences that begin with it at once.
        place = (position.starts_us, position.event)
        return (
            calendars.single_txn(cursor, calendar, begin_us, end_us, place, limit),
            calendars.recurring_txn(cursor, calendar, begin_us, end_us, RECURRING_BOUND),
        )

    single, recurring = await hands.database.read("calendars", rows)
    window = Window(begin_us, end_us, position.starts_us)
    try:
        return await hands.pool.run(_happenings, single, recurring, window, position, limit)
    except TooMuch:
        raise LimitReached("There is too much to look at; ask for a shorter time.") from None


def _happenings(
    single: Sequence[Event], recurring: Sequence[tuple[Event, bytes]], window: Window, position: Position, limit: int
) -> list[Happening]:
    """In a thread: what recurs is computed."""
    once = [Happening(e.starts_us, e.id, e.starts_us, e.ends_us or e.starts_us, e.summary, False) for e in single]
    again = [Recurring(event.id, event.summary, recurrence_of(text)) for event, text in recurring]
    return happenings(once, again, window, position, limit)


# --- what they share ---


async def _stored(hands: Hands, account: AccountId, octets: bytes) -> tuple[Text, int]:
    """Read a text and put it; what a row is to say of it, and when its key was born (Unix us)."""
    born_us = time.time_ns() // 1000
    key = keys.new_calendar_key(born_us)
    text = await hands.pool.run(_text, key, octets)
    await hands.database.run("reserve-event", _reserve_txn, key, account, len(octets))
    await hands.pool.run(hands.objects.put, key, octets)
    return text, born_us


def _text(key: str, octets: bytes) -> Text:
    """In a thread. Raises Invalid."""
    found = read(octets)
    return Text(
        found.uid,
        key,
        len(octets),
        _sha256(octets),
        found.summary,
        found.starts_us,
        found.ends_us,
        found.all_day,
        recurrence_text(found.recurrence),
    )


def _reserve_txn(cursor: Cursor, key: str, account: AccountId, octets: int) -> None:
    with suppress(DuplicateKey):  # the answer to the COMMIT before was lost
        calendar_objects.reserve_txn(cursor, key, account, octets)


def _sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def _held(cursor: Cursor, actor: Actor, event: int) -> tuple[Event, Calendar]:
    """An event that is not deleted, and its calendar, whose row is locked."""
    found = _visible(calendars.event_txn(cursor, event), actor)
    calendar = present(calendars.lock_txn(cursor, found.calendar), actor)
    # Before the lock somebody may have changed it.
    return _visible(calendars.event_txn(cursor, event), actor), calendar


def _visible(event: Event | None, actor: Actor) -> Event:
    if event is None or event.deleted_us or not actor.administers(event.domain):
        raise NoSuchEvent
    return event


def _record(actor: Actor, action: str, event: Event) -> tuple[str, Sequence[object]]:
    detail = {"calendar": event.calendar, "event": event.id, "uid": event.uid}
    return actor.record(action, event.address, detail, event.domain)
