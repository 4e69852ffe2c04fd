"""Blobs as the reactor's thread sees them: written from spools, read in ranges, each with one hand-off to a thread."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

from lightmail.errors import MailError, Unavailable
from lightmail.metrics import DELIVERY_STAGE
from lightmail.model import BlobRef, MailboxId, StoredBlob
from lightmail.objects.ahead import SMALL_OCTETS, Ahead, Following, Room
from lightmail.objects.backends import ObjectStore
from lightmail.objects.cache import DiskCache, MemoryCache, cache_name
from lightmail.objects.reading import BlobReader, piece_octets
from lightmail.objects.spool import Spool
from lightmail.objects.writers import Writers
from lightmail.objects.writing import BlobWriter
from lightmail.threads import BoundedPool

# Over a network many small reads are shared out between so many threads; a disk serves one thread as well as four.
_HANDS: Final = 4
# Blobs up to this size may be stored on a disk by the very thread that commits their rows.
_ALONE_OCTETS: Final = 256 << 10
# Bodies up to this size are kept in memory; so is any piece of which a client asks for a small part, since phones read
# an attachment in pieces of 10 KB and each would else expand the same 1 MiB again.
_BODY_OCTETS: Final = SMALL_OCTETS
# The place of a read that nobody has asked for yet.
_AHEAD: Final = -1


class Blobs:
    """The blobs of an object store. Methods belong to the reactor's thread; the work is done in `pool`.

    Small blobs are written by `writers` instead, where there are such processes and as long as they are of use.
    `codec` and `level` are for what is written; whatever codec an object has can be read. `memory` and `cache` keep
    expanded pieces; `clock` tells Unix seconds, for keys; `directory` holds temporary files while large blobs are
    compressed.
    """

    def __init__(
        self,
        store: ObjectStore,
        pool: BoundedPool,
        *,
        codec: str = "zstd",
        level: int = 3,
        cache: DiskCache | None = None,
        memory: MemoryCache | None = None,
        clock: Callable[[], float] = time.time,
        directory: str | None = None,
        writers: Writers | None = None,
    ) -> None:
        self._pool = pool
        self._writers = writers
        self._writer = BlobWriter(store, codec, level, directory)
        self._reader = BlobReader(store, cache)
        self._memory = memory if memory is not None else MemoryCache(0)
        self._hands = _HANDS if store.remote else 1
        self._room = Room()
        self._clock = clock
        self._alone_octets = 0 if store.remote else _ALONE_OCTETS
        self._writing = 0
        self._spooled = DELIVERY_STAGE.labels("spool")

    async def write(
        self,
        spool: Spool,
        *,
        internaldate_us: int,
        owners: Sequence[tuple[bytes, MailboxId]],
        prepend: bytes = b"",
    ) -> StoredBlob:
        """Store `prepend` and the octets of `spool` as one object, rendered.

        `owners` are the (account uuid, mailbox) it is meant for, which the object names. The spool may be written
        again, with another `prepend`, and stays its maker's to close. SpoolFull or Unavailable when that fails.
        """
        return await self.making(spool, internaldate_us=internaldate_us, owners=owners, prepend=prepend).stored()

    def making(
        self,
        spool: Spool,
        *,
        internaldate_us: int,
        owners: Sequence[tuple[bytes, MailboxId]],
        prepend: bytes = b"",
        withheld: bool = False,
    ) -> Making:
        """As `write`, for whoever chooses in which thread it is done. `withheld`: the object says so of itself."""
        self._spooled.observe(spool.seconds)
        return Making(self, spool, int(self._clock() * 1_000_000), internaldate_us, owners, prepend, withheld)

    async def _write(self, making: Making) -> StoredBlob:
        self._writing += 1
        try:
            # The writer processes are not told of what is withheld, which is rare.
            writers = None if making.withheld else self._writers
            if writers is not None and (octets := making.spool.in_memory()) is not None:
                stored = await writers.write(
                    [making.prepend, octets],
                    now_us=making.born_us,
                    internaldate_us=making.internaldate_us,
                    owners=making.owners,
                )
                if stored is not None:
                    return stored
            return await self._pool.run(self._write_here, making)
        finally:
            self._writing -= 1

    def _write_here(self, making: Making) -> StoredBlob:
        with making.spool.open(making.prepend) as blob:
            return self._writer.write(
                blob,
                making.octets,
                now_us=making.born_us,
                internaldate_us=making.internaldate_us,
                owners=making.owners,
                withheld=making.withheld,
            )

    async def read(self, ref: BlobRef, start: int = 0, stop: int | None = None) -> bytes:
        """Octets `start` to `stop` (None: its end) of a blob; fewer where it ends before. Corruption or Unavailable.

        The caller bounds how much it asks for at once; `chunks` serves the rest.
        """
        (result,) = await self.read_many([(ref, start, ref.octets if stop is None else stop)])
        if isinstance(result, MailError):
            raise result
        return result

    def read_blocking(self, ref: BlobRef) -> bytes:
        """The whole of a blob, read in the caller's thread: for contracts of others that cannot wait."""
        return self._reader.read(ref, 0, ref.octets)

    def ahead(self) -> Ahead:
        """Where one session keeps what is read ahead for it; its to close."""
        return Ahead(self._room)

    @property
    def ahead_octets(self) -> int:
        """Octets that are held ahead for all sessions together."""
        return self._room.held

    async def read_many(
        self,
        wanted: Sequence[tuple[BlobRef, int, int]],
        ahead: Ahead | None = None,
        following: Following | None = None,
    ) -> list[bytes | MailError]:
        """The octets of many ranges, in their order, or why one cannot be had; the caller bounds their sum.

        What is not in memory takes one hand-off, or a few when the store is a network away. Some of what `following`
        tells of is read along with it, and held in `ahead`.
        """
        results: list[bytes | MailError] = [b""] * len(wanted)
        missing: list[_Read] = []
        for place, (ref, start, stop) in enumerate(wanted):
            start, stop = max(start, 0), min(stop, ref.octets)
            if start >= stop:
                continue
            read = self._plan(place, ref, start, stop)
            kept = self._at_hand(read, ahead)
            if kept is None:
                missing.append(read)
            else:
                results[place] = kept
        if missing and ahead is not None and following is not None:
            missing += self._more(ahead, await following(), sum(read.stop - read.start for read in missing))
        for read, data in await self._fetch(missing):
            if read.place == _AHEAD:
                if ahead is not None and isinstance(data, bytes):
                    ahead.hold(read.ref, data)
            else:
                results[read.place] = data if isinstance(data, MailError) else self._keep(read, data)
        return results

    async def chunks(self, ref: BlobRef, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Octets `start` to `stop` of a blob of any size, 1 MiB at a time; large ones stay out of the memory cache."""
        start, stop = max(start, 0), ref.octets if stop is None else min(stop, ref.octets)
        if not ref.frames:
            yield await self.read(ref, start, stop)
            return
        size = piece_octets(ref)
        while start < stop:
            end = min(stop, (start // size + 1) * size)
            yield await self._pool.run(self._reader.read, ref, start, end)
            start = end

    def _plan(self, place: int, ref: BlobRef, start: int, stop: int) -> _Read:
        size = piece_octets(ref)
        begin = start - start % size
        end = min(begin + size, ref.octets)
        hot = end - begin <= _BODY_OCTETS or (stop - start) * 4 <= end - begin
        if stop <= end and hot and self._memory.admits(end - begin):
            name = cache_name(ref, begin // size)
            return _Read(place, ref, begin, end, start - begin, stop - begin, name)
        return _Read(place, ref, start, stop, 0, stop - start, None)

    def _at_hand(self, read: _Read, ahead: Ahead | None) -> bytes | None:
        """What a read would give, where it is in memory."""
        piece = None if read.name is None else self._memory.get(read.name)
        if piece is not None:
            return piece if len(piece) == read.last - read.first else piece[read.first : read.last]
        whole = None if ahead is None else ahead.take(read.ref)
        if whole is None:
            return None
        return self._keep(read, whole if len(whole) == read.stop - read.start else whole[read.start : read.stop])

    def _more(self, ahead: Ahead, following: Sequence[BlobRef], besides: int) -> list[_Read]:
        """The reads of what is to be read ahead along with `besides` octets."""
        reads = [self._plan(_AHEAD, ref, 0, ref.octets) for ref in ahead.choose(following, besides) if ref.octets]
        return [read for read in reads if read.name is None or not self._memory.has(read.name)]

    def _keep(self, read: _Read, data: bytes) -> bytes:
        if read.name is None:
            return data
        self._memory.put(read.name, data)
        return data if len(data) == read.last - read.first else data[read.first : read.last]

    async def _fetch(self, reads: list[_Read]) -> list[tuple[_Read, bytes | MailError]]:
        hands = min(self._hands, len(reads))
        if hands <= 1:
            return await self._hand_off(reads) if reads else []
        shares = [Deferred.fromCoroutine(self._hand_off(reads[n::hands])) for n in range(hands)]
        done = await gatherResults(shares, consumeErrors=True)
        return list(chain.from_iterable(done))

    async def _hand_off(self, reads: list[_Read]) -> list[tuple[_Read, bytes | MailError]]:
        try:
            return await self._pool.run(self._read_all, reads)
        except Unavailable as error:
            return [(read, error) for read in reads]

    def _read_all(self, reads: list[_Read]) -> list[tuple[_Read, bytes | MailError]]:
        done: list[tuple[_Read, bytes | MailError]] = []
        for number, read in enumerate(reads):
            try:
                done.append((read, self._reader.read(read.ref, read.start, read.stop)))
            except Unavailable as error:
                # A store that does not answer is not asked for each of a hundred: every time it costs a deadline.
                return done + [(unread, error) for unread in reads[number:]]
            except MailError as error:
                done.append((read, error))
        return done


class Making:
    """A blob that is to be stored: by `stored`, or by `store_here` in a thread that has more to do with it.

    ``born_us`` is the moment in its key, ``octets`` its size.
    """

    __slots__ = ("_blobs", "born_us", "internaldate_us", "octets", "owners", "prepend", "spool", "withheld")

    def __init__(
        self,
        blobs: Blobs,
        spool: Spool,
        born_us: int,
        internaldate_us: int,
        owners: Sequence[tuple[bytes, MailboxId]],
        prepend: bytes,
        withheld: bool,
    ) -> None:
        self._blobs = blobs
        self.spool = spool
        self.born_us = born_us
        self.internaldate_us = internaldate_us
        self.owners = owners
        self.prepend = prepend
        self.withheld = withheld
        self.octets = len(prepend) + spool.octets

    async def stored(self) -> StoredBlob:
        """Store it, as `Blobs.write` does."""
        return await self._blobs._write(self)

    @property
    def is_quick(self) -> bool:
        """Whether `store_here` takes a few milliseconds at most, and no other blob is being written."""
        blobs = self._blobs
        return self.octets <= blobs._alone_octets and not blobs._writing and self.spool.in_memory() is not None

    def store_here(self) -> StoredBlob:
        """Store it in this thread, which is not the reactor's."""
        return self._blobs._write_here(self)


@dataclass(frozen=True, slots=True)
class _Read:
    """Octets `start` to `stop` of a blob to fetch, of which `first` to `last` were asked for at `place`.

    A `name` says that they are a whole piece, to be kept in memory under it.
    """

    place: int
    ref: BlobRef
    start: int
    stop: int
    first: int
    last: int
    name: str | None
