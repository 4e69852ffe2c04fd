"""Small blobs written by processes of their own (`lightmail.objects.writer_process`), seen from the server's reactor.

Python computes on one core at a time, and a thread that renders and stores a message takes the interpreter away from
the reactor some ten times on the way. A writer process has its own. Whatever is wrong with it (dead, not up yet, full)
the answer is None, and the caller writes in its own threads, under a fresh key: what the process may have stored
already is an orphan.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

import lightmail
from lightmail.config import S3Config, StorageConfig
from lightmail.errors import MailError, Unavailable
from lightmail.metrics import OBJECT_CALLS, OBJECT_OCTETS, OBJECT_SECONDS
from lightmail.model import StoredBlob
from lightmail.objects import writing
from lightmail.objects.datagrams import BLOB_OCTETS, Answer, Job, Owners, Ready, Said, Setup, unpack
from lightmail.objects.writer_link import Link
from lightmail.traces import CURRENT

log = Logger()

# What one process may have been given and not yet answered.
JOBS: Final = 128
JOB_OCTETS: Final = 16 << 20
# After so long in the queue nobody begins with a job any more, as in the threads' pool.
WAIT_SECONDS: Final = 30.0
# A process that has not answered for so long hangs: what it waits for itself has shorter deadlines.
ANSWER_SECONDS: Final = 90.0
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0
# Until a process that died is started again; doubled each time, and forgotten when one has lived for the longest pause.
_PAUSES: Final = (1.0, 60.0)
_REAP_SECONDS: Final = 0.05
_GROUP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SOCKET_OCTETS: Final = 1 << 20
# On a disk, threads are worth it for what they wait for fsync: two gave 1.3 times, four 1.6 times the rate of one.
_DISK_THREADS: Final = 4

_PUT = OBJECT_SECONDS.labels("put")
_WRITTEN = OBJECT_OCTETS.labels("written")
_PUT_OK = OBJECT_CALLS.labels("put", "ok")
_PUT_UNAVAILABLE = OBJECT_CALLS.labels("put", "unavailable")


@dataclass(eq=False, slots=True)
class _Waiting:
    """A job that was sent; None is what it gets when the process cannot be relied on."""

    octets: int
    since: float
    done: Deferred[StoredBlob | None]


class Writers:
    """Writer processes, or none, that share the work. Methods belong to the reactor's thread."""

    def __init__(self, setup: Setup, processes: int, *, reactor: Any) -> None:
        self._processes = [WriterProcess(setup, reactor=reactor) for _ in range(processes)]

    def start(self) -> None:
        """Start the processes; they are of use as soon as they are up."""
        for process in self._processes:
            process.start()

    async def stop(self) -> None:
        """Let what is being written end, then the processes."""
        for process in self._processes:
            process.leave()
        for process in self._processes:
            await process.stopped()

    @property
    def ready(self) -> bool:
        """Whether all processes are up."""
        return all(process.ready for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run."""
        return [process.pid for process in self._processes if process.pid is not None]

    async def write(
        self, pieces: Sequence[bytes], *, now_us: int, internaldate_us: int, owners: Owners
    ) -> StoredBlob | None:
        """Store the blob made of `pieces` under a fresh key born at `now_us`; None: do it yourself.

        Raises Unavailable or another MailError where the object store fails.
        """
        octets = sum(map(len, pieces))
        if octets > BLOB_OCTETS:
            return None
        able = [process for process in self._processes if process.takes(octets)]
        if not able:
            return None
        process = min(able, key=lambda each: each.jobs)
        return await process.write(pieces, octets, now_us, internaldate_us, owners)


def open_writers(storage: StorageConfig, s3: S3Config | None, threads: int, *, reactor: Any) -> Writers:
    """The writer processes that are configured, not started yet: none where objects live in this process's memory.

    `threads` is how many calls a store over a network may have at once.
    """
    threads = threads if storage.driver == "s3" else min(threads, _DISK_THREADS)
    processes = 0 if storage.driver == "memory" else storage.writer_processes
    return Writers(Setup(storage, s3, threads), processes, reactor=reactor)


class WriterProcess:
    """One process: started, given jobs, watched, and started again when it ends."""

    def __init__(self, setup: Setup, *, reactor: Any) -> None:
        self._setup = setup
        self._reactor = reactor
        self._child: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._octets = 0
        self._number = 0
        self._timer: Any = None
        self._began = 0.0
        self._pause = _PAUSES[0]
        self._leaving = False
        self._ended: list[Deferred[None]] = []
        self.ready = False

    @property
    def jobs(self) -> int:
        """How many jobs it has not answered yet."""
        return len(self._waiting)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the process. Where that fails, it is tried again later."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_OCTETS)
            try:
                self._child = _spawn(theirs)
            except OSError as error:
                ours.close()
                log.error("a writer process cannot be started: {error}", error=error)
                self._start_later()
                return
        self._began = self._reactor.seconds()
        self._link = Link(ours, self._received, self._lost, self._reactor)
        self._link.send([self._setup.pack()])
        self._timer = self._reactor.callLater(START_SECONDS, self._hangs, "did not come up")

    def takes(self, octets: int) -> bool:
        """Whether it can be given a blob of so many octets now."""
        if not self.ready or self._leaving or self._link is None:
            return False
        return len(self._waiting) < JOBS and self._octets + octets <= JOB_OCTETS

    async def write(
        self, pieces: Sequence[bytes], octets: int, now_us: int, internaldate_us: int, owners: Owners
    ) -> StoredBlob | None:
        """As `Writers.write`, for a blob that it `takes`."""
        assert self._link is not None
        self._number += 1
        deadline = time.monotonic() + WAIT_SECONDS
        head = Job(self._number, deadline, now_us, internaldate_us, owners, CURRENT.get()).pack()
        if len(head) + octets > self._link.largest:
            return None
        job = _Waiting(octets, self._reactor.seconds(), Deferred(_forget))
        self._waiting[self._number] = job
        self._octets += octets
        self._link.send([head, *pieces])
        if self._timer is None:
            self._timer = self._reactor.callLater(ANSWER_SECONDS, self._watch)
        return await job.done

    def leave(self) -> None:
        """Take no more jobs, and end when those it has are answered."""
        self._leaving = True
        if self._child is None:
            self._cancel_timer()
        elif self._link is not None and not self._waiting:
            self._link.finish()

    async def stopped(self) -> None:
        """Return when it has ended, killed where that takes too long."""
        if self._child is None:
            return
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        try:
            await ended.addTimeout(STOP_SECONDS, self._reactor)
        except DeferredTimeout:
            log.warn("a writer process did not end within {seconds} s and is killed", seconds=STOP_SECONDS)
        finally:
            if self._child is not None:
                self._child.kill()

    def _received(self, record: memoryview) -> None:
        said = unpack(record)
        if isinstance(said, Answer):
            self._answered(said)
        elif isinstance(said, Ready):
            self.ready = True
            self._cancel_timer()
        else:
            _log_for(said)

    def _answered(self, answer: Answer) -> None:
        job = self._waiting.pop(answer.number)
        self._octets -= job.octets
        _count(answer)
        if self._leaving and not self._waiting and self._link is not None:
            self._link.finish()
        if job.done.called:
            return
        if isinstance(answer.outcome, MailError):
            job.done.errback(answer.outcome)
        else:
            job.done.callback(answer.outcome)

    def _watch(self) -> None:
        """Look whether the oldest job has waited too long."""
        self._timer = None
        oldest = next(iter(self._waiting.values()), None)
        if oldest is None:
            return
        left = oldest.since + ANSWER_SECONDS - self._reactor.seconds()
        if left <= 0:
            self._hangs("did not answer")
        else:
            self._timer = self._reactor.callLater(left, self._watch)

    def _hangs(self, how: str) -> None:
        self._timer = None
        log.error("a writer process {how} in time and is killed", how=how)
        if self._child is not None:
            self._child.kill()
        if self._link is not None:
            # A process that waits for a dead disk outlives its killing; its jobs need not.
            self._link.connectionLost(Failure(ConnectionAbortedError()))

    def _lost(self) -> None:
        """The socket is closed: the process has ended, or will in a moment."""
        self._link = None
        self.ready = False
        self._cancel_timer()
        waiting, self._waiting, self._octets = self._waiting, {}, 0
        if not self._leaving:
            log.error("a writer process has ended; {jobs} blobs are written without it", jobs=len(waiting))
        self._reap()
        for job in waiting.values():
            if not job.done.called:
                job.done.callback(None)

    def _reap(self) -> None:
        """Wait for the process's end; not before may another begin, or a dead disk would collect them."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._reactor.callLater(_REAP_SECONDS, self._reap)
            return
        self._child = None
        ended, self._ended = self._ended, []
        for waiter in ended:
            if not waiter.called:
                waiter.callback(None)
        if not self._leaving:
            self._start_later()

    def _start_later(self) -> None:
        if self._reactor.seconds() - self._began > _PAUSES[1]:
            self._pause = _PAUSES[0]
        self._timer = self._reactor.callLater(self._pause, self._start_again)
        self._pause = min(2 * self._pause, _PAUSES[1])

    def _start_again(self) -> None:
        self._timer = None
        self.start()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _spawn(link: socket.socket) -> subprocess.Popen[bytes]:
    """A fresh interpreter, not a fork: neither our threads nor the object store's would survive one."""
    root = str(Path(lightmail.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # It inherits which signals are blocked: those to the whole group must not end it before its server has stopped.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
    try:
        return subprocess.Popen(
            # -P: nothing that lies in the current directory is imported.
            [sys.executable, "-P", "-m", "lightmail.objects.writer_process"],
            stdin=link.fileno(),
            env={**os.environ, "PYTHONPATH": path, "LIGHTMAIL_KILL": os.environ.get("LIGHTMAIL_KILL_WRITER", "")},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _forget(done: Deferred[StoredBlob | None]) -> None:
    """The caller no longer waits; what the process stores for it is an orphan."""


def _count(answer: Answer) -> None:
    """Count what the process did as if it had been done here."""
    for stage, seconds in answer.stages:
        writing.observe(stage, seconds)
        if stage == "put":
            _PUT.observe(seconds)
    if isinstance(answer.outcome, StoredBlob):
        _WRITTEN.inc(answer.outcome.stored_octets)
        _PUT_OK.inc()
    elif isinstance(answer.outcome, Unavailable):
        _PUT_UNAVAILABLE.inc()


class _Remote(Failure):
    """A failure of the process, of which only its text is left."""

    def __init__(self, traceback: str) -> None:
        super().__init__(RuntimeError("in a writer process"))  # type: ignore[no-untyped-call]
        self._text = traceback

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """What the process made of it."""
        return self._text


def _log_for(said: Said) -> None:
    """Write a process's event into the server's log."""
    more = {"log_failure": _Remote(said.traceback)} if said.traceback else {}
    Logger(said.namespace).emit(LogLevel.levelWithName(said.level), "{text}", text=said.text, trace=said.trace, **more)
