"""Epochs: finding out that the database is not the one that its bucket knows, before that costs anything.

The row of `collection` holds a *mark*: a random lineage, an epoch, the number of collector passes, and the moment of
the last one. ``meta/epoch`` in the bucket is a copy of it. A database that was restored from a backup, or that lost its
tail in a failover, has an older mark than its bucket, and everything that it forgot looks like garbage to it.

**What is concluded** from the two marks, the bucket's read first:

=========  ================================================  =======================================================
LEVEL      same lineage, the bucket not ahead                all is well. The bucket may be behind: see below
FRESH      the bucket has none, the database made no pass    the first start, or an upgrade: the bucket gets a copy
BEHIND     same lineage, the bucket is ahead; or it has a    frozen, and the epoch rises
           mark and the database has no lineage
FOREIGN    another lineage                                   frozen, and the epoch rises, unless it is frozen already
LOST       the bucket has none, the database made passes     frozen
=========  ================================================  =======================================================

**Which is written first.** The database, by compare-and-set; then the bucket gets a copy of the row as it is. A crash
between the two leaves the bucket behind its database, which means nothing. The other way round a crash would leave the
database behind, and raise the alarm. Nothing is collected in a pass whose mark the bucket did not take.

**Why a bucket that is behind means nothing.** Besides a crash, a slow PUT of one collector may arrive after the next
one's: it sets the bucket back by some passes, until the next pass, and until then a lost tail of just those passes
would go unnoticed. No conditional PUT is needed for more than that. A bucket restored from a copy is behind, too: it
has lost objects, which `lightmail verify` finds, and none that it has is in danger.

**Why the bucket is read first.** Every mark in the bucket stood in the row before. So a row read later is never behind
by a race: whatever others do meanwhile only moves it forward. For the same reason LOST is believed only when the
bucket, asked again after the row, still has none: a database makes its first pass only after the bucket took a copy.

**Clocks** decide nothing: passes are counted, and the moment of a pass is made to ascend in the database itself. It is
there to tell the same number of two copies of one database apart.

**Two databases at one bucket** (a copy for trials, say) share the lineage. The first one that passes gets ahead of the
other, which is then BEHIND, and takes a lineage of its own, which the bucket gets: now the first finds it FOREIGN.
Both are frozen, each other's mail is safe from both, and it is for an operator to say which one the bucket belongs to.
A frozen database still counts passes and writes its mark, so the one that is unfrozen while the other still runs is
frozen again. It does not raise its epoch again for a FOREIGN mark: the two would drive each other through all UIDs.

**A bucket without a mark** whose database made passes is the wrong bucket, or one that was emptied. In the wrong one
all objects look like orphans, so that is no reason to go on; the epoch stays, as nothing says that rows were lost.

**The alarm** is one transaction that freezes and makes the row the new mark (compare-and-set: of several processes that
see it, one wins); then the bucket gets its copy; then `store.epoch` rises to it, and mailboxes jump (`store.epochs`).
The bucket comes before `store.epoch`: should the same backup be restored once more, the jump must be another one, or
UIDs of the time between would be given out again. A crash before either is made good by the next look: `mark.epoch`
above `store_epoch` says that they are still to come.

**What the marks cannot show** is a lost tail without a pass in it, less than a round of the collector long; where none
runs, servers count a pass every ten minutes. It endangers no object: nothing is deleted within a day of its
condemnation, and a pass is never a day away. But UIDs of it could come back. So servers notice themselves when a
mailbox is below a MODSEQ that they have read of it (`lost_tail`), and the journal when the bucket has more segments
than the database knows of (`lost_marks`): either raises the same alarm.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from lightmail.errors import MailError, Unavailable
from lightmail.metrics import COLLECTION_FROZEN, STORE_EPOCH
from lightmail.model import MailboxId
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.operations import epochs as operations
from lightmail.store import epochs
from lightmail.store.database import Database
from lightmail.store.epochs import Collection, Mark
from lightmail.threads import BoundedPool

log = Logger()

KEY: Final = "meta/epoch"
_FORMAT: Final = 1
_MARK_OCTETS: Final = 4096
# Others that pass at the same moment make us look again so many times at most.
_TRIES: Final = 10
_REMIND_SECONDS: Final = 3600.0
_SILENCE_US: Final = 600_000_000


class Verdict(Enum):
    """What two marks say; the table above."""

    LEVEL = "level"
    FRESH = "fresh"
    BEHIND = "behind"
    FOREIGN = "foreign"
    LOST = "lost"


# Why collection is frozen, for the operator who asks.
REASONS: Final = {
    Verdict.BEHIND: "the database is behind its bucket: it was restored from a backup, or lost its tail in a failover",
    Verdict.FOREIGN: "another database uses this bucket, or this one was restored from an old backup",
    Verdict.LOST: "the bucket has no meta/epoch: it was emptied, or it is not the bucket of this database",
}


@dataclass(frozen=True, slots=True)
class EpochStatus:
    """For operators: times in Unix microseconds UTC, `frozen_at` 0 while collection is allowed."""

    epoch: int
    passes: int
    high_water_us: int
    frozen_at: int
    frozen_reason: str


def compare(ours: Mark, theirs: Mark | None) -> Verdict:
    """What the database's mark and the bucket's (None: it has none) say together."""
    if theirs is None:
        return Verdict.LOST if ours.passes else Verdict.FRESH
    if not ours.lineage:
        return Verdict.BEHIND
    if ours.lineage != theirs.lineage:
        return Verdict.FOREIGN
    if theirs.passes > ours.passes or (theirs.passes == ours.passes and theirs.high_water_us != ours.high_water_us):
        return Verdict.BEHIND
    return Verdict.LEVEL


def encode(mark: Mark) -> bytes:
    """The octets of ``meta/epoch``."""
    fields = {
        "format": _FORMAT,
        "lineage": mark.lineage.hex(),
        "epoch": mark.epoch,
        "passes": mark.passes,
        "high_water_us": mark.high_water_us,
    }
    return json.dumps(fields).encode("ascii") + b"\n"


def decode(octets: bytes) -> Mark:
    """The mark in ``meta/epoch``. Raises ValueError for what none of ours wrote."""
    try:
        fields = json.loads(octets)
        version, *numbers = [fields[name] for name in ("format", "epoch", "passes", "high_water_us")]
        if not all(type(number) is int and 0 <= number < 1 << 63 for number in (version, *numbers)):
            raise ValueError("a number that is none")
        if version != _FORMAT:
            raise ValueError(f"format {version}")
        return Mark(bytes.fromhex(fields["lineage"]), *numbers)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a mark: {error}") from None


class Epochs:
    """Compares the database with its bucket, and moves both forward. See the module for the argument."""

    def __init__(self, database: Database, store: ObjectStore, pool: BoundedPool) -> None:
        self._database = database
        self._store = store
        self._pool = pool
        self._reminded: float | None = None
        self._epoch = 0
        self._raised: list[Callable[[], None]] = []

    def when_raised(self, call: Callable[[], None]) -> None:
        """Have `call` made whenever this process learns that the store's epoch is another than it was."""
        self._raised.append(call)

    async def established(self) -> bool:
        """Whether the database has ever met its bucket. Raises Unavailable."""
        row = await self._database.read("epoch", epochs.read_txn)
        return row.mark.lineage != b""

    async def begin_pass(self) -> bool:
        """Count a pass of the collector; whether it may collect: False while frozen, without anything to do.

        Raises Unavailable when the database or the bucket does not take the mark: then there is no pass.
        """
        for _ in range(_TRIES):
            seen = await self._examine()
            if await operations.advance(self._database, seen.mark):
                break
        else:
            raise Unavailable
        row = await self._publish()
        self._tell(row)
        return not row.frozen_at

    async def check(self) -> None:
        """Compare, and freeze where there is reason to. What does not answer is logged, and compared the next time."""
        try:
            await self.compare()
        except MailError as error:
            log.warn("the database could not be compared with its bucket: {error}", error=error)
        except CancelledError:
            log.warn("the database could not be compared with its bucket in time; this is done later")

    async def compare(self) -> None:
        """As `check`; counts a pass where no collector has for a while, as none may be running. Raises Unavailable."""
        row = await self._examine()
        if time.time() * 1e6 - row.mark.high_water_us > _SILENCE_US:
            await operations.advance(self._database, row.mark)
            row = await self._publish()
        self._tell(row)

    async def lost_tail(self, mailbox: MailboxId, modseq: int) -> None:
        """Find out whether a mailbox that seems to be below a MODSEQ it once had is, and raise the alarm if so.

        Raises Unavailable.
        """
        if await operations.is_behind(self._database, mailbox, modseq):
            await self._raise_alarm()

    async def lost_marks(self, epoch: int) -> None:
        """The journal found that the database has forgotten what it committed under `epoch`: raise the alarm, unless
        the store is above that epoch by now.

        Raises Unavailable.
        """
        for _ in range(_TRIES):
            if (await self._database.read("epoch", epochs.read_txn)).store_epoch > epoch:
                return
            await self._raise_alarm()
        raise Unavailable

    async def _raise_alarm(self) -> None:
        """Freeze and raise the epoch, for what the marks cannot show; nothing where that is under way already."""
        theirs = await self._pool.run(self._read_mark)
        row = await self._database.read("epoch", epochs.read_txn)
        if row.mark.epoch <= row.store_epoch:
            await self._alarm(Verdict.BEHIND, row, theirs if theirs is not None else row.mark)
        await self.compare()

    async def unfreeze(self) -> None:
        """Let the collector work again, on an operator's word that this is the bucket's only database.

        The bucket must take the database's mark first. Raises Unavailable.
        """
        for _ in range(_TRIES):
            seen = await self._examine(unfreezing=True)
            if not await operations.advance(self._database, seen.mark):
                continue
            published = await self._publish()
            if await operations.unfreeze(self._database, published.mark):
                return
        raise Unavailable

    async def status(self) -> EpochStatus:
        """How far the collector came, and whether it is frozen. Raises Unavailable."""
        row = await self._database.read("epoch", epochs.read_txn)
        mark = row.mark
        return EpochStatus(row.store_epoch, mark.passes, mark.high_water_us, row.frozen_at, row.frozen_reason)

    async def _examine(self, *, unfreezing: bool = False) -> Collection:
        """Compare, do what follows, and return the row as it is then."""
        for _ in range(_TRIES):
            theirs = await self._pool.run(self._read_mark)
            row = await self._database.read("epoch", epochs.read_txn)
            verdict = compare(row.mark, theirs)
            if verdict is Verdict.LOST and await self._pool.run(self._read_mark) is not None:
                continue
            if verdict is Verdict.FRESH:
                await operations.adopt(self._database, os.urandom(16))
                return await self._publish()
            if _is_alarm(verdict, row) or (unfreezing and verdict is Verdict.FOREIGN):
                await self._alarm(verdict, row, theirs)
                continue
            if row.mark.epoch > row.store_epoch:
                await self._raise_epoch()
                continue
            return row
        raise Unavailable

    async def _alarm(self, verdict: Verdict, row: Collection, theirs: Mark | None) -> None:
        claim = _claim(verdict, row, theirs)
        if await operations.claim(self._database, row.mark, claim, REASONS[verdict]):
            log.critical(
                "garbage collection is frozen: {reason}. Read docs/epochs.md before `lightmail gc unfreeze`."
                " The database is at pass {ours}, its bucket at {theirs}",
                reason=REASONS[verdict],
                ours=row.mark.passes,
                theirs="none" if theirs is None else theirs.passes,
            )
        await self._publish()

    async def _raise_epoch(self) -> None:
        row = await self._publish()
        if await operations.raise_to(self._database, row.mark.epoch):
            log.warn(
                "the store's epoch is {epoch} now: mailboxes continue with higher UIDs and modification sequences",
                epoch=row.mark.epoch,
            )

    async def _publish(self) -> Collection:
        """Have the bucket take a copy of the row as it is now; the row."""
        row = await self._database.read("epoch", epochs.read_txn)
        await self._pool.run(self._store.put, KEY, encode(row.mark))
        return row

    def _read_mark(self) -> Mark | None:
        try:
            return decode(self._store.read(KEY, 0, _MARK_OCTETS))
        except ObjectMissing:
            return None
        except ValueError as error:
            log.error("{key} in the bucket cannot be read: {error}", key=KEY, error=error)
            raise Unavailable from None

    def _tell(self, row: Collection) -> None:
        if self._epoch not in (0, row.store_epoch):
            for call in self._raised:
                call()
        self._epoch = row.store_epoch
        STORE_EPOCH.set(row.store_epoch)
        COLLECTION_FROZEN.set(1 if row.frozen_at else 0)
        now: float = self._database.reactor.seconds()
        if not row.frozen_at:
            if self._reminded is not None:
                log.info("garbage collection is no longer frozen")
            self._reminded = None
        elif self._reminded is None or now - self._reminded >= _REMIND_SECONDS:
            self._reminded = now
            log.warn(
                "garbage collection is frozen: {reason}; nothing is deleted until `lightmail gc unfreeze`",
                reason=row.frozen_reason,
            )


def _is_alarm(verdict: Verdict, row: Collection) -> bool:
    if verdict is Verdict.BEHIND:
        return True
    return verdict in (Verdict.FOREIGN, Verdict.LOST) and not row.frozen_at


def _claim(verdict: Verdict, row: Collection, theirs: Mark | None) -> Mark:
    """The mark that the row takes with an alarm: above both, and of a new lineage where rows may have been lost."""
    ours = row.mark
    if verdict is Verdict.LOST or theirs is None:
        return Mark(ours.lineage, ours.epoch, ours.passes + 1, ours.high_water_us + 1)
    return Mark(
        os.urandom(16),
        max(ours.epoch, row.store_epoch, theirs.epoch) + 1,
        max(ours.passes, theirs.passes) + 1,
        max(ours.high_water_us, theirs.high_water_us) + 1,
    )
