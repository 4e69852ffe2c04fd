"""A writer process: renders, compresses and stores the blobs that its server sends (`lightmail.objects.writers`).

It has an interpreter of its own, so that none of this waits for the server's. Its threads all wait for records on the
one socket, and the kernel wakes one for each: no queue and no hand-off between threads. It lives as long as the other
end of the socket is open. The signals that a terminal or a service manager sends to the whole group are blocked from
its start: its server stops it when nobody needs it any more.
"""

from __future__ import annotations

import errno
import io
import socket
import threading
import time
from contextlib import suppress
from typing import Final

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent, globalLogBeginner
from zope.interface import directlyProvides

from lightmail.arenas import share_arenas
from lightmail.errors import MailError, ServerBug, Unavailable
from lightmail.model import StoredBlob
from lightmail.objects.backends import ObjectStore, open_unmetered
from lightmail.objects.datagrams import RECORD_OCTETS, Answer, Job, Ready, Said, Setup
from lightmail.objects.writing import BlobWriter
from lightmail.traces import CURRENT

log = Logger()

# How long threads may finish what they are storing once nobody waits for it any more.
_END_SECONDS: Final = 5.0


def main() -> None:
    """Serve the socket that is standard input until its other end is closed."""
    link = socket.socket(fileno=0)
    # Not sooner: until now whatever goes wrong is told on standard error.
    globalLogBeginner.beginLoggingTo([_observer(link)], redirectStandardIO=False)
    record = link.recv(RECORD_OCTETS)
    if not record:
        return  # the server has ended meanwhile
    setup = Setup.unpack(record)
    share_arenas()
    store = open_unmetered(setup.storage, setup.s3)
    try:
        link.send(Ready().pack())
    except BrokenPipeError:
        return
    threads = [threading.Thread(target=_serve, args=(link, store, setup), daemon=True) for _ in range(setup.threads)]
    for thread in threads:
        thread.start()
    threads[0].join()
    deadline = time.monotonic() + _END_SECONDS
    for thread in threads[1:]:
        thread.join(max(0.0, deadline - time.monotonic()))


def _serve(link: socket.socket, store: ObjectStore, setup: Setup) -> None:
    """One thread: a job and its answer at a time, until the other end is gone."""
    stages: list[tuple[str, float]] = []
    storage = setup.storage
    # Small blobs need no temporary files.
    writer = BlobWriter(store, storage.compression, storage.level, None, lambda *stage: stages.append(stage))
    buffer = bytearray(RECORD_OCTETS)
    view = memoryview(buffer)
    with suppress(OSError):  # nobody may be there to be told
        while octets := link.recv_into(buffer):
            stages.clear()
            job, blob = Job.unpack(view[:octets])
            CURRENT.set(job.trace)
            outcome = _outcome(writer, job, blob)
            _answer(link, Answer(job.number, tuple(stages), outcome))


def _outcome(writer: BlobWriter, job: Job, blob: bytes) -> StoredBlob | MailError:
    if time.monotonic() > job.deadline:
        return Unavailable()
    try:
        return writer.write(
            io.BytesIO(blob),
            len(blob),
            now_us=job.now_us,
            internaldate_us=job.internaldate_us,
            owners=job.owners,
        )
    except MailError as error:
        return error
    except Exception:
        log.failure("a blob could not be written")
        return ServerBug()


def _answer(link: socket.socket, answer: Answer) -> None:
    try:
        link.send(answer.pack())
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        # A rendering many times as large as its blob: the server's own thread has no such bound.
        link.send(Answer(answer.number, answer.stages, None).pack())


def _observer(link: socket.socket) -> ILogObserver:
    """Hands log events to the server, whose log they belong to."""

    def say(event: LogEvent) -> None:
        level = event.get("log_level") or LogLevel.info
        if level < LogLevel.info:
            return
        failure = event.get("log_failure")
        traceback = "" if failure is None else failure.getTraceback()
        namespace = str(event.get("log_namespace", ""))
        said = Said(level.name, namespace, formatEvent(event)[:8000], traceback[:32_000], CURRENT.get())
        with suppress(OSError):  # nobody may be there to be told
            link.send(said.pack())

    directlyProvides(say, ILogObserver)
    return say  # type: ignore[return-value]


if __name__ == "__main__":
    main()
