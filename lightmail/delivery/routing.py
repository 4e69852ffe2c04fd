"""Recipients of many connections, looked up together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred

from lightmail.delivery.addresses import Target, look_up
from lightmail.errors import MailError
from lightmail.store.database import Database

# The most recipients in one lookup, unless a single caller asks for more.
TOGETHER: Final = 200
# Lookups on their way at once. More than one, so that a connection to the database that hangs holds up no other.
AT_ONCE: Final = 2

Route: TypeAlias = list[Target] | MailError


@dataclass(eq=False, slots=True)
class _Caller:
    given: Sequence[str]
    done: Deferred[list[Route]]


class Routing:
    """Looks recipients up as `addresses.look_up` does; those that come while others are being looked up share a
    lookup, for the hand-off to a thread and the round trip cost more than the question."""

    def __init__(self, database: Database, hostname: str, tagged_mailboxes: bool) -> None:
        self._database = database
        self._hostname = hostname
        self._tagged_mailboxes = tagged_mailboxes
        self._waiting: deque[_Caller] = deque()
        self._asking = 0

    async def look_up(self, given: Sequence[str]) -> list[Route]:
        """For each recipient its targets, or why it has none. Raises Unavailable."""
        caller = _Caller(given, Deferred())
        self._waiting.append(caller)
        if self._asking < AT_ONCE:
            Deferred.fromCoroutine(self._ask())
        return await caller.done

    async def _ask(self) -> None:
        self._asking += 1
        try:
            while self._waiting:
                await self._answer(self._callers())
        finally:
            self._asking -= 1

    def _callers(self) -> list[_Caller]:
        callers = [self._waiting.popleft()]
        recipients = len(callers[0].given)
        while self._waiting and recipients + len(self._waiting[0].given) <= TOGETHER:
            callers.append(self._waiting.popleft())
            recipients += len(callers[-1].given)
        return callers

    async def _answer(self, callers: list[_Caller]) -> None:
        given = [recipient for caller in callers for recipient in caller.given]
        try:
            routes = iter(await look_up(self._database, given, self._hostname, self._tagged_mailboxes))
        except Exception as error:
            for caller in callers:
                if not caller.done.called:  # its connection may be gone
                    caller.done.errback(error)
            return
        for caller in callers:
            found = [next(routes) for _ in caller.given]
            if not caller.done.called:
                caller.done.callback(found)
