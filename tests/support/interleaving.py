"""Transactions on a real MySQL or MariaDB, stepped one statement at a time, in every order that makes a difference.

Each transaction runs in a thread with a connection of its own, and each of its statements (COMMIT and ROLLBACK too)
waits to be let go. `schedules` runs a scenario again and again: it follows one order to its end, then goes back to the
last moment where another transaction could have gone on instead, unless that would only swap what commutes. A
statement that waits for a row lock leaves its transaction out of the choice until it has its lock; the server's own
count of such waits tells.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql

from lightmail.config import DatabaseConfig
from lightmail.errors import MailError
from lightmail.operations.outcome import Changed, Nothing, RunAgain
from lightmail.store.cursor import Cursor, Result
from lightmail.store.database import Meter
from lightmail.store.faults import Conflict
from lightmail.store.mysql_link import MySqlCursor, connect_arguments, prepare

# A transaction that is still in conflict after so many attempts is stuck.
_ATTEMPTS = 20
_DEADLINE_SECONDS = 30.0

# Every word of a statement that names a table; `store` is only ever read.
_TABLES = re.compile(
    r"\b(accounts|account_usage|mailboxes|keywords|objects|renderings|messages|deliveries|condemned|deleted_uids)\b"
)

Work = Callable[[Cursor], Changed[Any]]


@dataclass(frozen=True)
class Step:
    """One statement, as far as its order matters: the tables it touches, and whether it writes or locks."""

    tables: frozenset[str]
    writes: bool

    def commutes_with(self, other: Step) -> bool:
        """Whether the two have the same effect in either order."""
        return not (self.tables & other.tables) or not (self.writes or other.writes)


Choose = Callable[[dict[int, Step]], int]
NO_STEP = Step(frozenset(), False)


class _Gate:
    """Where one transaction's thread waits for its next statement to be let go."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed = False
        self.step = NO_STEP
        self.waiting = False
        self.done = False

    def pass_through(self, step: Step) -> None:
        """Wait (in the transaction's thread) for the permission to send one statement."""
        with self._changed:
            self.step = step
            self.waiting = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._allowed, _DEADLINE_SECONDS):
                raise AssertionError("nobody let this statement go")
            self.waiting = self._allowed = False

    def let_go(self) -> None:
        """Permit one statement."""
        with self._changed:
            self._allowed = True
            self.waiting = False
            self._changed.notify_all()

    def finish(self) -> None:
        """There is no further statement."""
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def rested(self, seconds: float) -> bool:
        """Whether it waits or is done, within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.waiting or self.done, seconds)


class _SteppedCursor(MySqlCursor):
    """Sends a script's statements one by one. BEGIN, which alone does nothing, goes with the statement after it."""

    def __init__(self, raw: Any, gate: _Gate) -> None:
        super().__init__(raw, Meter())
        self._gate = gate
        self._touched: frozenset[str] = frozenset()

    def _exchange(self, texts: list[str]) -> list[Result]:
        results: list[Result] = []
        for text in texts:
            step = _step(text)
            self._touched |= step.tables
            self._gate.pass_through(step)
            results += super()._exchange([text])
        return results

    def commit(self, result: Any) -> None:
        self._gate.pass_through(Step(self._touched, True))
        super().commit(result)

    def rollback(self) -> None:
        self._gate.pass_through(Step(self._touched, True))
        super().rollback()


def _step(text: str) -> Step:
    reads = text.startswith("SELECT") and "FOR UPDATE" not in text and "LOCK IN SHARE MODE" not in text
    return Step(frozenset(_TABLES.findall(text)), not reads)


@dataclass
class Actor:
    """One transaction of a scenario: `work` is a transaction's function, as operations hand it to the database.

    Afterwards `value` is what it answered, or the MailError it raised, and `conflicts` why it had to run again.
    """

    name: str
    work: Work
    value: Any = None
    conflicts: list[str] = field(default_factory=list)
    bug: BaseException | None = None
    _gate: _Gate = field(default_factory=_Gate)
    _thread: threading.Thread | None = None

    def start(self, raw: Any) -> None:
        """Begin, up to the first statement."""
        self._thread = threading.Thread(target=self._run, args=(raw,), name=self.name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of its thread."""
        assert self._thread is not None
        self._thread.join(_DEADLINE_SECONDS)

    @property
    def gate(self) -> _Gate:
        """Where its statements wait."""
        return self._gate

    def _run(self, raw: Any) -> None:
        try:
            ended = any(self._attempt(raw) for _ in range(_ATTEMPTS))
            assert ended, f"{self.name} never comes to an end: {self.conflicts}"
        except MailError as error:
            self.value = error
        except BaseException as error:
            self.bug = error
        finally:
            self._gate.finish()

    def _attempt(self, raw: Any) -> bool:
        """Run the transaction once, as `operations.transactions` does; whether that was the end of it."""
        cursor = _SteppedCursor(raw, self._gate)
        cursor.begin()
        try:
            changed = self.work(cursor)
            cursor.commit(changed)
        except RunAgain as again:
            cursor.rollback()
            again.accept()
            return False
        except Conflict as conflict:
            cursor.rollback()
            self.conflicts.append(conflict.reason)
            return False
        except Nothing as nothing:
            cursor.rollback()
            self.value = nothing.value
            return True
        except BaseException:
            cursor.rollback()
            raise
        self.value = changed.value
        return True


class Server:
    """Connections for `count` transactions at once, and one that watches their locks."""

    def __init__(self, config: DatabaseConfig, count: int) -> None:
        arguments = connect_arguments(config, _DEADLINE_SECONDS)
        self.links = [pymysql.connect(**arguments) for _ in range(count)]
        for link in self.links:
            prepare(link)
        self._watch = pymysql.connect(**arguments)

    def close(self) -> None:
        """End all connections."""
        for link in [*self.links, self._watch]:
            link.close()

    def lock_waits(self) -> int:
        """How many statements wait for a row lock now."""
        with self._watch.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
            return int(cursor.fetchone()[1])

    def settle(self, actors: Sequence[Actor]) -> dict[int, Step]:
        """Wait until each actor waits for permission, waits for a lock, or is done; the next steps of the first kind.

        None is left when all are done. Whoever is on the way is at work or waits for a lock, and all of them wait when
        the server counts as many, twice: a wait that just ended is counted a moment longer.
        """
        deadline = time.monotonic() + _DEADLINE_SECONDS
        waits = 0
        while on_the_way := [actor for actor in actors if not actor.gate.rested(0.0)]:
            assert time.monotonic() < deadline, "transactions neither go on nor wait for a lock"
            if on_the_way[0].gate.rested(0.0005):
                waits = 0
                continue
            waits = waits + 1 if self.lock_waits() == len(on_the_way) else 0
            if waits == 2 and any(actor.gate.waiting for actor in actors):
                break
        return {number: actor.gate.step for number, actor in enumerate(actors) if actor.gate.waiting}


def run_schedule(server: Server, actors: Sequence[Actor], choose: Choose) -> None:
    """Run the actors to their ends; `choose` picks, from the numbers of those who may go on, who does."""
    for actor, link in zip(actors, server.links, strict=False):
        actor.start(link)
    while ready := server.settle(actors):
        actors[choose(ready)].gate.let_go()
    for actor in actors:
        actor.join()
        if actor.bug is not None:
            raise actor.bug


@dataclass
class _Moment:
    """A point of an order where something was chosen: the steps there were, the choice, and what need not be tried.

    ``asleep`` has those whose step was tried before the steps since then, with which it commutes: going on with it now
    would come to the same. ``tried`` has the choices made here before.
    """

    steps: dict[int, Step]
    asleep: frozenset[int]
    choice: int
    tried: set[int] = field(default_factory=set)

    def asleep_next(self) -> frozenset[int]:
        """Who is asleep after the choice."""
        chosen = self.steps[self.choice]
        candidates = self.asleep | self.tried
        return frozenset(n for n in candidates if n in self.steps and self.steps[n].commutes_with(chosen))

    def others(self) -> list[int]:
        """Who else might go on here."""
        return [n for n in self.steps if n != self.choice and n not in self.tried and n not in self.asleep]


class _Orders:
    """A depth-first search over orders, without those that only swap steps that commute (sleep sets)."""

    def __init__(self) -> None:
        self._moments: list[_Moment] = []
        self._place = 0
        self._redundant = False

    def begin(self) -> None:
        """Start a run."""
        self._place, self._redundant = 0, False

    def choose(self, steps: dict[int, Step]) -> int:
        """Who goes on."""
        place, self._place = self._place, self._place + 1
        if place < len(self._moments):
            moment = self._moments[place]
            if moment.choice in steps:
                moment.steps = steps
                return moment.choice
        if self._redundant:
            return min(steps)
        asleep = self._moments[place - 1].asleep_next() if place else frozenset()
        awake = [n for n in steps if n not in asleep]
        if not awake:
            # All that may follow was seen in another order; the transactions are only brought to their ends.
            self._redundant = True
            return min(steps)
        del self._moments[place:]
        self._moments.append(_Moment(steps, asleep, awake[0]))
        return awake[0]

    def turn_back(self) -> bool:
        """Go back to the last moment where another could have gone on; False when there is none."""
        while self._moments:
            moment = self._moments[-1]
            others = moment.others()
            if others:
                moment.tried.add(moment.choice)
                moment.choice = others[0]
                return True
            self._moments.pop()
        return False


def schedules(scenario: Callable[[Choose], None], limit: int) -> int:
    """Run `scenario` in every order that can make a difference; how many runs that took, at most `limit`.

    The scenario sets itself up anew each time and hands the chooser that it is given to `run_schedule`.
    """
    orders = _Orders()
    for runs in range(1, limit + 1):
        orders.begin()
        scenario(orders.choose)
        if not orders.turn_back():
            return runs
    raise AssertionError(f"more than {limit} orders: say how many there may be")
