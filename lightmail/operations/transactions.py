"""Runs the transactions of operations: each at most once, retried while that is safe, its hints after COMMIT.

A transaction that must not be doubled first inserts a fresh operation id. When COMMIT was sent and no answer came, a
new connection inserts the same id: a duplicate key means that it was committed, success that it never can be any more;
no answer to that leaves the transient answer, never a blind retry (P8).

One that may be repeated, because twice has the outcome of once, inserts nothing and is run again. The first still holds
its locks until it is committed or never will be, so the two cannot overtake each other. Nor does any insert an id where
no answer to COMMIT can be lost, which is SQLite's case: there would never be a question that the id answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lightmail import points, traces
from lightmail.errors import MailError, Unavailable
from lightmail.metrics import DATABASE_RETRIES
from lightmail.model import AccountId, MailboxId
from lightmail.operations.events import Events
from lightmail.operations.outcome import Changed, Nothing, RunAgain
from lightmail.operations.queue import Ticket, Turn, WriteQueue
from lightmail.store import epochs, ledger
from lightmail.store.cursor import Cursor
from lightmail.store.database import ATTEMPTS, RETRY_SECONDS, Database, pause_seconds
from lightmail.store.faults import CommitUnknown, Conflict, DuplicateKey, OlderEpoch

T = TypeVar("T")
Item = TypeVar("Item")

log = Logger()

# How long a lost COMMIT is asked after: a server that restarts quickly is back by then.
_SETTLE_TRIES: Final = 8
_SETTLE_SECONDS: Final = 15.0


class Hints(Protocol):
    """Who is told that mailboxes changed (`lightmail.notify`)."""

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        """The mailbox is at `modseq` now."""


class ClockApart(Exception):
    """The database's clock is more than an hour away from the birth of an object that rows would refer to."""


@dataclass(slots=True)
class _Work:
    """What a ticket asks for: `batch` is run with the items of all tickets of its turn, and answers each.

    Where there is `make`, the item is what that gives, once, ahead of the transaction.
    """

    name: str
    batch: Callable[[Cursor, Sequence[Any]], Changed[Sequence[Any]]]
    item: Any
    births: tuple[int, ...]
    repeatable: bool = False
    make: Callable[[], Any] | None = None

    def prepare(self) -> None:
        """Make the item; in the thread of the transaction."""
        if self.make is not None:
            self.item = self.make()
            self.make = None
            points.reached("transaction-queued")


class Transactions:
    """The only way to write: see the module. `notifier` hears of each mailbox that a COMMIT changed; `events` are the
    kinds of events that transactions queue for a webhook, none unless they are given."""

    def __init__(
        self, database: Database, notifier: Hints, *, reactor: Any = None, events: Events | None = None
    ) -> None:
        self.database = database
        self.events = Events() if events is None else events
        self._notifier = notifier
        self._reactor = reactor if reactor is not None else database.reactor
        self._queue = WriteQueue(
            self._begin, connections=database.connections, groups=database.groups, reactor=self._reactor
        )

    def seconds(self) -> float:
        """The reactor's clock, for timing stages."""
        now: float = self._reactor.seconds()
        return now

    async def commit(
        self,
        name: str,
        fn: Callable[..., Changed[T]],
        *args: Any,
        account: AccountId | None,
        mailboxes: Collection[MailboxId] = (),
        born_us: int | None = None,
        repeatable: bool = False,
    ) -> T:
        """The value of ``fn(cursor, *args)`` once it is committed.

        `mailboxes` are those it locks; writers to one of them run one after another. `born_us` is the birth of an
        object it refers to for the first time. `repeatable`: it may happen twice in a row without harm. Raises the
        function's own MailError, or Unavailable.
        """

        def batch(cursor: Cursor, _: Sequence[Any]) -> Changed[Sequence[T]]:
            changed = fn(cursor, *args)
            return Changed([changed.value], changed.modseqs)

        work = _Work(name, batch, None, () if born_us is None else (born_us,), repeatable)
        accounts = frozenset(() if account is None else (account,))
        value: T = await self._enter(Ticket(work, accounts, frozenset(mailboxes)))
        return value

    async def together(
        self,
        name: str,
        fn: Callable[[Cursor, Sequence[Item]], Changed[Sequence[T]]],
        item: Item,
        *,
        accounts: Collection[AccountId],
        mailboxes: Collection[MailboxId],
        births: Collection[int],
        octets: int,
    ) -> T:
        """As `commit`, for writes that may share a transaction with others of the same `name` that wait as well.

        `fn` gets the items of all of them and answers each in order; to refuse one it raises RunAgain.
        """
        ticket = Ticket(_Work(name, fn, item, tuple(births)), frozenset(accounts), frozenset(mailboxes), name, octets)
        value: T = await self._enter(ticket)
        return value

    @property
    def idle(self) -> bool:
        """Whether nobody writes, or waits to."""
        return self._queue.idle

    async def alone(
        self,
        name: str,
        fn: Callable[[Cursor, Sequence[Item]], Changed[Sequence[T]]],
        make: Callable[[], Item],
        *,
        accounts: Collection[AccountId],
        mailboxes: Collection[MailboxId],
        born_us: int,
    ) -> T:
        """As `together`, for one whose item is not made yet, while nobody else writes.

        `make` runs in the transaction's thread ahead of it: what the item refers to is stored when it returns. Its
        turn lasts as long as both, so it is not for what may wait for a network. What `make` raises is raised here.
        """
        work = _Work(name, fn, None, (born_us,), make=make)
        value: T = await self._enter(Ticket(work, frozenset(accounts), frozenset(mailboxes)))
        return value

    async def _enter(self, ticket: Ticket) -> Any:
        if ticket.work.make is None:
            points.reached("transaction-queued")
        self._queue.enter(ticket)
        try:
            return await ticket.done
        finally:
            # Only a caller that was cancelled leaves a ticket behind.
            self._queue.withdraw(ticket)

    def _begin(self, turn: Turn) -> None:
        Deferred.fromCoroutine(self._take_turn(turn)).addErrback(_log_bug)

    async def _take_turn(self, turn: Turn) -> None:
        try:
            if not await self._serve(turn.tickets):
                # A fault in one of them must not be the answer to the others: each on its own.
                for ticket in turn.tickets:
                    await self._serve([ticket])
        except Exception as error:
            # A bug of ours; even then nobody may be left waiting.
            for ticket in turn.tickets:
                _answer(ticket.done.errback, ticket, error)
            raise
        finally:
            self._queue.finish(turn)

    async def _serve(self, tickets: list[Ticket]) -> bool:
        """Run the tickets in one transaction and answer them; False when they should be run one by one instead."""
        works: list[_Work] = [ticket.work for ticket in tickets]
        # Not that of whoever's turn ended, so that this one could begin.
        traces.CURRENT.set(traces.joined(ticket.trace for ticket in tickets))
        try:
            changed = await self._transact(works)
        except Exception as error:
            if len(tickets) > 1 and not isinstance(error, MailError):
                return False
            for ticket in tickets:
                _answer(ticket.done.errback, ticket, _as_answer(error, works[0].name))
            return True
        points.reached("committed")
        self._hint(changed.modseqs)
        points.reached("hinted")
        for ticket, value in zip(tickets, changed.value, strict=True):
            _answer(ticket.done.callback, ticket, value)
        return True

    def _hint(self, modseqs: Mapping[MailboxId, int]) -> None:
        """Note that mailboxes changed. Whoever wrote finds that noted when it has its answer; others are woken later.

        Never raises: what is committed is answered as committed.
        """
        for mailbox, modseq in modseqs.items():
            try:
                self._notifier.changed(mailbox, modseq)
            except Exception:
                log.failure("nobody could be told of a change to mailbox {mailbox}", mailbox=mailbox)

    async def _transact(self, works: list[_Work]) -> Changed[Sequence[Any]]:
        """Run the works' function until it is committed, or certainly was not."""
        name, repeatable = works[0].name, works[0].repeatable
        births = [birth for work in works for birth in work.births]
        until = self._reactor.seconds() + RETRY_SECONDS
        failures = 0
        uncertain: Mapping[MailboxId, int] = {}
        while True:
            operation = b"" if repeatable or self.database.knows_commits else _new_operation_id()
            guarded = partial(_guarded, operation, births, works)
            try:
                if works[0].make is not None:
                    return await self.database.attempt_after(works[0].prepare, name, guarded)
                return await self.database.attempt(name, guarded)
            except Nothing as nothing:
                # Nothing is left to do where a transaction was committed whose answer was lost.
                return Changed([nothing.value], uncertain)
            except RunAgain as again:
                again.accept()
                continue
            except OlderEpoch as older:
                await epochs.jump(self.database, older)
                continue
            except Conflict as conflict:
                reason = conflict.reason
            except CommitUnknown as unknown:
                committed: Changed[Sequence[Any]] = unknown.result
                if operation and await self._was_committed(name, operation):
                    return committed
                uncertain = committed.modseqs if repeatable else {}
                reason = "lost-commit"
            failures += 1
            DATABASE_RETRIES.labels(name, reason).inc()
            if failures >= ATTEMPTS or self._reactor.seconds() > until:
                log.warn(
                    "{name} gave up after {failures} attempts: {reason}", name=name, failures=failures, reason=reason
                )
                raise Unavailable
            await deferLater(self._reactor, pause_seconds(failures))

    async def _was_committed(self, name: str, operation: bytes) -> bool:
        """Whether the transaction that inserted this id was committed; when False, it never will be.

        Raises Unavailable when that cannot be found out.
        """
        until = self._reactor.seconds() + _SETTLE_SECONDS
        for attempt in range(1, _SETTLE_TRIES + 1):
            if self._reactor.seconds() > until:
                break
            try:
                await self.database.attempt("settle", ledger.settle_txn, operation)
            except DuplicateKey:
                log.info("{name}: the answer to COMMIT was lost; it was committed", name=name)
                return True
            except (Conflict, Unavailable):
                # The first transaction still holds its locks, or nobody answers: ask again a little later.
                await deferLater(self._reactor, pause_seconds(attempt))
            except CommitUnknown:
                # From here on a duplicate key could be our own.
                break
            else:
                log.info("{name}: the answer to COMMIT was lost; it was not committed", name=name)
                return False
        log.warn("{name}: the answer to COMMIT was lost, and whether it was committed is unknown", name=name)
        raise Unavailable


def _guarded(operation: bytes, births: Sequence[int], works: list[_Work], cursor: Cursor) -> Changed[Sequence[Any]]:
    """Run the works' function after what guards it: the operation id, if there is one, and the database's clock."""
    points.reached("transaction-begun")
    if operation:
        guard = ledger.operation_statement(operation, min(births, default=None), max(births, default=None))
        cursor.first(*guard, _check_guard)
    elif births and not ledger.in_time_txn(cursor, min(births), max(births)):
        raise ClockApart
    changed = works[0].batch(cursor, [work.item for work in works])
    points.reached("rows-written")
    return changed


def _check_guard(inserted: int) -> None:
    if inserted != 1:
        raise ClockApart


def _new_operation_id() -> bytes:
    """16 octets, ascending in time so that the newest rows share pages, and never the same twice."""
    return time.time_ns().to_bytes(8, "big") + os.urandom(8)


def _as_answer(error: Exception, name: str) -> Exception:
    if isinstance(error, ClockApart):
        log.error(
            "{name}: the database's clock is more than an hour away from this machine's, or a message waited that long",
            name=name,
        )
        return Unavailable()
    return error


def _answer(tell: Callable[[Any], None], ticket: Ticket, value: Any) -> None:
    # A caller that was cancelled has had its answer.
    if not ticket.done.called:
        tell(value)


def _log_bug(failure: Any) -> None:
    log.failure("a turn to write ended in a bug", failure=failure)
