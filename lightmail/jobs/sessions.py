"""What a process does about its sessions for all others to see: it reports them, and ends those that are to end.

A login costs nothing here: every few seconds the open sessions are compared with what was reported last, and only the
differences are written, in few statements. Ends that were asked for (`operations.sessions`) are read every two
seconds, so they work across processes and for sessions that nobody has reported yet.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.logger import Logger

from lightmail import __version__
from lightmail.errors import MailError
from lightmail.model import AccountId
from lightmail.operations import sessions as operations
from lightmail.peers import ip_of
from lightmail.rounds import Rounds
from lightmail.sessions import DISMISSED, About, Session, Sessions
from lightmail.store import sessions as stored
from lightmail.store.database import Database
from lightmail.store.sessions import NOBODY, End, Process, Report
from lightmail.turns import Turn

log = Logger()

REPORT_SECONDS: Final = 5.0
END_SECONDS: Final = 2.0
# A process is taken for dead after four of these (`store.sessions.DEAD_US`).
_HEARTBEAT_SECONDS: Final = 15.0
_DEADLINE_SECONDS: Final = 30.0
# Sessions in one transaction: writers to SQLite wait for it.
_AT_ONCE: Final = 250
# The wishes of transactions that take long become visible late: no transaction takes longer.
_OVERLAP_US: Final = 60_000_000
# How long a session that was told to end may take about its running command.
_GRACE_SECONDS: Final = 30.0


def this_process() -> Process:
    """Who this process is among those of the store: a new identity at every call."""
    return Process(os.urandom(16), socket.gethostname(), os.getpid(), __version__, time.time_ns() // 1000)


class Reports:
    """Keeps the rows of a process and of its sessions level with what is so; `report` is one round of it.

    Without `registries` only the process itself is reported: nobody lists the sessions then.
    """

    def __init__(
        self, database: Database, process: Process, registries: Sequence[Sessions[Any]], *, reactor: Any
    ) -> None:
        self._database = database
        self._process = process
        self._registries = registries
        self._reactor = reactor
        # What was said of each session: making a row of it is worth sparing where nothing has changed.
        self._reported: dict[str, About] = {}
        self._beaten = float("-inf")

    async def report(self) -> None:
        """Write what has changed since the last round. Raises Unavailable; the next round makes up for it."""
        opened, closed = await self._differences()
        due = self._reactor.seconds() - self._beaten >= _HEARTBEAT_SECONDS
        if not (opened or closed or due):
            return
        for start in range(0, max(len(opened), len(closed), 1), _AT_ONCE):
            more, less = opened[start : start + _AT_ONCE], closed[start : start + _AT_ONCE]
            reports = [report for _, report in more]
            forgotten = await operations.report(self._database, self._process, reports, less)
            self._beaten = self._reactor.seconds()
            if forgotten:
                # Others took this process for dead, and its rows with it; or it is new.
                self._reported.clear()
            self._reported.update({report.session: about for about, report in more})
            for session in less:
                self._reported.pop(session, None)
        if due:
            buried = await operations.bury(self._database)
            if buried:
                log.info("forgot {count} processes that have been silent, and their sessions", count=buried)

    async def leave(self) -> None:
        """Take this process's rows away. Where the database does not answer, others do so later."""
        try:
            await operations.leave(self._database, self._process)
        except MailError as error:
            log.info("the rows of this process's sessions stay until others remove them: {error}", error=error)

    async def _differences(self) -> tuple[list[tuple[About, Report]], list[str]]:
        """The sessions that are new or have changed, and the names of those that have ended."""
        turn = Turn(self._database.reactor)
        opened, ended = [], set(self._reported)
        for registry in self._registries:
            for session, opened_us in registry.since():
                await turn.offer()
                about = session.about()
                if about is None:
                    continue
                ended.discard(session.id)
                if self._reported.get(session.id) != about:
                    opened.append((about, _report(registry.name, session.id, about, opened_us)))
        return opened, list(ended)


def _report(protocol: str, session: str, about: About, opened_us: int) -> Report:
    account = NOBODY if about.account is None else about.account
    address = ip_of(about.address)
    client = "".join(letter if letter.isprintable() else "?" for letter in about.client)
    return Report(session, account, protocol, str(address or about.address), about.secure, client, opened_us)


class Endings:
    """Ends the sessions of this process that somebody wants ended; `look` is one round of it."""

    def __init__(
        self, database: Database, process: Process, registries: Sequence[Sessions[Any]], *, reactor: Any
    ) -> None:
        self._database = database
        self._process = process
        self._registries = registries
        self._reactor = reactor
        self._since_us: int | None = None
        self._known: set[int] = set()
        # Open sessions without a login that an account's end may concern still: their login may have read it before.
        self._suspects: dict[AccountId, set[Session]] = {}
        self._ending: dict[Session, float] = {}

    async def look(self) -> None:
        """Read the wishes that have come since the last round and carry them out. Raises Unavailable."""
        first = self._since_us is None
        now_us, ends = await self._database.read("session ends", stored.ends_txn, self._since_us, _OVERLAP_US)
        self._since_us = now_us
        # What was wished before this process began does not concern its sessions.
        fresh = [end for end in ends if end.id not in self._known and not first]
        self._known = {end.id for end in ends}
        for end in fresh:
            self._carry_out(end)
        self._look_after_suspects()
        self._cut_off()

    def _carry_out(self, end: End) -> None:
        if end.process == self._process.id:
            for session in self._open():
                if session.id == end.session:
                    self._end(session)
        elif not end.process:
            suspects = self._suspects.setdefault(end.account, set())
            suspects.update(session for session in self._open() if _may_become(session, end.account))

    def _look_after_suspects(self) -> None:
        """End suspects that turn out to be the account's, and let go of those that cannot be any more."""
        for account, suspects in list(self._suspects.items()):
            for session in list(suspects):
                about = session.about()
                if about is not None and about.account == account:
                    self._end(session)
                if about is not None or not self._is_open(session):
                    suspects.discard(session)
            if not suspects:
                del self._suspects[account]

    def _end(self, session: Session) -> None:
        if session not in self._ending:
            log.info("{session} is ended: an administrator wants it", session=session.id)
            self._ending[session] = self._reactor.seconds() + _GRACE_SECONDS
            session.drain(DISMISSED)

    def _cut_off(self) -> None:
        """Cut the connections that have not ended in time, and forget those that have."""
        for session, until in list(self._ending.items()):
            if not self._is_open(session):
                del self._ending[session]
            elif self._reactor.seconds() > until:
                session.abort()

    def _open(self) -> Iterator[Session]:
        for registry in self._registries:
            yield from registry

    def _is_open(self, session: Session) -> bool:
        return any(session in registry for registry in self._registries)


def _may_become(session: Session, account: AccountId) -> bool:
    about = session.about()
    return about is None or about.account == account


class SessionKeeper(MultiService):
    """The rounds of both. `listed`: the sessions are reported, too, because somebody may list them here."""

    def __init__(
        self,
        database: Database,
        process: Process,
        registries: Sequence[Sessions[Any]],
        *,
        listed: bool,
        reactor: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reports = Reports(database, process, registries if listed else (), reactor=reactor)
        self._endings = Endings(database, process, registries, reactor=reactor)
        ending = Rounds(
            self._endings.look,
            reactor=reactor,
            interval_seconds=END_SECONDS,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="sessions that are to end cannot be learnt of",
            recovery="sessions that are to end are learnt of again",
        )
        reporting = Rounds(
            self._reports.report,
            reactor=reactor,
            interval_seconds=REPORT_SECONDS,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="the sessions of this process cannot be reported",
            recovery="the sessions of this process are reported again",
        )
        for rounds in (ending, reporting):
            rounds.setServiceParent(self)  # type: ignore[no-untyped-call]

    async def start(self) -> None:
        """Take note of what was wished before; then begin both rounds. To be awaited before anybody may log in."""
        with suppress(MailError):  # the first round that succeeds does it then
            await self._endings.look()
        self.startService()  # type: ignore[no-untyped-call]

    async def stop(self) -> None:
        """Stop both rounds, and take this process's rows away."""
        await self.stopService()  # type: ignore[no-untyped-call]
        await self._reports.leave()
