"""Where a message belongs of which the journal knows nothing.

An object names all (account, mailbox) it was meant for. An account that has a row of it in any mailbox, or had one, has
its message: the journal tells what became of it since. For an account that has none there are two cases.

**It came after the journal's end.** An object's rows are committed within an hour of its birth, by the database's clock
(`store.ledger` refuses others). So what was born no more than an hour before the last moment that the journal is
certain of, or later, may be a delivery that it does not know: it comes back, in the mailbox it was meant for. That of a
mailbox the journal does not know, or knows as deleted, comes back in the mailbox `Recovered` of its account. That of an
account the journal does not know comes back in an account made for its uuid, disabled, for the operator to look at.

**It is older.** The journal would know it, had it ever been in a mailbox, unless it was purged since: nothing refers to
it. It may be an orphan, whose delivery was never acknowledged, or be about to be collected. It stays in the bucket, and
the collector will find it there when it is unfrozen. `everything` has such objects come back nevertheless.

So a message that was expunged after the journal's end comes back, and one that moved after it is where it was before:
P12 promises every message at least once, not its last hour.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.jobs.recover.examine import Examined
from lightmail.jobs.recover.replay import Certainty
from lightmail.jobs.recover.scratch import Scratch
from lightmail.model import StoredBlob
from lightmail.store.sqltext import FATES_WITH_OBJECT

# What `store.ledger` allows between an object's birth and its rows.
_HOUR_US: Final = 3_600_000_000

# A row that gives an object back: alive, or to be restored, whether it was expunged or withheld.
REFERS: Final = f"(deleted_at = 0 OR fate IN {FATES_WITH_OBJECT})"
_IS_REFERRED: Final = f"SELECT 1 FROM message WHERE object_key = ? AND {REFERS} LIMIT 1"  # noqa: S608
_HAS: Final = (
    "SELECT 1 FROM message m JOIN mailbox b ON b.number = m.mailbox WHERE m.object_key = ? AND b.owner = ? LIMIT 1"
)


@dataclass(slots=True)
class Found:
    """What became of the objects of some batches: `unplaced` belong nowhere any more."""

    arrivals: int = 0
    unplaced: int = 0


class Placing:
    """Decides for objects; the journal has been read. Blocking, for the scratch file's thread."""

    def __init__(self, scratch: Scratch, certainty: Certainty, *, everything: bool) -> None:
        self.mailbox_ids = 0
        self._rows: sqlite3.Connection = scratch.rows
        self._certainty = certainty
        self._everything = everything
        first = min(certainty.numbers, default=0)
        # Without the whole of some mailbox there were segments before the first, and with them accounts perhaps.
        is_cut = scratch.count("SELECT COUNT(*) FROM mailbox WHERE whole_since IS NULL") > 0
        self._unknown_us = 0 if is_cut else self._certain_us(first)

    def _certain_us(self, first: int) -> int:
        return 0 if self._everything else max(self._certainty.until(first) - _HOUR_US, 0)

    def earliest_us(self) -> int:
        """Objects born up to this moment come back only where a row refers to them."""
        earliest = self._unknown_us
        for (since,) in self._rows.execute("SELECT DISTINCT whole_since FROM mailbox WHERE deleted_at = 0"):
            earliest = min(earliest, 0 if since is None else self._certain_us(since))
        return earliest

    def place(self, batch: Sequence[Examined]) -> tuple[list[StoredBlob], Found]:
        """Note the arrivals among the objects; those that some row will refer to."""
        wanted: list[StoredBlob] = []
        found = Found()
        self._rows.execute("BEGIN")
        for each in batch:
            if each.blob is None or each.header is None:
                continue
            arrivals = self._arrivals(each)
            for owner, mailbox in arrivals:
                about = (each.blob.born_us, each.header.internaldate_us, each.blob.octets, each.header.withheld)
                self._rows.execute(
                    "INSERT INTO arrival VALUES (?, ?, ?, ?, ?, ?, ?)", (owner, mailbox, each.key, *about)
                )
            if arrivals or self._rows.execute(_IS_REFERRED, (each.key,)).fetchone():
                wanted.append(each.blob)
            elif not self._rows.execute("SELECT 1 FROM message WHERE object_key = ? LIMIT 1", (each.key,)).fetchone():
                found.unplaced += 1
            found.arrivals += len(arrivals)
        self._rows.execute("COMMIT")
        return wanted, found

    def _arrivals(self, each: Examined) -> list[tuple[bytes, int | None]]:
        """The (account, mailbox's number in the scratch file, None for one to be made) that should get a row."""
        assert each.header is not None
        assert each.blob is not None
        places: dict[bytes, int | None] = {}
        for owner, mailbox in each.header.owners:
            self.mailbox_ids = max(self.mailbox_ids, mailbox)
            if owner in places or self._rows.execute(_HAS, (each.key, owner)).fetchone():
                continue
            account = self._rows.execute("SELECT deleted_at FROM account WHERE uuid = ?", (owner,)).fetchone()
            if account is not None and account[0]:
                continue
            known = self._rows.execute(
                "SELECT number, deleted_at, whole_since FROM mailbox WHERE owner = ? AND id = ?", (owner, mailbox)
            ).fetchone()
            number, deleted_at, since = known or (None, 0, None)
            if known is None:
                certain_us = self._unknown_us
            else:
                certain_us = 0 if since is None else self._certain_us(since)
            if each.blob.born_us > certain_us:
                places[owner] = None if deleted_at else number
        return list(places.items())
