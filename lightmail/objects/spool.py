"""Octets being received: in memory up to a bound, then in a temporary file; the sum over all of them is bounded too."""

from __future__ import annotations

import io
import os
import time
from typing import BinaryIO

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from lightmail import points
from lightmail.errors import Outage, SpoolFull, StartupError, Unavailable
from lightmail.model import MailboxId
from lightmail.objects.directory import MAY_PASS
from lightmail.objects.readers import MemorySegment, TemporaryFile, join
from lightmail.threads import BoundedPool

log = Logger()


class Spool:
    """One message on its way in. Methods belong to the reactor's thread, but for `open`.

    Whoever writes pauses its transport while `needs_flush` and awaits `flush`; octets that arrive nevertheless are
    kept in memory. Whoever made the spool closes it, whatever happens.

    ``mailbox`` is where the message is to go, if its maker knew that.
    """

    def __init__(self, spools: Spools, mailbox: MailboxId | None = None) -> None:
        self.octets = 0
        self.mailbox = mailbox
        self._spools = spools
        self._pending = io.BytesIO()
        self._file: TemporaryFile | None = None
        self._lock = DeferredLock()
        self._lost = False
        self._closed = False
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long ago the spool was made."""
        return time.perf_counter() - self._began

    @property
    def needs_flush(self) -> bool:
        """True when memory holds as much as it may."""
        return self._pending.tell() >= self._spools.memory_octets

    def write(self, data: bytes) -> None:
        """Append `data` in memory; SpoolFull, with nothing appended, when all spools together would be too much."""
        if self._closed:
            raise ValueError("write to a closed spool")
        self._spools.reserve(len(data))
        if not self.octets:
            points.reached("message-begun")
        self._pending.write(data)
        self.octets += len(data)

    async def flush(self) -> None:
        """Hand the octets in memory to the temporary file; SpoolFull when the disk cannot take them."""
        await self._lock.acquire()
        try:
            pending, self._pending = self._pending, io.BytesIO()
            self._file = await self._spools.pool.run(self._append, self._file, pending)
        except (Unavailable, OSError) as error:
            self._lost = True
            if isinstance(error, OSError):
                log.warn("spool: {error}", error=error)
            raise SpoolFull from None
        finally:
            self._lock.release()

    def _append(self, file: TemporaryFile | None, pending: io.BytesIO) -> TemporaryFile:
        file = file or TemporaryFile(self._spools.directory)
        file.append(pending.getbuffer())
        points.reached("message-spooled")
        return file

    def in_memory(self) -> bytes | None:
        """The octets written so far, where all of them are in memory; None where they are not."""
        if self._closed or self._lost or self._file is not None or self._lock.locked:
            return None
        return self._pending.getvalue()

    def open(self, prepend: bytes = b"") -> BinaryIO:
        """`prepend` and then the octets written so far, from the start: a seekable reader for a thread.

        It stays good after `close`. No `write` or `flush` may run meanwhile.
        """
        if self._lost:
            raise SpoolFull
        if self._closed:
            raise ValueError("open of a closed spool")
        pending = self._pending.getvalue()
        if self._file is None:
            return io.BytesIO(prepend + pending)
        return join([MemorySegment(prepend), self._file, MemorySegment(pending)])

    def close(self) -> None:
        """Give back memory, file and the share of the bound; closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        self._spools.give_back(self.octets)
        self._pending = io.BytesIO()
        file, self._file = self._file, None
        if file is not None:
            # Freeing a large file takes milliseconds, so its last reference goes in a thread if one is free.
            dropped = Deferred.fromCoroutine(self._spools.pool.run(_drop, [file]))
            dropped.addErrback(lambda failure: None)


def _drop(files: list[TemporaryFile]) -> None:
    files.clear()


class Spools:
    """Makes spools and bounds them: `memory_octets` of each in memory, `total_octets` of all in memory and files.

    `directory` holds the temporary files; None means the system's own.
    """

    def __init__(
        self, pool: BoundedPool, directory: str | None, memory_octets: int = 1 << 20, total_octets: int = 2 << 30
    ) -> None:
        self.pool = pool
        self.directory = directory
        self.memory_octets = memory_octets
        self.total_octets = total_octets
        self._taken = 0

    def check(self) -> None:
        """Make the directory and a file in it (blocking); StartupError, one line, where that fails."""
        try:
            if self.directory is not None:
                os.makedirs(self.directory, mode=0o700, exist_ok=True)
            TemporaryFile(self.directory).append(b"x")
        except OSError as error:
            kind = Outage if error.errno in MAY_PASS else StartupError
            raise kind(f"The spool directory {self.directory} cannot be used: {error.strerror}.") from None

    def new(self, mailbox: MailboxId | None = None) -> Spool:
        """An empty spool; its maker must close it."""
        return Spool(self, mailbox)

    def reserve(self, octets: int) -> None:
        """Count `octets` more; SpoolFull where that is over the bound."""
        if self._taken + octets > self.total_octets:
            raise SpoolFull
        self._taken += octets

    def give_back(self, octets: int) -> None:
        """Count `octets` less."""
        self._taken -= octets
