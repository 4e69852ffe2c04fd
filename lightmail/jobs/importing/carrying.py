"""Carrying one folder's messages into a mailbox, batch after batch, each with the note that it is here."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, succeed

from lightmail.bounded import runs
from lightmail.errors import LimitReached, NoSuchAccount, OverQuota
from lightmail.jobs.importing.ledger import Ledger
from lightmail.jobs.importing.report import FolderReport, Report
from lightmail.jobs.importing.source import Folder, Item, Left, Loaded, Source
from lightmail.model import Account, MailboxId
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.arrivals import NewMessage
from lightmail.operations.imports import bring
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, keywords
from lightmail.store.accounts import Room
from lightmail.store.cursor import Cursor
from lightmail.threads import BoundedPool

# Three batches are in memory at most: one is read, one stored, one finished and committed.
_BATCH: Final = 64
_BATCH_OCTETS: Final = 8 << 20
_PIECE: Final = 256 << 10


class Full(Exception):
    """The account has no room left."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What an import works with; `reading` is a pool of one thread, the source's own."""

    transactions: Transactions
    blobs: Blobs
    spools: Spools
    reading: BoundedPool


@dataclass(frozen=True, slots=True)
class _Stored:
    """A message whose object is stored, and whose row is not."""

    key: bytes
    message: NewMessage


class Carrier:
    """Carries messages of `folder` into `mailbox`; `said` and `report` are told what became of them."""

    def __init__(
        self,
        hands: Hands,
        account: Account,
        mailbox: MailboxId,
        source: Source,
        folder: Folder,
        ledger: Ledger,
        report: Report,
        said: FolderReport,
    ) -> None:
        self._hands = hands
        self._account = account
        self._mailbox = mailbox
        self._source = source
        self._folder = folder
        self._ledger = ledger
        self._report = report
        self._said = said
        self._full = False

    async def carry(self, items: Sequence[Item]) -> AsyncIterator[int]:
        """Bring the messages; yields how many are done with, a batch at a time. Raises Full, InUse, Unavailable."""
        octets = [item.octets for item in items]
        batches = [items[start:stop] for start, stop in runs(octets, most_octets=_BATCH_OCTETS, most=_BATCH)]
        room = await self._room()
        reading = self._read(batches[0]) if batches else None
        landing: deque[Deferred[int]] = deque()
        turn: Deferred[bool] = succeed(True)
        try:
            for number, batch in enumerate(batches):
                read, reading = reading, None
                loaded = await read if read is not None else []
                if number + 1 < len(batches):
                    reading = self._read(batches[number + 1])
                # Its objects are made while the last of the batch before are: no thread waits in between.
                storing = Deferred.fromCoroutine(self._store(loaded, room))
                mine, turn = turn, Deferred()
                landing.append(Deferred.fromCoroutine(self._land(len(batch), storing, mine, turn)))
                if len(landing) > 1:
                    yield await landing.popleft()
                if self._full:
                    break
            while landing:
                yield await landing.popleft()
        finally:
            for pending in (reading, *landing):
                if pending is not None:
                    await pending.addErrback(lambda _: None)
        if self._full:
            raise Full

    async def _land(
        self, count: int, storing: Deferred[list[_Stored]], before: Deferred[bool], after: Deferred[bool]
    ) -> int:
        """Commit a batch of `count` messages when its objects are there and the batch before is committed; its count.

        Nothing is committed behind a batch that failed: `before` says whether it did not, and `after` is told.
        """
        landed = False
        try:
            stored = await storing
            if await before:
                await self._commit(stored)
                self._said.pending -= count
                landed = True
            return count
        finally:
            after.callback(landed)

    async def _room(self) -> Room:
        """What the account's quota leaves now."""

        def read(cursor: Cursor) -> Room | None:
            (found,) = cursor.script([accounts.quotas_statement([self._account.id])])
            quota = accounts.quotas(found.rows).get(self._account.id)
            return None if quota is None else Room(quota)

        room = await self._hands.transactions.database.read("import", read)
        if room is None:
            raise NoSuchAccount
        return room

    def _read(self, batch: Sequence[Item]) -> Deferred[list[Loaded | Left]]:
        return Deferred.fromCoroutine(self._hands.reading.run(self._source.load, self._folder, batch))

    async def _store(self, loaded: Sequence[Loaded | Left], room: Room) -> list[_Stored]:
        """Make the objects, all at once: of what can be taken in, as long as there is room."""
        fitting: list[Loaded] = []
        for each in loaded:
            if isinstance(each, Left):
                self._report.leave(each, self._said)
            elif not each.octets:
                self._report.leave(Left(each.item.place, "it is empty"), self._said)
            elif self._full or not room.take(len(each.octets), 1):
                self._leave_for_quota(each.item.place)
            else:
                fitting.append(each)
        writing = [Deferred.fromCoroutine(self._write(each)) for each in fitting]
        # All of them end before the first failure is told: nobody writes on behind a run that has ended.
        answers: list[tuple[bool, Any]] = await DeferredList(writing, consumeErrors=True)
        for succeeded, answer in answers:
            if not succeeded:
                answer.raiseException()
        return [answer for _, answer in answers]

    async def _write(self, loaded: Loaded) -> _Stored:
        hands, octets = self._hands, loaded.octets
        spool = hands.spools.new()
        try:
            for start in range(0, len(octets), _PIECE):
                spool.write(octets[start : start + _PIECE])
                if spool.needs_flush:
                    await spool.flush()
            blob = await hands.blobs.write(
                spool, internaldate_us=loaded.internaldate_us, owners=[(self._account.uuid, self._mailbox)]
            )
        finally:
            spool.close()
        return _Stored(loaded.item.key, NewMessage(blob, loaded.flags, loaded.internaldate_us))

    async def _commit(self, stored: Sequence[_Stored]) -> None:
        if not stored:
            return
        try:
            await self._bring(stored)
        except OverQuota:
            # Others have used the room meanwhile. One by one, as far as they fit.
            for each in stored:
                try:
                    if self._full:
                        raise OverQuota
                    await self._bring([each])
                except OverQuota:
                    self._leave_for_quota(self._said.place)

    async def _bring(self, stored: Sequence[_Stored]) -> None:
        try:
            await self._bring_as_it_is(stored)
        except LimitReached:
            await self._bring_as_it_is(await self._with_known_keywords(stored))

    async def _bring_as_it_is(self, stored: Sequence[_Stored]) -> None:
        keys = [each.key for each in stored]
        page = self._ledger.page_with(keys)
        messages = [each.message for each in stored]
        await bring(self._hands.transactions, self._account, self._mailbox, messages, page)
        self._ledger.written(page, keys)
        self._said.brought += len(stored)
        self._report.octets += sum(message.blob.octets for message in messages)

    async def _with_known_keywords(self, stored: Sequence[_Stored]) -> list[_Stored]:
        """The messages without the keywords for which the mailbox has no room."""
        database = self._hands.transactions.database
        named = await database.read("import", keywords.keywords_txn, self._mailbox)
        known = {name.lower() for _, name in named} | keywords.FIXED_BITS.keys()
        self._report.note(f"{self._said.mailbox}: it has no room for more keywords; some messages lost theirs")
        return [
            replace(
                each,
                message=replace(
                    each.message, flags=tuple(flag for flag in each.message.flags if flag.lower() in known)
                ),
            )
            for each in stored
        ]

    def _leave_for_quota(self, place: str) -> None:
        self._full = True
        self._report.leave(Left(place, "the account is over its quota"), self._said)
