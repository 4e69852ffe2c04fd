"""A recovery from beginning to end: the journal, the keys in the bucket, the objects, the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from lightmail.errors import Corruption
from lightmail.jobs.epochs import Epochs
from lightmail.jobs.journal.segments import SEGMENT_BOUND, directory, number_of
from lightmail.jobs.journal.writer import SHARD
from lightmail.jobs.recover.examine import Examined, Examiners, in_order
from lightmail.jobs.recover.placing import REFERS, Placing
from lightmail.jobs.recover.rebuilding import Progress, Rebuilding, Rebuilt
from lightmail.jobs.recover.replay import Replay
from lightmail.jobs.recover.scratch import Scratch
from lightmail.model import ObjectId
from lightmail.objects.backends import ObjectStore
from lightmail.objects.keys import PREFIX, born_us
from lightmail.operations import recovery
from lightmail.operations.transactions import Transactions
from lightmail.threads import BoundedPool

_KEYS_AT_ONCE: Final = 1000
_BATCH: Final = 32
# What a report names one by one; how many there are it says in any case.
_LISTED: Final = 10_000


@dataclass(slots=True)
class Report:
    """What a recovery found and wrote. `certain_until_us` is the moment up to which the journal tells everything.

    `damaged_segments` are [key, why], `missing_segments` numbers; `damaged` and `missing` objects that messages need,
    the first 10,000 of each by key; `unplaced` objects belong to no mailbox any more, and stay in the bucket.
    """

    segments: int = 0
    certain_until_us: int = 0
    damaged_segments: list[list[str]] = field(default_factory=list)
    missing_segments: list[int] = field(default_factory=list)
    objects: int = 0
    foreign_keys: int = 0
    examined: int = 0
    damaged_objects: int = 0
    damaged: list[str] = field(default_factory=list)
    missing_objects: int = 0
    missing: list[str] = field(default_factory=list)
    arrivals: int = 0
    unplaced: int = 0
    seconds: float = 0.0
    rebuilt: Rebuilt | None = None

    def pack(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Recovery:
    """Reads what a bucket knows, and writes it into an empty database.

    `pool` reads objects; `scribe` has one thread, for the scratch file. `progress` is told (stage, done, total), in the
    reactor's thread. Methods raise Unavailable when the object store or the database does not answer for long.
    """

    def __init__(
        self,
        store: ObjectStore,
        examiners: Examiners,
        pool: BoundedPool,
        scribe: BoundedPool,
        scratch: Scratch,
        progress: Progress,
        *,
        everything: bool = False,
    ) -> None:
        self.report = Report()
        self._store = store
        self._examiners = examiners
        self._pool = pool
        self._scribe = scribe
        self._scratch = scratch
        self._progress = progress
        self._everything = everything
        self._replay = Replay(scratch)

    async def rehearse(self) -> Report:
        """Read everything, and write nothing."""
        placing = await self._read()
        await self._examine(placing, None)
        return self.report

    async def run(self, tx: Transactions) -> Report:
        """Read everything and write it. Raises StartupError unless the database is empty."""
        await recovery.require_empty(tx.database)
        began = tx.seconds()
        placing = await self._read()
        await self._claim(tx)
        await self._examine(placing, tx)
        highest = max(self._replay.mailbox_ids, placing.mailbox_ids)
        number = max(self._replay.certainty.numbers, default=0) + 1
        rebuilding = Rebuilding(tx, self._scratch, self._scribe, highest, number)
        await rebuilding.run(self._progress)
        self.report.rebuilt = rebuilding.result
        self.report.seconds = round(tx.seconds() - began, 3)
        return self.report

    async def _claim(self, tx: Transactions) -> None:
        """Make the database the bucket's own, of a higher epoch than all before it, with its collection frozen."""
        await recovery.begin(tx, self._replay.epoch + 1)
        await Epochs(tx.database, self._store, self._pool).check()
        # Once more: what the comparison with the bucket gave as its reason is not the whole of it.
        await recovery.freeze(tx)

    async def _read(self) -> Placing:
        """The journal, and which objects there are."""
        report = self.report
        keys = [key async for page in self._keys(directory(SHARD)) for key in page if number_of(key) is not None]
        for done, key in enumerate(keys):
            why = await self._read_segment(key)
            if why is not None:
                report.damaged_segments.append([key, why])
            self._progress("journal", done + 1, len(keys))
        report.segments = len(keys)
        report.missing_segments = await self._scribe.run(self._replay.finish)
        await self._scribe.run(self._scratch.index)
        async for page in self._keys(PREFIX):
            known, foreign = _with_births(page)
            report.foreign_keys += foreign
            report.objects += len(known)
            await self._scribe.run(self._note_objects, known)
            self._progress("objects", report.objects, 0)
        certainty = self._replay.certainty
        report.certain_until_us = certainty.until(min(certainty.numbers, default=0))
        await self._scribe.run(self._note_missing)
        return await self._scribe.run(Placing, self._scratch, certainty, everything=self._everything)

    async def _read_segment(self, key: str) -> str | None:
        """Read one segment into the scratch file; why not all of it, if so."""
        try:
            octets = await self._pool.run(self._store.read, key, 0, SEGMENT_BOUND)
        except Corruption:
            return await self._scribe.run(self._replay.give_up, key, "it is missing")
        return await self._scribe.run(self._replay.take, key, octets)

    async def _keys(self, prefix: str) -> AsyncIterator[list[str]]:
        after = ""
        while True:
            page = await self._pool.run(self._store.keys, prefix, after, _KEYS_AT_ONCE)
            yield page
            if len(page) < _KEYS_AT_ONCE:
                return
            after = page[-1]

    def _note_objects(self, known: Sequence[tuple[str, int]]) -> None:
        rows = self._scratch.rows
        rows.execute("BEGIN")
        rows.executemany("INSERT OR IGNORE INTO object (object_key, born_us) VALUES (?, ?)", known)
        rows.execute("COMMIT")

    def _note_missing(self) -> None:
        """Objects that live messages need, and that the bucket does not have."""
        missing = self._scratch.rows.execute(
            "SELECT DISTINCT object_key FROM message WHERE deleted_at = 0 AND object_key IS NOT NULL"
            " AND object_key NOT IN (SELECT object_key FROM object)"
        )
        for (key,) in missing:
            self.report.missing_objects += 1
            if len(self.report.missing) < _LISTED:
                self.report.missing.append(key)

    async def _examine(self, placing: Placing, tx: Transactions | None) -> None:
        """Read the objects that are needed; with `tx`, write their rows."""
        report = self.report
        wanted = _Wanted(self._scratch, await self._scribe.run(placing.earliest_us))
        total = await self._scribe.run(wanted.total)

        async def more() -> Sequence[str]:
            return await self._scribe.run(wanted.take)

        async for batch in in_order(more, self._examiners.examine, self._examiners.at_once):
            self._note_trouble(batch)
            blobs, found = await self._scribe.run(placing.place, batch)
            report.arrivals += found.arrivals
            report.unplaced += found.unplaced
            if tx is not None and blobs:
                ids = await recovery.add_objects(tx, blobs)
                await self._scribe.run(self._note_ids, ids)
            report.examined += len(batch)
            self._progress("messages", report.examined, total)
        report.unplaced += await self._scribe.run(wanted.others)

    def _note_trouble(self, batch: Sequence[Examined]) -> None:
        for each in batch:
            if each.trouble is not None:
                self.report.damaged_objects += 1
                if len(self.report.damaged) < _LISTED:
                    self.report.damaged.append(each.key)

    def _note_ids(self, ids: Mapping[str, ObjectId]) -> None:
        rows = self._scratch.rows
        rows.execute("BEGIN")
        rows.executemany("UPDATE object SET id = ? WHERE object_key = ?", [(id_, key) for key, id_ in ids.items()])
        rows.execute("COMMIT")


class _Wanted:
    """The objects to read: those that messages refer to, and those that may have come after the journal's end."""

    def __init__(self, scratch: Scratch, earliest_us: int) -> None:
        self._rows = scratch.rows
        self._earliest = earliest_us
        self._after = ""

    _WHERE: Final = (
        "FROM object o WHERE o.object_key > ? AND (o.born_us > ? OR EXISTS"  # noqa: S608
        f" (SELECT 1 FROM message m WHERE m.object_key = o.object_key AND {REFERS}))"
    )

    def total(self) -> int:
        """How many there are."""
        return int(self._rows.execute(f"SELECT COUNT(*) {self._WHERE}", ("", self._earliest)).fetchone()[0])

    def take(self) -> list[str]:
        """The next ones by key."""
        sql = f"SELECT o.object_key {self._WHERE} ORDER BY o.object_key LIMIT {_BATCH}"
        keys = [row[0] for row in self._rows.execute(sql, (self._after, self._earliest))]
        self._after = keys[-1] if keys else self._after
        return keys

    def others(self) -> int:
        """How many objects are left, and unknown to the journal altogether."""
        found = self._rows.execute(
            "SELECT COUNT(*) FROM object o WHERE o.born_us <= ? AND NOT EXISTS"
            " (SELECT 1 FROM message m WHERE m.object_key = o.object_key)",
            (self._earliest,),
        )
        return int(found.fetchone()[0])


def _with_births(keys: Sequence[str]) -> tuple[list[tuple[str, int]], int]:
    """Object keys with the moments of their births, and how many keys are no object's."""
    known: list[tuple[str, int]] = []
    for key in keys:
        with suppress(Corruption):
            known.append((key, born_us(key)))
    return known, len(keys) - len(known)
