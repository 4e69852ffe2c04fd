"""A job comes round an interval after its last round ended, one round at a time, until it is stopped."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from lightmail.rounds import Rounds


class Job:
    """Waits in each round for as long as the test wants; `slow_end` is what it still does when it is cancelled."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.begun = 0
        self.waiting: Deferred[None] = Deferred()
        self.slow_end: Deferred[None] | None = None
        self.rounds = Rounds(
            self.work,
            reactor=self.clock,
            interval_seconds=10,
            deadline_seconds=60,
            trouble="no work is done",
            recovery="work is done again",
        )

    async def work(self) -> None:
        self.begun += 1
        self.waiting = Deferred()
        try:
            await self.waiting
        except CancelledError:
            if self.slow_end is not None:
                await self.slow_end
            raise


def test_the_next_round_begins_an_interval_after_the_end_of_the_last() -> None:
    job = Job()
    job.rounds.startService()
    job.clock.advance(9)
    assert job.begun == 0
    job.clock.advance(1)
    job.clock.advance(50)
    assert job.begun == 1
    job.waiting.callback(None)
    job.clock.advance(9)
    assert job.begun == 1
    job.clock.advance(1)
    assert job.begun == 2
    assert job.rounds.stopService() is not None
    assert not job.clock.getDelayedCalls()


def test_a_round_past_its_deadline_is_logged_in_one_line_and_followed_by_the_next() -> None:
    logged: list[str] = []

    def observe(event: dict[str, object]) -> None:
        logged.append(formatEvent(event))

    job = Job()
    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        job.rounds.startService()
        job.clock.advance(10)
        job.clock.advance(60)
        job.clock.advance(10)
        assert job.begun == 2
        job.waiting.callback(None)
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
    assert logged == ["no work is done: no end within 60 s", "work is done again"]
    assert job.rounds.stopService() is None


def test_a_job_started_again_while_its_last_round_ends_goes_round_once() -> None:
    job = Job()
    job.slow_end = Deferred()
    job.rounds.startService()
    job.clock.advance(10)
    stopped = job.rounds.stopService()
    assert stopped is not None
    assert not stopped.called, "the round has not ended"
    job.rounds.startService()
    job.slow_end.callback(None)
    assert stopped.called
    assert len(job.clock.getDelayedCalls()) == 1
    job.rounds.stopService()
    assert not job.clock.getDelayedCalls()
