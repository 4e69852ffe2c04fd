"""The texts of events: each that an event refers to is in the store, and what none refers to is on its way out.

Keys and rows are walked together, in order of keys. A row is there before its object is put and until after it is
deleted, so an object without a row is none that was just made; what looks wrong is looked at again all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.jobs.verify.table import CHECKS
from lightmail.objects import keys
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.operations import calendar_purge
from lightmail.store import calendar_objects, epochs, referred
from lightmail.store.calendar_objects import Kept

_PAGE: Final = 1000
# Behind every key below ``calendars/``.
_END: Final = f"{keys.CALENDAR_PREFIX}0"


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
        hands = self._hands
        listed = await hands.pool.run(hands.store.keys, keys.CALENDAR_PREFIX, cursor, _PAGE)
        last = listed[-1] if len(listed) == _PAGE else _END
        rows = await hands.database.read("verify", calendar_objects.kept_txn, cursor, last, _PAGE)
        if len(rows) == _PAGE:
            last = min(last, rows[-1].key)
        known, present = {row.key for row in rows}, set(listed)
        await self._look_at_strangers([key for key in listed if key <= last and key not in known], emit)
        await self._look_at_unreferred([row.key for row in rows if row.event is None and not row.dropped_us], emit)
        used = [row for row in rows if row.event is not None and row.key <= last]
        await self._look_at_texts([row for row in used if self._deep or row.key not in present], emit)
        return Step(None if last == _END else last, len(listed) + len(rows), 1.0 if last == _END else 0.5)

    async def _look_at_strangers(self, found: Sequence[str], emit: Emit) -> None:
        """Objects without a row: a database that was restored from a backup does not know of later ones."""
        born_until_us = int(self._clock() * 1_000_000) - self._grace_us
        for key in found:
            if not keys.is_calendar_key(key):
                emit(CHECKS["foreign-key"].finding(key=key))
        ours = [key for key in found if keys.is_calendar_key(key) and keys.born_us(key) <= born_until_us]
        known = await self._hands.database.read("verify", calendar_objects.known_txn, ours) if ours else set()
        await self._leave([key for key in ours if key not in known], emit)

    async def _look_at_unreferred(self, found: Sequence[str], emit: Emit) -> None:
        """Rows that say an event refers to them, where none does."""
        again = [row for key in found for row in await self._rows(key)]
        await self._leave([row.key for row in again if row.event is None and not row.dropped_us], emit)

    async def _leave(self, leftovers: Sequence[str], emit: Emit) -> None:
        if not leftovers:
            return
        # What a frozen store does not know may be of a time that its database has lost.
        frozen = bool((await self._hands.database.read("verify", epochs.read_txn)).frozen_at)
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
