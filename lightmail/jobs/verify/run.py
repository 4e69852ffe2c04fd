"""A run of verifying: passes in order, resumable, patient with stores that stop answering for a while, and bounded in
what it asks of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.task import deferLater

from lightmail.errors import Unavailable
from lightmail.jobs.verify.calendars import CalendarsPass
from lightmail.jobs.verify.contents import ContentsPass
from lightmail.jobs.verify.findings import Finding, Found, Report
from lightmail.jobs.verify.listing import AccountObjectsPass, ListingPass
from lightmail.jobs.verify.rows import MessagesPass, TablePass, UsagePass
from lightmail.jobs.verify.snapshots import SnapshotKeysPass, SnapshotsPass
from lightmail.jobs.verify.steps import Hands, Pass, Step
from lightmail.model import AccountId
from lightmail.operations import progress as job_progress
from lightmail.store import progress
from lightmail.store.suspects import TABLES

# How often a run notes where it is; what it looked at since is looked at again when it is resumed.
NOTE_SECONDS: Final = 2.0
# Between two steps others come to their turn.
_PAUSE_SECONDS: Final = 0.005
# A store that does not answer is waited for so long in all.
_PATIENCE: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to verify. `deep` reads every object; `mending` repairs; `account` restricts a run to one account's mail.

    `rate` is how many rows or objects a second it may look at, 0: as many as it can; `readers` how many objects are
    read at once. An object without a row that is younger than `grace_hours` is none of its business. `restart` begins
    anew where an earlier run was interrupted.
    """

    deep: bool = False
    mending: bool = False
    account: AccountId | None = None
    restart: bool = False
    rate: int = 0
    readers: int = 4
    grace_hours: int = 24

    @property
    def job(self) -> str:
        """What the run is called in `job_progress`: one that looks for something else has a place of its own."""
        words = ["verify", "deep" if self.deep else "quick", "repair" if self.mending else "look"]
        return "/".join(words if self.account is None else [*words, str(self.account)])


@dataclass
class _State:
    """Where a run is, as it is noted."""

    place: str = ""
    cursor: Any = None
    counts: dict[str, list[int]] = field(default_factory=dict)
    looked: dict[str, int] = field(default_factory=dict)

    def count(self, finding: Finding) -> None:
        count = self.counts.setdefault(finding.kind, [0, 0])
        count[0] += 1
        count[1] += finding.repaired

    def document(self) -> dict[str, Any]:
        return {"pass": self.place, "cursor": self.cursor, "counts": self.counts, "looked": self.looked}


def _passes(hands: Hands, options: Options, clock: Callable[[], float]) -> list[Pass]:
    """The passes of a run, in order: a repair of one may be what the next stands on."""
    account, mending = options.account, options.mending
    grace_us = options.grace_hours * 3_600_000_000
    passes: list[Pass] = []
    if account is None:
        passes.append(ListingPass(hands, mending, absent=not options.deep, grace_us=grace_us, clock=clock))
    elif not options.deep:
        passes.append(AccountObjectsPass(hands, account))
    if options.deep:
        passes.append(ContentsPass(hands, account, mending, options.readers))
    passes.append(MessagesPass(hands, account, mending))
    for survey in TABLES:
        if (account is None or survey.of_account) and (options.deep or not survey.wide):
            passes.append(TablePass(hands, survey, account, mending))
    passes.append(UsagePass(hands, account, mending))
    passes.append(SnapshotsPass(hands, account, mending))
    if account is None:
        passes.append(SnapshotKeysPass(hands, mending, clock))
        passes.append(CalendarsPass(hands, mending, deep=options.deep, grace_us=grace_us, clock=clock))
    return passes


def _nothing(*_: object) -> None:
    pass


async def verify(
    hands: Hands,
    options: Options,
    *,
    found: Found = _nothing,
    progress: Progress = _nothing,
    clock: Callable[[], float] = time.time,
    note_seconds: float = NOTE_SECONDS,
) -> Report:
    """Look at everything, tell `found` of each finding as it comes, and `progress` of the part that is done (0 to 1).

    Where it is, is noted every `note_seconds`. A run that was interrupted is resumed from what it noted; findings told
    before are counted, not told again. Raises Unavailable when a store stays away; the next run goes on from there.
    """
    run = _Run(hands, options, found, progress, clock, note_seconds)
    return await run.run()


class _Run:
    def __init__(
        self,
        hands: Hands,
        options: Options,
        found: Found,
        progress: Progress,
        clock: Callable[[], float],
        note_seconds: float,
    ) -> None:
        self._hands = hands
        self._options = options
        self._found = found
        self._progress = progress
        self._passes = _passes(hands, options, clock)
        self._state = _State()
        self._note_seconds = note_seconds
        self._reactor = hands.database.reactor
        self._noted = self._reactor.seconds()

    async def run(self) -> Report:
        began = self._reactor.seconds()
        resumed = await self._resume()
        places = [each.name for each in self._passes]
        start = places.index(self._state.place) if resumed else 0
        for number in range(start, len(self._passes)):
            each = self._passes[number]
            if self._state.place != each.name:
                self._state.place, self._state.cursor = each.name, each.first()
            await self._walk(number, each)
        await self._patiently(self._forget)
        counts = {kind: (count[0], count[1]) for kind, count in self._state.counts.items()}
        return Report(counts, self._state.looked, resumed, self._reactor.seconds() - began)

    async def _walk(self, number: int, each: Pass) -> None:
        """One pass, from the state's cursor to its end."""
        state = self._state
        weights = [one.weight for one in self._passes]
        before, total = sum(weights[:number]), sum(weights)
        while state.cursor is not None:
            began = self._reactor.seconds()
            step, findings = await self._step(each, state.cursor)
            for finding in findings:
                state.count(finding)
                self._found(finding)
            state.cursor = step.following
            state.looked[each.name] = state.looked.get(each.name, 0) + step.looked
            self._progress(each.name, (before + each.weight * step.done) / total)
            if state.cursor is not None:
                await self._pause(step, began)
        self._progress(each.name, (before + each.weight) / total)

    async def _step(self, each: Pass, cursor: Any) -> tuple[Step, list[Finding]]:
        """One step, again where a store does not answer; its findings, each once, whichever attempt came upon it."""
        findings: dict[tuple[object, ...], Finding] = {}

        def emit(finding: Finding) -> None:
            named = (finding.kind, finding.account, finding.mailbox, finding.uid, finding.key, *finding.more.items())
            earlier = findings.get(named)
            if earlier is None or finding.repaired:
                findings[named] = finding

        step = await self._patiently(lambda: each.step(cursor, emit))
        return step, list(findings.values())

    async def _patiently(self, work: Callable[[], Any]) -> Any:
        for pause in _PATIENCE:
            try:
                return await work()
            except Unavailable:
                await deferLater(self._reactor, pause)
        return await work()

    async def _pause(self, step: Step, began: float) -> None:
        """Wait until the rate allows the next step; note where the run is if the last note would be old by then."""
        taken = self._reactor.seconds() - began
        due = step.looked / self._options.rate - taken if self._options.rate else 0.0
        pause = max(due, _PAUSE_SECONDS)
        if self._reactor.seconds() + pause - self._noted >= self._note_seconds:
            await self._note()
        await deferLater(self._reactor, pause)

    # Where the run is

    async def _resume(self) -> bool:
        """Take up what an earlier run noted; False when there is nothing, or it is not wanted."""
        if self._options.restart:
            await self._patiently(self._forget)
            return False
        noted = await self._hands.database.read("verify", progress.read_txn, self._options.job)
        if noted is None or noted.get("pass") not in [each.name for each in self._passes] or noted["cursor"] is None:
            return False
        self._state = _State(noted["pass"], noted["cursor"], noted["counts"], noted["looked"])
        return True

    async def _note(self) -> None:
        self._noted = self._reactor.seconds()
        await self._patiently(
            lambda: job_progress.write(self._hands.database, self._options.job, self._state.document())
        )

    async def _forget(self) -> None:
        await job_progress.clear(self._hands.database, self._options.job)
