"""The days on which messages were sent: a column of an index that is read when a search first asks for it.

It is narrow enough to be kept with the index, so that every search by date after the first is one pass over an array.
Whose Date field says what never changes, so what is read once needs no invalidation.
"""

from __future__ import annotations

from array import array
from typing import Final

from lightmail.index.columns import Columns
from lightmail.mime.dates import UNDATED
from lightmail.model import ObjectId
from lightmail.store.blobs import sent_days_txn
from lightmail.store.database import Database

# Messages per query.
_AT_ONCE: Final = 1024


async def sent_days(database: Database, columns: Columns, length: int) -> array[int]:
    """The days of at least the first `length` messages; UNDATED also for one whose rendering is lost.

    Raises Unavailable.
    """
    days = columns.sent_days
    while (start := len(days)) < length:
        objects = [ObjectId(of) for of in columns.objects[start : min(start + _AT_ONCE, length)]]
        found = await database.read("sent days", sent_days_txn, objects)
        if len(days) == start:  # and no other search was faster
            days.extend([found.get(of, UNDATED) for of in objects])
    return days
