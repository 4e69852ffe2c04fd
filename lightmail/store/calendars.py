"""Calendars and their events (tables `calendars`, `calendar_events`); `calendar_objects` has the events' texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar, with its account's address and the id of its account's domain."""

    id: int
    account: AccountId
    address: str
    domain: int
    name: str
    description: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event, with its account's address and domain. Its times span all occurrences; `ends_us` None: without end."""

    id: int
    calendar: int
    account: AccountId
    address: str
    domain: int
    uid: str
    object_key: str
    octets: int
    sha256: bytes
    summary: str
    starts_us: int
    ends_us: int | None
    all_day: bool
    recurring: bool
    created_us: int
    updated_us: int
    deleted_us: int


@dataclass(frozen=True, slots=True)
class Text:
    """What is stored of an event: where its text is, and what was read out of it. `recurrence` is JSON or empty."""

    uid: str
    object_key: str
    octets: int
    sha256: bytes
    summary: str
    starts_us: int
    ends_us: int | None
    all_day: bool
    recurrence: bytes


# --- calendars ---

_CALENDAR: Final = "SELECT c.id, c.account, a.address, a.domain, c.name, c.description, c.created_at FROM calendars c"
_ALIVE: Final = "JOIN accounts a ON a.id = c.account AND a.deleted_at = 0 WHERE c.deleted_at = 0"
_BY_ID: Final = f"{_CALENDAR} {_ALIVE} AND c.id = %s"
_LOCK: Final = "SELECT id FROM calendars WHERE id = %s AND deleted_at + 0 = 0 FOR UPDATE"
_OF_ACCOUNT: Final = f"{_CALENDAR} {_ALIVE} AND c.account = %s AND c.id > %s ORDER BY c.id LIMIT %s OFFSET %s"
_BY_NAME: Final = f"{_CALENDAR} {_ALIVE} AND c.account = %s AND c.name = %s"
_COUNT: Final = "SELECT COUNT(*) FROM calendars WHERE account = %s AND deleted_at = 0"
_INSERT: Final = f"INSERT INTO calendars (account, name, description, created_at) VALUES (%s, %s, %s, {NOW_US})"  # noqa: S608


def _calendar(row: Row) -> Calendar:
    texts = (bytes(row[4]).decode(), bytes(row[5]).decode())
    return Calendar(row[0], AccountId(row[1]), bytes(row[2]).decode(), row[3], *texts, row[6])


def by_id_txn(cursor: Cursor, calendar: int) -> Calendar | None:
    """The calendar of that id, of an account that is there."""
    cursor.execute(_BY_ID, (calendar,))
    row = cursor.fetchone()
    return _calendar(row) if row else None


def lock_txn(cursor: Cursor, calendar: int) -> Calendar | None:
    """Lock a calendar's row and read it; None when it is gone."""
    _, found = cursor.script([(_LOCK, (calendar,)), (_BY_ID, (calendar,))])
    return _calendar(found.rows[0]) if found.rows else None


def by_name_txn(cursor: Cursor, account: AccountId, name: str) -> Calendar | None:
    """The account's calendar of that name."""
    cursor.execute(_BY_NAME, (account, name.encode()))
    row = cursor.fetchone()
    return _calendar(row) if row else None


def list_txn(cursor: Cursor, account: AccountId, after: int, limit: int, offset: int = 0) -> list[Calendar]:
    """The account's calendars by id, behind the id `after`."""
    cursor.execute(_OF_ACCOUNT, (account, after, limit, offset))
    return [_calendar(row) for row in cursor.fetchall()]


def count_txn(cursor: Cursor, account: AccountId) -> int:
    """How many calendars the account has."""
    cursor.execute(_COUNT, (account,))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def insert_txn(cursor: Cursor, account: AccountId, name: str, description: str) -> None:
    """Add a calendar. DuplicateKey when the account has one of that name."""
    cursor.execute(_INSERT, (account, name.encode(), description.encode()))


_DELETE: Final = f"UPDATE calendars SET deleted_at = {NOW_US} WHERE id = %s"  # noqa: S608
_DELETE_EVENTS: Final = (
    "UPDATE calendar_events SET deleted_at = (SELECT c.deleted_at FROM calendars c WHERE c.id = %s)"
    " WHERE calendar = %s AND deleted_at = 0"
)


def delete_statements(calendar: int) -> list[Statement]:
    """The statements that mark a calendar and its events deleted, all at one moment; its row is locked."""
    return [(_DELETE, (calendar,)), (_DELETE_EVENTS, (calendar, calendar))]


# --- events ---

_EVENT: Final = (
    "SELECT e.id, e.calendar, e.account, a.address, a.domain, e.uid, e.object_key, e.octets, e.sha256, e.summary,"
    " e.starts_us, e.ends_us, e.all_day, e.recurring, e.created_at, e.updated_at, e.deleted_at"
)
_OF_THE_LIVING: Final = (
    "FROM calendar_events e JOIN calendars c ON c.id = e.calendar AND c.deleted_at = 0"
    " JOIN accounts a ON a.id = e.account AND a.deleted_at = 0"
)
_EVENT_BY_ID: Final = f"{_EVENT} {_OF_THE_LIVING} WHERE e.id = %s"
_EVENT_BY_UID: Final = f"{_EVENT} {_OF_THE_LIVING} WHERE e.calendar = %s AND e.uid = %s AND e.deleted_at = 0"
_COUNT_EVENTS: Final = (
    "SELECT COUNT(*), COALESCE(SUM(recurring), 0) FROM calendar_events WHERE calendar = %s AND deleted_at = 0"
)
_IN_TIME: Final = "AND e.starts_us < %s AND (e.ends_us IS NULL OR e.ends_us > %s OR e.starts_us >= %s)"
_SINGLE: Final = (
    f"{_EVENT} {_OF_THE_LIVING} WHERE e.calendar = %s AND e.deleted_at = 0 AND e.recurring = 0 {_IN_TIME}"
    " AND (e.starts_us > %s OR (e.starts_us = %s AND e.id > %s)) ORDER BY e.starts_us, e.id LIMIT %s"
)
_RECURRING: Final = (
    f"{_EVENT}, e.recurrence {_OF_THE_LIVING} WHERE e.calendar = %s AND e.deleted_at = 0 AND e.recurring = 1 {_IN_TIME}"
    " ORDER BY e.id LIMIT %s"
)


def _event(row: Row) -> Event:
    return Event(
        row[0],
        row[1],
        AccountId(row[2]),
        bytes(row[3]).decode(),
        row[4],
        bytes(row[5]).decode(),
        bytes(row[6]).decode(),
        row[7],
        bytes(row[8]),
        bytes(row[9]).decode(),
        row[10],
        row[11],
        bool(row[12]),
        bool(row[13]),
        *row[14:17],
    )


def event_txn(cursor: Cursor, event: int) -> Event | None:
    """The event of that id, deleted or not, of a calendar that is there."""
    cursor.execute(_EVENT_BY_ID, (event,))
    row = cursor.fetchone()
    return _event(row) if row else None


def event_of_uid_txn(cursor: Cursor, calendar: int, uid: str) -> Event | None:
    """The calendar's event of that UID."""
    cursor.execute(_EVENT_BY_UID, (calendar, uid.encode()))
    row = cursor.fetchone()
    return _event(row) if row else None


def count_events_txn(cursor: Cursor, calendar: int) -> tuple[int, int]:
    """How many events a calendar has, and how many of them recur."""
    cursor.execute(_COUNT_EVENTS, (calendar,))
    row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def single_txn(
    cursor: Cursor, calendar: int, begin_us: int, end_us: int, after: tuple[int, int], limit: int
) -> list[Event]:
    """Events that happen once and touch a time, by their beginning, behind the position (beginning, id)."""
    cursor.execute(_SINGLE, (calendar, end_us, begin_us, begin_us, after[0], *after, limit))
    return [_event(row) for row in cursor.fetchall()]


def recurring_txn(cursor: Cursor, calendar: int, begin_us: int, end_us: int, limit: int) -> list[tuple[Event, bytes]]:
    """Events that recur, as far as they may touch a time, each with the JSON of its recurrence."""
    cursor.execute(_RECURRING, (calendar, end_us, begin_us, begin_us, limit))
    return [(_event(row), bytes(row[17])) for row in cursor.fetchall()]


_INSERT_EVENT: Final = (
    "INSERT INTO calendar_events (uid, object_key, octets, sha256, summary, starts_us, ends_us, all_day, recurring,"  # noqa: S608
    " recurrence, calendar, account, created_at, updated_at)"
    f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {NOW_US}, {NOW_US})"
)
_UPDATE_EVENT: Final = (
    "UPDATE calendar_events SET uid = %s, object_key = %s, octets = %s, sha256 = %s, summary = %s, starts_us = %s,"  # noqa: S608
    f" ends_us = %s, all_day = %s, recurring = %s, recurrence = %s, updated_at = {NOW_US} WHERE id = %s"
)
_DELETE_EVENT: Final = f"UPDATE calendar_events SET deleted_at = {NOW_US} WHERE id = %s AND deleted_at = 0"  # noqa: S608
_RESTORE_EVENT: Final = "UPDATE calendar_events SET deleted_at = 0 WHERE id = %s"


def _values(text: Text) -> tuple[object, ...]:
    return (
        text.uid.encode(),
        text.object_key.encode(),
        text.octets,
        text.sha256,
        text.summary.encode(),
        text.starts_us,
        text.ends_us,
        int(text.all_day),
        int(bool(text.recurrence)),
        text.recurrence,
    )


def insert_event_statement(calendar: Calendar, text: Text) -> Statement:
    """The statement that adds an event. DuplicateKey when the calendar has one of that UID."""
    return _INSERT_EVENT, (*_values(text), calendar.id, calendar.account)


def update_event_statement(event: int, text: Text) -> Statement:
    """The statement that lets an event be what another text says. DuplicateKey when another one has that UID."""
    return _UPDATE_EVENT, (*_values(text), event)


def delete_event_txn(cursor: Cursor, event: int) -> bool:
    """Mark an event deleted; False when it is."""
    return cursor.execute(_DELETE_EVENT, (event,)) == 1


def restore_event_statement(event: int) -> Statement:
    """The statement that brings an event back. DuplicateKey when the calendar has another of that UID by now."""
    return _RESTORE_EVENT, (event,)
