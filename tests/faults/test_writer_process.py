"""Writer processes that are stopped, killed, full, late or gone: every blob is stored, or its failure is told."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from lightmail.config import StorageConfig
from lightmail.errors import MailError, Unavailable
from lightmail.model import BlobRef, MailboxId, StoredBlob
from lightmail.objects import writer_process
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.datagrams import BLOB_OCTETS, RECORD_OCTETS, Answer, Job, Setup, unpack
from lightmail.objects.spool import Spool, Spools
from lightmail.objects.writers import ANSWER_SECONDS, JOB_OCTETS, JOBS, STOP_SECONDS, Writers, open_writers
from lightmail.threads import BoundedPool
from lightmail.traces import CURRENT
from tests.support.reactor import call, run
from tests.support.writers import started

ACCOUNT = bytes(16)
TRACE = "4be1c09a77d2.1"


class Timed:
    """The reactor with a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Works:
    """A directory of objects, a pool, one writer process, and blobs that are written by them."""

    def __init__(self, directory: Path) -> None:
        self.storage = StorageConfig(driver="directory", path=str(directory / "objects"), writer_processes=1)
        self.store: ObjectStore = open_store(self.storage, None)
        self.store.check()
        self.pool = BoundedPool("objects", threads=2, queue=2 * JOBS, reactor=reactor)
        self.time = Timed()
        self.writers: Writers = open_writers(self.storage, None, 4, reactor=self.time)
        self.spools = Spools(self.pool, str(directory))
        self.blobs = Blobs(self.store, self.pool, writers=self.writers)
        self.outcomes: dict[bytes, StoredBlob | MailError] = {}

    @property
    def pid(self) -> int:
        (pid,) = call(lambda: self.writers.pids)
        return pid

    def begin(self, *bodies: bytes) -> None:
        """Begin to write blobs; `outcomes` gets what becomes of them."""
        for body in bodies:
            call(lambda body=body: self._begin(body))

    def _begin(self, body: bytes) -> None:
        spool = self.spools.new()
        spool.write(body)
        writing = Deferred.fromCoroutine(self._write(spool))
        writing.addErrback(lambda failure: failure.trap(MailError) and failure.value)
        writing.addCallback(lambda outcome: self.outcomes.update({body: outcome}))
        writing.addBoth(lambda _: spool.close())

    async def _write(self, spool: Spool) -> StoredBlob:
        CURRENT.set(TRACE)
        return await self.blobs.write(spool, internaldate_us=1, owners=[(ACCOUNT, MailboxId(1))])

    def assert_stored(self, *bodies: bytes) -> None:
        """All of them are stored, and readable."""
        for body in bodies:
            stored = self.outcomes[body]
            assert isinstance(stored, StoredBlob), stored
            ref = BlobRef(ACCOUNT, stored.key, stored.octets, stored.stored_octets, "zstd", stored.sha256, b"")
            assert run(self.blobs.read(ref)) == body

    def advance(self, seconds: float) -> None:
        call(lambda: self.time.clock.advance(seconds))

    def begin_stop(self) -> Deferred[None]:
        """Begin to stop the writers."""
        # In a tuple, or `call` would wait for it.
        return call(lambda: (Deferred.fromCoroutine(self.writers.stop()),))[0]

    def stop(self) -> None:
        with suppress(ProcessLookupError, ValueError):
            os.kill(self.pid, signal.SIGKILL)
        stopping = self.begin_stop()
        until(lambda: self.turn_clock() and stopping.called)
        run(self.pool.stop())

    def turn_clock(self) -> bool:
        self.advance(0.1)
        return True


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path)
    started(made.writers)
    yield made
    made.stop()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def messages(count: int, octets: int = 3000) -> list[bytes]:
    return [b"Subject: %d\r\n\r\n" % number + bytes([65 + number % 26]) * octets for number in range(count)]


def is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_small_blobs_need_no_thread_and_large_ones_do(works: Works) -> None:
    small = messages(30)
    works.begin(*small, b"x" * (BLOB_OCTETS + 1))
    until(lambda: len(works.outcomes) == 31)
    refused = [body for body, outcome in works.outcomes.items() if isinstance(outcome, Unavailable)]
    assert [len(body) for body in refused] == [BLOB_OCTETS + 1], "the pool was not started"
    call(works.pool.start)
    works.assert_stored(*small)


def test_a_process_killed_in_the_middle_loses_nothing_and_is_started_again(works: Works) -> None:
    call(works.pool.start)
    killed = works.pid
    os.kill(killed, signal.SIGSTOP)
    before = messages(20)
    works.begin(*before)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(works.outcomes) == 20)
    works.assert_stored(*before)
    until(lambda: works.turn_clock() and call(lambda: works.writers.ready))
    assert works.pid != killed
    run(works.pool.stop())
    works.outcomes.clear()
    works.begin(*before)
    until(lambda: len(works.outcomes) == 20)
    assert all(isinstance(outcome, StoredBlob) for outcome in works.outcomes.values())
    call(works.pool.start)


@pytest.mark.parametrize(("count", "octets", "kept"), [(JOBS + 9, 10, JOBS), (70, BLOB_OCTETS - 99, 63)])
def test_what_is_over_its_bounds_is_written_by_threads(works: Works, count: int, octets: int, kept: int) -> None:
    assert kept in (JOBS, JOB_OCTETS // BLOB_OCTETS - 1, JOB_OCTETS // (BLOB_OCTETS - 99))
    call(works.pool.start)
    os.kill(works.pid, signal.SIGSTOP)
    bodies = messages(count, octets)
    works.begin(*bodies)
    until(lambda: len(works.outcomes) >= count - kept - 1)
    time.sleep(0.05)
    assert count - kept - 1 <= len(works.outcomes) <= count - kept
    os.kill(works.pid, signal.SIGCONT)
    until(lambda: len(works.outcomes) == count)
    works.assert_stored(*bodies)


def test_a_process_that_does_not_answer_is_killed_and_its_work_done_without_it(works: Works) -> None:
    call(works.pool.start)
    hung = works.pid
    os.kill(hung, signal.SIGSTOP)
    works.begin(*messages(3))
    works.advance(ANSWER_SECONDS - 1)
    time.sleep(0.05)
    assert works.outcomes == {}
    assert is_alive(hung)
    works.advance(2)
    until(lambda: len(works.outcomes) == 3)
    works.assert_stored(*messages(3))
    until(lambda: works.turn_clock() and not is_alive(hung))


def test_nobody_begins_with_a_job_after_its_deadline(tmp_path: Path) -> None:
    storage = StorageConfig(driver="directory", path=str(tmp_path))
    store = open_store(storage, None)
    store.check()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=writer_process._serve, args=(theirs, store, Setup(storage, None, 1)))
    thread.start()
    answers: list[Answer] = []
    with ours, theirs:
        for number, deadline in ((1, time.monotonic() - 1), (2, time.monotonic() + 60)):
            ours.sendmsg([Job(number, deadline, 1, 1, [(ACCOUNT, MailboxId(1))]).pack(), b"Subject: x\r\n\r\n"])
            answer = unpack(memoryview(ours.recv(RECORD_OCTETS)))
            assert isinstance(answer, Answer)
            answers.append(answer)
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert [answer.number for answer in answers] == [1, 2]
    assert isinstance(answers[0].outcome, Unavailable)
    assert answers[0].stages == ()
    assert isinstance(answers[1].outcome, StoredBlob)
    assert [stage for stage, _ in answers[1].stages] == ["render", "compress", "put"]
    assert store.keys("emails") == [answers[1].outcome.key]


def test_a_stop_waits_for_what_is_being_written(works: Works) -> None:
    pid = works.pid
    os.kill(pid, signal.SIGSTOP)
    works.begin(*messages(5))
    stopping = works.begin_stop()
    assert not call(lambda: stopping.called)
    os.kill(pid, signal.SIGCONT)
    until(lambda: works.turn_clock() and stopping.called)
    assert all(isinstance(outcome, StoredBlob) for outcome in works.outcomes.values())
    assert len(works.outcomes) == 5
    assert not is_alive(pid)


def test_a_stop_does_not_wait_for_ever(works: Works) -> None:
    call(works.pool.start)
    pid = works.pid
    os.kill(pid, signal.SIGSTOP)
    works.begin(*messages(5))
    stopping = works.begin_stop()
    works.advance(STOP_SECONDS + 1)
    until(lambda: len(works.outcomes) == 5)
    works.assert_stored(*messages(5))
    until(lambda: works.turn_clock() and not is_alive(pid))
    assert stopping.called


def test_trouble_with_the_store_is_told_and_logged_here(works: Works) -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        shutil.rmtree(works.storage.path)
        works.begin(*messages(2))
        until(lambda: len(works.outcomes) == 2)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert all(type(outcome) is Unavailable for outcome in works.outcomes.values())
    said = [event for event in events if event.get("log_namespace") == "lightmail.objects.directory"]
    assert said
    assert "is its file system mounted?" in said[0]["text"]
    assert {event["trace"] for event in said} == {TRACE}


def test_a_rendering_larger_than_a_record_is_made_by_a_thread(works: Works) -> None:
    # A part costs 11 octets here, and a hundred in BODYSTRUCTURE.
    body = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 9990
    works.begin(body)
    until(lambda: len(works.outcomes) == 1)
    assert type(works.outcomes[body]) is Unavailable, "the pool was not started"
    call(works.pool.start)
    works.begin(body)
    until(lambda: isinstance(works.outcomes[body], StoredBlob))


def test_those_that_no_longer_wait_cost_nothing(works: Works) -> None:
    os.kill(works.pid, signal.SIGSTOP)

    def give_up() -> Any:
        writing = Deferred.fromCoroutine(
            works.writers.write([b"x"], now_us=1, internaldate_us=1, owners=[(ACCOUNT, MailboxId(1))])
        )
        writing.cancel()
        return DeferredList([writing], consumeErrors=True)

    call(give_up)
    os.kill(works.pid, signal.SIGCONT)
    works.begin(*messages(3))
    until(lambda: len(works.outcomes) == 3)
    assert all(isinstance(outcome, StoredBlob) for outcome in works.outcomes.values())


def test_memory_and_none_have_no_process() -> None:
    for storage in (StorageConfig(driver="memory", writer_processes=2), StorageConfig(writer_processes=0)):
        assert started(open_writers(storage, None, 4, reactor=reactor)).pids == []
