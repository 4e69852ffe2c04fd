"""Runs jobs: takes queued ones up, so many at once, says how far they are, ends them when they are not wanted any more.

All of it goes by rows, every two seconds, so that any process may be asked to start or cancel a job, whoever runs it. A
process that is killed leaves jobs behind that are running to nobody's knowledge; those that look next, a minute later,
call them interrupted. So may this one's be called, when it was away for that long: it stops working on them then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger

from lightmail.errors import ConfigError, MailError
from lightmail.jobs.exporting import ExportError
from lightmail.jobs.importing import SourceError
from lightmail.jobs.requested.work import Hands, Run, Told, Work
from lightmail.operations import jobs as operations
from lightmail.operations.actors import SERVER, Actor
from lightmail.operations.jobs import Desk
from lightmail.rounds import Rounds
from lightmail.store.jobs import CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, Job

log = Logger()

INTERVAL_SECONDS: Final = 2.0
_ROUND_SECONDS: Final = 30.0
# No job takes longer; one that does has lost its way, and what it did stays done.
DEADLINE_SECONDS: Final = 86_400.0
_OVERDUE: Final = f"it was not done within {DEADLINE_SECONDS / 3600:.0f} hours; start it again to go on"
_EXPECTED: Final = (MailError, SourceError, ExportError, ConfigError)


@dataclass(slots=True)
class _Task:
    """A job that this process works on. `ending` is the state that it will be in because somebody ended it."""

    job: Job
    told: Told = field(default_factory=Told)
    working: Deferred[None] | None = None
    ending: str = ""
    error: str = ""
    expiry: Any = None

    def end(self, state: str, error: str = "") -> None:
        """Have it end soon, in that state; only once, for what it does in ending must not be cut off."""
        if not self.ending and self.working is not None:
            self.ending, self.error = state, error
            self.working.cancel()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a job ended, until the rows say so too."""

    state: str
    progress: Mapping[str, Any]
    result: Mapping[str, Any]


class JobRunner:
    """Works on at most `at_once` jobs of the kinds in `runs`, as the process of `desk`."""

    def __init__(
        self,
        hands: Hands,
        runs: Mapping[str, Run],
        desk: Desk,
        at_once: int,
        *,
        reactor: Any,
        interval_seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rounds = Rounds(
            self._look,
            reactor=reactor,
            interval_seconds=interval_seconds,
            deadline_seconds=_ROUND_SECONDS,
            trouble="jobs cannot be looked after",
            recovery="jobs are looked after again",
        )
        self._hands = hands
        self._database = hands.transactions.database
        self._runs = runs
        self._desk = desk
        self._at_once = at_once
        self._reactor = reactor
        self._clock = clock
        self._tasks: dict[int, _Task] = {}
        self._outcomes: dict[int, _Outcome] = {}
        desk.hasten = self._rounds.hasten

    def start(self) -> None:
        """Begin to look for jobs."""
        self._rounds.startService()

    async def stop(self) -> None:
        """Stop; what is running is interrupted, and has ended when this returns, and its rows say so."""
        ending = self._rounds.stopService()
        if ending is not None:
            await ending
        for task in list(self._tasks.values()):
            task.end(INTERRUPTED, "the server was stopped; start it again to go on")
        working = [task.working for task in self._tasks.values() if task.working is not None]
        await DeferredList(working, consumeErrors=True)
        await self._write_outcomes()

    # --- a round ---

    async def _look(self) -> None:
        await self._write_outcomes()
        found = await operations.waiting(self._database)
        self._desk.drop_all_but([job.reference for job in found if job.state == QUEUED])
        await self._beat([job.id for job in found if job.state == QUEUED and job.process == self._desk.process])
        for job in found:
            if self._is_ours_to_begin(job) and len(self._tasks) < self._at_once:
                await self._claim(job)
        if any(self._looks_abandoned(job) for job in found):
            await operations.interrupt_abandoned(self._database)

    async def _beat(self, held: list[int]) -> None:
        """Say that this process is alive; end what is not wanted any more, or is another's by now."""
        if not self._tasks and not held:
            return
        running = {id_: task.told.document() for id_, task in self._tasks.items()}
        beat = await operations.beat(self._database, self._desk.process, running, held)
        for id_ in beat.lost | beat.unwanted:
            task = self._tasks.get(id_)
            if task is not None:
                task.end(CANCELLED if id_ in beat.unwanted else INTERRUPTED)

    def _is_ours_to_begin(self, job: Job) -> bool:
        if job.kind not in self._runs or job.id in self._tasks or job.id in self._outcomes:
            return False
        if job.kind == operations.GARBAGE and self._hands.config.garbage is None:
            return False
        # One that is running as this process's, and that it knows nothing of: the answer to claiming it was lost.
        return job.process == self._desk.process or (job.process is None and job.state == QUEUED)

    def _looks_abandoned(self, job: Job) -> bool:
        silent_us = self._clock() * 1_000_000 - job.heartbeat_us
        return job.process not in (None, self._desk.process) and silent_us > operations.SILENT_SECONDS * 1_000_000

    async def _claim(self, job: Job) -> None:
        if job.state == RUNNING or await operations.claim(self._database, job.id, self._desk.process):
            self._begin(job)

    async def _write_outcomes(self) -> None:
        for id_, outcome in list(self._outcomes.items()):
            ended = (outcome.state, outcome.progress, outcome.result)
            await operations.end(self._database, id_, self._desk.process, *ended)
            del self._outcomes[id_]

    # --- one job ---

    def _begin(self, job: Job) -> None:
        task = self._tasks[job.id] = _Task(job)
        log.info("job {job} begins: {kind}", job=job.id, kind=job.kind)
        task.expiry = self._reactor.callLater(DEADLINE_SECONDS, task.end, FAILED, _OVERDUE)
        task.working = Deferred.fromCoroutine(self._work(task))
        task.working.addBoth(self._ended, task)

    async def _work(self, task: _Task) -> None:
        secret = self._desk.take(task.job.reference)
        try:
            result = await self._runs[task.job.kind](self._hands, _work(task, secret))
            json.dumps(result)  # what cannot be written down must not hold up the others
            task.told.finish()
            state = DONE
        except CancelledError:
            state, result = task.ending or INTERRUPTED, _unfinished(task, task.error)
        except _EXPECTED as error:
            # In ending, too, what it works on may not answer.
            said = (isinstance(error, MailError) and error.reason) or str(error)
            state, result = task.ending or FAILED, _unfinished(task, task.error or said)
        except Exception:
            log.failure("job {job} failed", job=task.job.id)
            said = "an unexpected failure; its traceback stands in the server's log"
            state, result = FAILED, _unfinished(task, said)
        self._outcomes[task.job.id] = _Outcome(state, task.told.document(), result)

    def _ended(self, result: object, task: _Task) -> None:
        if task.expiry.active():
            task.expiry.cancel()
        outcome = self._outcomes.get(task.job.id)
        del self._tasks[task.job.id]
        log.info("job {job} {state}", job=task.job.id, state=outcome.state if outcome else INTERRUPTED)
        self._rounds.hasten()


def _work(task: _Task, secret: str | None) -> Work:
    job = task.job
    asker = Actor(job.requested_by, job.origin, job.domain if job.domain != SERVER else None)
    return Work(job.arguments, secret, task.told, asker, job.created_us)


def _unfinished(task: _Task, error: str) -> dict[str, Any]:
    """The result of a job that came to no good end."""
    return {**task.told.come, **({"error": error} if error else {})}
