"""An export from first to last: mailbox after mailbox, and of each what is not there yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from time import monotonic
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from lightmail.bounded import runs
from lightmail.errors import MailError, NoSuchMailbox
from lightmail.jobs.exporting.files import claim
from lightmail.jobs.exporting.message import Exported, Origin
from lightmail.model import FIXED_FLAGS, Account, Mailbox, ObjectId
from lightmail.objects.blobs import Blobs
from lightmail.store import blobs as stored_blobs
from lightmail.store import epochs, mailboxes, messages
from lightmail.store.cursor import Row
from lightmail.store.database import Database
from lightmail.store.keywords import Keywords
from lightmail.threads import BoundedPool

# A batch: so much is in memory twice at most, read and being written.
_BATCH: Final = 128
_BATCH_OCTETS: Final = 8 << 20
_NAMED: Final = 10_000


class Sink(Protocol):
    """Where an export goes. Blocking, in one thread at a time; each raises ExportError."""

    kind: str
    path: str
    notes: list[str]

    def begin(self, origin: Origin) -> Collection[int] | None:
        """Begin a mailbox: the UIDs that are there already; None where all of it is."""

    def write(self, origin: Origin, messages: Sequence[Exported]) -> None:
        """Write messages."""

    def end(self, origin: Origin) -> None:
        """The mailbox is written."""

    def finish(self, subscribed: Sequence[str]) -> None:
        """All mailboxes are; these names are subscribed to."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be written: patterns of mailbox names. `force`: into a directory that holds other things, too."""

    only: Collection[str] = ()
    without: Collection[str] = ()
    force: bool = False


@dataclass(slots=True)
class MailboxReport:
    """One mailbox: messages that were there before, written now, and left."""

    mailbox: str
    known: int = 0
    written: int = 0
    left: int = 0


@dataclass(slots=True)
class Report:
    """The whole run; `left` names what could not be written, as (mailbox and UID, reason)."""

    mailboxes: list[MailboxReport] = field(default_factory=list)
    octets: int = 0
    left_count: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def leave(self, place: str, reason: str, said: MailboxReport) -> None:
        """Count something that was not written."""
        self.left_count += 1
        said.left += 1
        if len(self.left) < _NAMED:
            self.left.append((place, reason))

    def sum(self, name: str) -> int:
        """A count over all mailboxes."""
        return sum(getattr(mailbox, name) for mailbox in self.mailboxes)

    def document(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        found = asdict(self)
        found["seconds"] = round(self.seconds, 3)
        return {**found, "known": self.sum("known"), "written": self.sum("written")}


@dataclass(frozen=True, slots=True)
class _Work:
    mailbox: Mailbox
    origin: Origin
    rows: Sequence[Row]
    names: dict[int, bytes]


async def run(
    database: Database,
    blobs: Blobs,
    writing: BoundedPool,
    account: Account,
    sink: Sink,
    options: Options,
    told: Callable[[str, int, int], None],
) -> Report:
    """Write the account's mailboxes to `sink`, whose calls run in `writing`, a pool of one thread.

    `told` hears of the mailbox, messages done, and all there are. Raises ExportError, Unavailable.
    """
    began = monotonic()
    report = Report(notes=sink.notes)
    await writing.run(claim, sink.path, sink.kind, account.uuid, force=options.force)
    found = await database.read("export", mailboxes.list_txn, account.id)
    chosen = [each for each in found if _is_chosen(each.name, options)]
    works = [work for each in chosen if (work := await _work(database, account, each)) is not None]
    done, total = 0, sum(len(work.rows) for work in works)
    for work in works:

        def heard(count: int, name: str = work.mailbox.name, before: int = done) -> None:
            told(name, before + count, total)

        await _Exporter(database, blobs, writing, account, sink, work, report).export(heard)
        done += len(work.rows)
    subscribed = await database.read("export", mailboxes.subscriptions_txn, account.id)
    await writing.run(sink.finish, [name for name in subscribed if _is_chosen(name, options)])
    report.seconds = monotonic() - began
    return report


def _is_chosen(name: str, options: Options) -> bool:
    if options.only and not any(fnmatchcase(name, pattern) for pattern in options.only):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in options.without)


async def _work(database: Database, account: Account, mailbox: Mailbox) -> _Work | None:
    try:
        whole = await epochs.read(database, "export", messages.all_txn, mailbox.id)
    except NoSuchMailbox:
        return None
    guid = hashlib.sha256(account.uuid + mailbox.id.to_bytes(8, "big")).digest()[:16]
    names = _flag_names(whole.keywords)
    keywords = tuple(name for name in names.values() if not name.startswith(b"\\"))
    origin = Origin(mailbox.name, whole.uidvalidity, whole.uidnext, guid, keywords)
    return _Work(mailbox, origin, whole.rows, names)


def _flag_names(keywords: Keywords) -> dict[int, bytes]:
    named = {bit: name for bit, name in keywords if name}
    return {**named, **dict(enumerate(FIXED_FLAGS))}


class _Exporter:
    """Writes one mailbox."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        writing: BoundedPool,
        account: Account,
        sink: Sink,
        work: _Work,
        report: Report,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._writing = writing
        self._account = account
        self._sink = sink
        self._work = work
        self._report = report
        self._said = MailboxReport(work.mailbox.name)

    async def export(self, heard: Callable[[int], None]) -> None:
        """Write what is not there yet; `heard` is told how many messages are done."""
        origin, rows = self._work.origin, self._work.rows
        self._report.mailboxes.append(self._said)
        present = await self._writing.run(self._sink.begin, origin)
        if present is None:
            self._said.known = len(rows)
            heard(len(rows))
            return
        wanted = [row for row in rows if row[1] not in present]
        self._said.known = done = len(rows) - len(wanted)
        batches = [
            wanted[start:stop]
            for start, stop in runs([row[4] for row in wanted], most_octets=_BATCH_OCTETS, most=_BATCH)
        ]
        writing: Deferred[None] | None = None
        try:
            for batch in batches:
                found = await self._read(batch)
                before, writing = writing, None
                if before is not None:
                    await before
                writing = Deferred.fromCoroutine(self._writing.run(self._sink.write, origin, found))
                self._said.written += len(found)
                self._report.octets += sum(len(each.octets) for each in found)
                done += len(batch)
                heard(done)
            before, writing = writing, None
            if before is not None:
                await before
        finally:
            if writing is not None:
                await writing.addErrback(lambda _: None)
        await self._writing.run(self._sink.end, origin)

    async def _read(self, batch: Sequence[Row]) -> list[Exported]:
        """The messages of some rows; those that cannot be had are left."""
        objects = [ObjectId(row[6]) for row in batch]
        refs = await self._database.read("export", stored_blobs.refs_txn, self._account, sorted(set(objects)))
        held = [(row, refs[ObjectId(row[6])]) for row in batch if ObjectId(row[6]) in refs]
        for row in batch:
            if ObjectId(row[6]) not in refs:
                self._leave(row, "its object has no row; see lightmail verify")
        answers = await self._blobs.read_many([(ref, 0, ref.octets) for _, ref in held])
        found: list[Exported] = []
        for (row, _), answer in zip(held, answers, strict=True):
            if isinstance(answer, MailError):
                if answer.transient:
                    raise answer
                self._leave(row, f"{answer}; see lightmail verify")
            else:
                found.append(Exported(row[1], answer, self._flags(row[3]), row[5]))
        return found

    def _leave(self, row: Row, reason: str) -> None:
        self._report.leave(f"{self._work.mailbox.name}: UID {row[1]}", reason, self._said)

    def _flags(self, bits: int) -> tuple[bytes, ...]:
        return tuple(name for bit, name in sorted(self._work.names.items()) if bits >> bit & 1)
