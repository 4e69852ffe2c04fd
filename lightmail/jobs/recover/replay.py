"""The journal read back: of every account, mailbox and message the newest that is told of it.

What is newest is said by what is told, not by its place: (epoch, MODSEQ) of a message or a mailbox, (epoch, meta_seq)
of an account. So a segment that was written twice, or late by a writer that had lost its lease, does no harm. A pull of
a whole mailbox that is complete ends what was known of the mailbox before: rows that it does not name are gone.

A segment that cannot be read, or is missing between two others, hides changes. What was journalled before it counts,
and so does what comes after; only that a message is unknown means no more, from there on, that it is gone
(`Certainty`).
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lightmail.jobs.journal.segments import Damaged, Head, Record, number_of, read_segment
from lightmail.jobs.recover.scratch import Scratch


@dataclass(slots=True)
class Certainty:
    """Until when the journal is known to tell everything, seen from a segment on; Unix microseconds, 0 for never.

    `rounds` are (segment, moment): what was committed before the moment stands in that segment or before it. `bad` are
    numbers of segments that are damaged or missing.
    """

    rounds: list[tuple[int, int]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def until(self, first: int) -> int:
        """The last moment before which nothing is missing in segments from `first` on."""
        place = bisect_left(self.bad, first)
        end = self.bad[place] if place < len(self.bad) else None
        return max((moment for number, moment in self.rounds if end is None or number < end), default=0)

    def settle(self) -> list[int]:
        """Once all segments are read: the numbers that are missing between them."""
        known = sorted(set(self.numbers) | set(self.bad))
        missing = [number for low, high in pairwise(known) for number in range(low + 1, high)]
        self.bad = sorted({*self.bad, *missing})
        return missing


@dataclass(slots=True)
class _Pull:
    """A pull of a mailbox that is being read; `began` is the segment of its beginning."""

    serial: int
    mailbox: int
    epoch: int
    modseq: int
    whole: bool
    began: int
    is_stale: bool
    barrier: tuple[int, int]
    rows: int = 0


_ACCOUNT = (
    "INSERT INTO account (uuid, epoch, meta_seq, address, domain, deleted_at, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (uuid) DO UPDATE SET epoch = excluded.epoch, meta_seq = excluded.meta_seq,"
    " address = excluded.address, domain = excluded.domain, deleted_at = excluded.deleted_at, record = excluded.record"
    " WHERE (excluded.epoch, excluded.meta_seq) >= (account.epoch, account.meta_seq)"
)
_MAILBOX = (
    "INSERT INTO mailbox (owner, id, epoch, modseq, deleted_at, record) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (owner, id) DO UPDATE SET epoch = excluded.epoch, modseq = excluded.modseq,"
    " deleted_at = excluded.deleted_at, record = excluded.record"
    " WHERE (excluded.epoch, excluded.modseq) >= (mailbox.epoch, mailbox.modseq)"
)
# A tombstone without an object keeps the key that its message had: it was here, and was moved.
_MESSAGE = (
    "INSERT INTO message (mailbox, uid, epoch, modseq, pull, flags, internaldate_us, saved_us, octets, object_key,"
    " deleted_at, fate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (mailbox, uid) DO UPDATE SET epoch = excluded.epoch, modseq = excluded.modseq, pull = excluded.pull,"
    " flags = excluded.flags, internaldate_us = excluded.internaldate_us, saved_us = excluded.saved_us,"
    " octets = excluded.octets, object_key = COALESCE(excluded.object_key, message.object_key),"
    " deleted_at = excluded.deleted_at, fate = excluded.fate"
    " WHERE (excluded.epoch, excluded.modseq) >= (message.epoch, message.modseq)"
)


class Replay:
    """Reads segments, in the order of their numbers, into the scratch file. Blocking."""

    def __init__(self, scratch: Scratch) -> None:
        self.certainty = Certainty()
        self.epoch = 0
        self.mailbox_ids = 0
        self._rows = scratch.rows
        self._pulls: dict[str, _Pull] = {}
        self._serial = 0
        self._directory: str | None = None

    def take(self, key: str, octets: bytes) -> str | None:
        """Read one segment; why not all of it could be read, if so."""
        number = number_of(key) or 0
        self.certainty.numbers.append(number)
        head: Head | None = None
        self._rows.execute("BEGIN")
        try:
            for record in read_segment(octets):
                if head is None:
                    head = Head.of(record)
                    self.epoch = max(self.epoch, head.epoch)
                    self.mailbox_ids = max(self.mailbox_ids, head.mailbox_ids)
                else:
                    self._apply(head, record)
        except Damaged as damage:
            return self.give_up(key, str(damage))
        except (ArithmeticError, KeyError, TypeError, ValueError, IndexError, AttributeError, sqlite3.Error) as error:
            return self.give_up(key, f"a record makes no sense ({error!r})")
        finally:
            self._rows.execute("COMMIT")
        return None

    def give_up(self, key: str, why: str) -> str:
        """Note a segment that is not whole."""
        self.certainty.bad.append(number_of(key) or 0)
        self.certainty.bad.sort()
        return why

    def finish(self) -> list[int]:
        """After the last segment: the numbers of those that are missing."""
        self._rows.execute("DELETE FROM domain WHERE directory IS NOT ?", (self._directory,))
        self._rows.execute("DELETE FROM alias WHERE directory IS NOT ?", (self._directory,))
        return self.certainty.settle()

    def _apply(self, head: Head, record: Record) -> None:
        if "rows" in record:
            self._take_rows(*record["rows"])
        elif "mailbox" in record:
            self._take_mailbox(head, record["mailbox"])
        elif "pulled" in record:
            self._end_pull(*record["pulled"])
        elif "account" in record:
            self._take_account(head, record["account"])
        elif "round" in record:
            self.certainty.rounds.append((head.number, record["round"]))
        elif "domains" in record:
            digest, domains = record["domains"]
            self._rows.executemany("INSERT OR REPLACE INTO domain VALUES (?, ?, ?, ?)", [(digest, *d) for d in domains])
        elif "aliases" in record:
            digest, aliases = record["aliases"]
            self._rows.executemany("INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", [(digest, *a) for a in aliases])
        elif "directory_end" in record:
            self._directory = record["directory_end"]

    def _take_account(self, head: Head, record: dict[str, Any]) -> None:
        address = record["address"]
        about = (address, address.rpartition("@")[2], record["deleted_at"], json.dumps(record))
        self._rows.execute(_ACCOUNT, (bytes.fromhex(record["uuid"]), head.epoch, record["meta_seq"], *about))

    def _take_mailbox(self, head: Head, record: dict[str, Any]) -> None:
        owner, id_ = bytes.fromhex(record["owner"]), record["id"]
        newest = (owner, id_, head.epoch, record["modseq"], record["deleted_at"], json.dumps(record))
        self._rows.execute(_MAILBOX, newest)
        self.mailbox_ids = max(self.mailbox_ids, id_)
        if record["pull"] in self._pulls:
            return
        number, whole_epoch, whole_modseq = self._rows.execute(
            "SELECT number, whole_epoch, whole_modseq FROM mailbox WHERE owner = ? AND id = ?", (owner, id_)
        ).fetchone()
        barrier = (whole_epoch, whole_modseq)
        self._serial += 1
        self._pulls[record["pull"]] = _Pull(
            self._serial,
            number,
            head.epoch,
            record["modseq"],
            record["whole"],
            head.number,
            (head.epoch, record["modseq"]) < barrier,
            barrier,
        )

    def _take_rows(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        pull = self._pulls.get(name)
        if pull is None:
            return  # its beginning was in a segment that is lost
        pull.rows += len(rows)
        known = pull.barrier if pull.is_stale or not pull.whole else (0, 0)
        self._rows.executemany(
            _MESSAGE,
            [
                (pull.mailbox, row[0], pull.epoch, row[1], pull.serial, *row[2:6], *_key_and_fate(row))
                for row in rows
                if (pull.epoch, row[1]) > known
            ],
        )

    def _end_pull(self, name: str, rows: int) -> None:
        pull = self._pulls.pop(name, None)
        if pull is None or pull.rows != rows or not pull.whole or pull.is_stale:
            return
        self._rows.execute(
            "DELETE FROM message WHERE mailbox = ? AND pull <> ? AND (epoch < ? OR (epoch = ? AND modseq <= ?))",
            (pull.mailbox, pull.serial, pull.epoch, pull.epoch, pull.modseq),
        )
        self._rows.execute(
            "UPDATE mailbox SET whole_epoch = ?, whole_modseq = ?, whole_since = ? WHERE number = ?",
            (pull.epoch, pull.modseq, pull.began, pull.mailbox),
        )


def _key_and_fate(row: Sequence[Any]) -> tuple[str | None, int, int | None]:
    return (row[6], 0, None) if len(row) == 7 else (row[8], row[6], row[7])
