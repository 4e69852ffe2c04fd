"""Objects that nothing refers to: condemned, looked at once more, forgotten; and orphans, which first get a row.

The invariant (P4): an object that a row of `messages` refers to, live or undeletable, is never deleted. It rests on
four rules, under READ COMMITTED, where every statement sees what was committed before it began:

1. Whoever makes a row refer to an object that has a row already (COPY, MOVE, restoring, a shared delivery) first
   locks the object's row and finds it LIVE. Whoever makes an object's row makes its first reference with it, in one
   transaction, so no LIVE row without a reference is ever visible for that reason.
2. Whoever condemns holds the object's row locked FOR UPDATE, and *then* looks for references, in a statement of its
   own. One statement for both would not do: its view of `messages` would date from before it had to wait for the lock.
3. CONDEMNED is left only towards LIVE, by `acquit`, and only where there is a reference.
4. The object is deleted only after a transaction that began with it CONDEMNED, and found nothing that refers to it,
   was committed; and its row goes after it.

What can interleave, on one object O with one collector C:

- *COPY has its share lock first*: C waits at rule 2's lock, and then sees COPY's row. O stays LIVE.
- *C has its lock first*: COPY waits, then finds O CONDEMNED and refuses (Corruption). C found no reference, so the row
  that COPY copies from had gone before, and COPY's answer would have been that the message is gone.
- *Two purges drop the last two references at once*: each deletes its row before it asks for O's lock. The later to get
  the lock sees both gone, and condemns; the earlier one saw the other's row, and left O alone. Neither is lost.
- *A delivery commits while C looks*: O's row is new, C cannot have it among its candidates before the reference is
  visible with it.
- *Two collectors*: the second finds O no longer in the state it wants, and does nothing; deleting twice is harmless
  (an object that is absent counts as deleted), and so is forgetting twice. So no lease is needed.
- *A crash* between any two steps leaves O CONDEMNED, with or without its object; the next pass goes on from there.
- *An orphan's PUT is only late*: its transaction is refused an hour after the key's birth (`store.ledger`), the
  collector comes `grace_hours` after it. Were both clocks wrong, the unique key of `objects` decides: either the
  reference comes first and the collector finds the key known, or quarantine does and the delivery fails, transiently.

Object rows are locked in ascending order after all mailboxes, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from lightmail.model import ObjectId, ObjectState
from lightmail.objects import keys
from lightmail.store import collection
from lightmail.store.collection import Doomed, Orphan
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import Conflict, DuplicateKey

log = Logger()


@dataclass(frozen=True, slots=True)
class Looked:
    """What the last look found: objects to delete, and how many had to be made LIVE again."""

    doomed: list[Doomed]
    acquitted: int


def condemn_txn(
    cursor: Cursor, objects: Sequence[ObjectId], state: ObjectState, now_us: int, reason: str
) -> list[ObjectId]:
    """Part of a transaction: condemn those of `objects` that are in `state` and that nothing refers to; which."""
    wanted = sorted(set(objects))
    if not wanted:
        return []
    locked, referred = collection.lock_txn(cursor, wanted, state)
    condemned = sorted(locked - referred)
    if condemned:
        collection.condemn_txn(cursor, condemned, now_us, reason)
    return condemned


async def condemn(database: Database, objects: Sequence[ObjectId], state: ObjectState, now_us: int, reason: str) -> int:
    """Condemn those of `objects` that are in `state` and that nothing refers to; how many. Raises Unavailable."""
    return len(await database.run("condemn", condemn_txn, objects, state, now_us, reason))


async def last_look(database: Database, objects: Sequence[ObjectId]) -> Looked:
    """Make sure of condemned objects whose time has come. One that is referred to, against the invariant, is acquitted.

    Rows of `condemned` whose object is not there any more are removed. Raises Unavailable.
    """
    looked = await database.run("last-look", last_look_txn, objects)
    if looked.acquitted:
        log.critical(
            "{count} condemned objects are referred to by messages, and are kept: run `lightmail verify`",
            count=looked.acquitted,
        )
    return looked


def last_look_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> Looked:
    wanted = sorted(set(objects))
    locked, referred = collection.lock_txn(cursor, wanted, ObjectState.CONDEMNED)
    guiltless = sorted(locked & referred)
    if guiltless:
        collection.acquit_txn(cursor, guiltless)
    doomed = collection.doomed_txn(cursor, wanted)
    gone = sorted(set(wanted) - {object_.id for object_ in doomed})
    if gone:
        collection.forget_txn(cursor, gone)
    condemned = locked - referred
    return Looked([object_ for object_ in doomed if object_.id in condemned], len(guiltless))


async def forget(database: Database, objects: Sequence[ObjectId]) -> None:
    """Remove the rows of condemned objects that have been deleted from the store. Raises Unavailable."""
    await database.run("forget-objects", collection.forget_txn, objects)


async def acquit(database: Database, objects: Sequence[ObjectId]) -> int:
    """Make LIVE those of `objects` that are CONDEMNED or QUARANTINED though messages refer to them; how many.

    For a repair: the collector never brings this about. Raises Unavailable.
    """
    return await database.run("acquit", _acquit_txn, objects)


def _acquit_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> int:
    wanted = sorted(set(objects))
    acquitted: set[ObjectId] = set()
    for state in (ObjectState.QUARANTINED, ObjectState.CONDEMNED):
        locked, referred = collection.lock_txn(cursor, wanted, state)
        acquitted |= locked & referred
    if acquitted:
        collection.acquit_txn(cursor, sorted(acquitted))
    return len(acquitted)


async def note(database: Database, objects: Sequence[ObjectId], now_us: int) -> None:
    """Begin the time of objects that are not LIVE and that nobody noted. Raises Unavailable."""
    await database.run("note-objects", _note_txn, objects, now_us)


def _note_txn(cursor: Cursor, objects: Sequence[ObjectId], now_us: int) -> None:
    for state in (ObjectState.QUARANTINED, ObjectState.CONDEMNED):
        locked, _ = collection.lock_txn(cursor, sorted(objects), state)
        if locked:
            collection.note_txn(cursor, sorted(locked), now_us)


async def quarantine(database: Database, key: str, stored_octets: int, reason: str) -> None:
    """Give an object that has no row one, QUARANTINED; nothing happens where it has a row by now.

    `stored_octets` is its size in the store; what it holds stays unknown until somebody reads it. Raises Corruption
    for what is no object key, Unavailable.
    """
    now_us = await database.read("clock", collection.clock_txn)
    await quarantine_all(database, [orphan(key, stored_octets)], now_us, reason)


def orphan(key: str, stored_octets: int) -> Orphan:
    """An object that has no row. Raises Corruption for what is no object key."""
    return Orphan(key, stored_octets, keys.codecs_of(key)[0], keys.born_us(key))


async def quarantine_all(database: Database, orphans: Sequence[Orphan], now_us: int, reason: str) -> int:
    """Give orphans rows, QUARANTINED since `now_us`; how many were new. Raises Unavailable."""
    if not orphans:
        return 0
    return await database.run("quarantine", quarantine_txn, orphans, now_us, reason)


def quarantine_txn(cursor: Cursor, orphans: Sequence[Orphan], now_us: int, reason: str) -> int:
    try:
        return collection.quarantine_txn(cursor, orphans, now_us, reason)
    except DuplicateKey:
        # Somebody gives one of them a row at this moment: seen for what it is when this runs again.
        raise Conflict("twin") from None
