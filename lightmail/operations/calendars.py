"""Calendars of accounts, as administrators set them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lightmail.errors import AlreadyExists, Invalid, LimitReached, NoSuchAccount, NoSuchCalendar
from lightmail.model import AccountId
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, calendars, profiles
from lightmail.store.calendars import Calendar
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import DuplicateKey

CALENDARS_BOUND: Final = 100
NAME_OCTETS: Final = 255
DESCRIPTION_OCTETS: Final = 1000


async def add_calendar(
    tx: Transactions, actor: Actor, account: AccountId, name: str, description: str = ""
) -> Calendar:
    """Add a calendar to an account. Raises NoSuchAccount, AlreadyExists, LimitReached, Invalid, Unavailable."""
    if not 1 <= len(name.encode()) <= NAME_OCTETS:
        raise Invalid(f"The name of a calendar has 1 to {NAME_OCTETS} octets.")
    if len(description.encode()) > DESCRIPTION_OCTETS:
        raise Invalid(f"The description of a calendar has at most {DESCRIPTION_OCTETS} octets.")
    return await tx.commit("add-calendar", _add_txn, actor, account, name, description, account=account)


def _add_txn(cursor: Cursor, actor: Actor, account: AccountId, name: str, description: str) -> Changed[Calendar]:
    held = accounts.hold_txn(cursor, account)
    if held is None:
        raise NoSuchAccount
    actor.require(held.domain)
    if calendars.count_txn(cursor, account) >= CALENDARS_BOUND:
        raise LimitReached(f"The account has {CALENDARS_BOUND} calendars.")
    try:
        calendars.insert_txn(cursor, account, name, description)
    except DuplicateKey:
        raise AlreadyExists("The account has a calendar of that name.") from None
    made = calendars.by_name_txn(cursor, account, name)
    if made is None:
        raise LookupError("the calendar that was just inserted is not there")
    cursor.execute(*actor.record("calendar.add", held.address, {"calendar": made.id, "name": name}, held.domain))
    return Changed(made)


async def delete_calendar(tx: Transactions, actor: Actor, calendar: int) -> None:
    """Delete a calendar with its events; its rows stay until they are purged. Raises NoSuchCalendar, Unavailable."""
    await tx.commit("delete-calendar", _delete_txn, actor, calendar, account=None)


def _delete_txn(cursor: Cursor, actor: Actor, calendar: int) -> Changed[None]:
    found = present(calendars.lock_txn(cursor, calendar), actor)
    record = actor.record("calendar.delete", found.address, {"calendar": calendar, "name": found.name}, found.domain)
    cursor.script([*calendars.delete_statements(calendar), record])
    return Changed(None)


async def show_calendar(database: Database, actor: Actor, calendar: int) -> Calendar:
    """A calendar. Raises NoSuchCalendar, Unavailable."""
    return present(await database.read("calendars", calendars.by_id_txn, calendar), actor)


async def list_calendars(
    database: Database, actor: Actor, account: AccountId, *, after: int = 0, limit: int, offset: int = 0
) -> tuple[Sequence[Calendar], int]:
    """An account's calendars by id, behind the id `after`, and how many it has. Raises NoSuchAccount, Unavailable."""

    def read(cursor: Cursor) -> tuple[list[Calendar], int]:
        owner = profiles.by_id_txn(cursor, account)
        if owner is None:
            raise NoSuchAccount
        actor.require(owner.domain)
        return calendars.list_txn(cursor, account, after, limit, offset), calendars.count_txn(cursor, account)

    return await database.read("calendars", read)


def present(calendar: Calendar | None, actor: Actor) -> Calendar:
    """The calendar, if it is there and the actor's to administer. Raises NoSuchCalendar."""
    if calendar is None or not actor.administers(calendar.domain):
        raise NoSuchCalendar
    return calendar
