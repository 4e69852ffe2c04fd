"""The texts of events: each that an event refers to is in the store, and what none refers to is on its way out.

Keys and rows are walked together, in order of keys. A row is there before its object is put and until after it is
deleted, so an object without a row is none that was just made; what looks wrong is looked at again all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.jobs.verify.table import CHECKS
from lightmail.jobs.verify.walking import is_frozen, stretch, suspects
from lightmail.objects import keys
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.operations import calendar_purge
from lightmail.store import calendar_objects, referred
from lightmail.store.calendar_objects import Kept

_PAGE: Final = 1000


class CalendarsPass:
    """All keys below ``calendars/`` and all rows of such objects. `deep`: each object that is referred to is read."""

    name = "calendars"
    weight = 1

    def __init__(self, hands: Hands, mending: bool, *, deep: bool, grace_us: int, clock: Callable[[], float]) -> None:
        self._hands = hands
        self._mending = mending
        self._deep = deep
        self._grace_us = grace_us
        self._clock = clock

    def first(self) -> Any:
        return ""

    async def step(self, cursor: Any, emit: Emit) -> Step:
        read, key_of = calendar_objects.kept_txn, attrgetter("key")
        found = await stretch(self._hands, keys.CALENDAR_PREFIX, cursor, _PAGE, read, key_of)
        await self._look_at_strangers(found.strangers, emit)
        left = [row.key for row in found.rows if row.event is None and not row.dropped_us]
        await self._look_at_unreferred(left, emit)
        used = [row for row in found.rows if row.event is not None]
        await self._look_at_texts([row for row in used if self._deep or row.key not in found.present], emit)
        return Step(found.following, found.looked, 1.0 if found.following is None else 0.5)

    async def _look_at_strangers(self, found: Sequence[str], emit: Emit) -> None:
        """Objects without a row: a database that was restored from a backup does not know of later ones."""
        born_until_us = int(self._clock() * 1_000_000) - self._grace_us
        ours = suspects(found, keys.is_calendar_key, born_until_us, emit)
        known = await self._hands.database.read("verify", calendar_objects.known_txn, ours) if ours else set()
        await self._leave([key for key in ours if key not in known], emit)

    async def _look_at_unreferred(self, found: Sequence[str], emit: Emit) -> None:
        """Rows that say an event refers to them, where none does."""
        again = [row for key in found for row in await self._rows(key)]
        await self._leave([row.key for row in again if row.event is None and not row.dropped_us], emit)

    async def _leave(self, leftovers: Sequence[str], emit: Emit) -> None:
        if not leftovers:
            return
        frozen = await is_frozen(self._hands)
        mended = self._mending and not frozen
        for key in leftovers:
            if mended:
                await calendar_purge.drop(self._hands.database, key)
            detail = "collection is frozen: left as it is" if frozen else ""
            emit(CHECKS["event-object-leftover"].finding(key=key, detail=detail, repaired=mended))

    async def _look_at_texts(self, rows: Sequence[Kept], emit: Emit) -> None:
        """What events refer to: is it there, and, if that is asked for, is it what was stored."""
        for row in rows:
            kind = await self._hands.pool.run(_wrong_with, self._hands.store, row)
            if kind is None or row not in await self._rows(row.key):
                continue
            account = row.account
            addresses, _ = await self._hands.database.read(
                "verify", referred.names_txn, set() if account is None else {account}, set()
            )
            name = None if account is None else addresses.get(account, str(account))
            emit(CHECKS[kind].finding(account=name, key=row.key, more={"event": row.event}))

    async def _rows(self, key: str) -> list[Kept]:
        """The row of an object, as it is now."""
        found = await self._hands.database.read("verify", calendar_objects.kept_txn, key[:-1], key, _PAGE)
        return [row for row in found if row.key == key]


def _wrong_with(store: ObjectStore, row: Kept) -> str | None:
    """The kind of finding that an event's text is. In a thread."""
    try:
        octets = store.read(row.key, 0, max(row.octets + 1, 1))
    except ObjectMissing:
        return "event-absent"
    return None if hashlib.sha256(octets).digest() == row.sha256 else "event-damaged"
