"""Who may write now: writers to one mailbox one after another, no account on more than its share of connections.

The order within a mailbox is that of arrival. Writers that belong together (deliveries and appends) and are waiting
when one of them gets its turn go with it: they share one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from lightmail.errors import Unavailable
from lightmail.model import AccountId, MailboxId
from lightmail.traces import CURRENT

# How many writers may wait, and how long one waits.
WAITING: Final = 2000
WAIT_SECONDS: Final = 30.0
# The most writers in one transaction, and the most octets of rows they bring.
GROUP_WRITERS: Final = 32
GROUP_OCTETS: Final = 4 << 20


class Ticket:
    """One write that waits for its turn, then for its result, which `done` gives.

    `group`: tickets of the same group may share a turn; None: alone. `octets`: about how much it writes. `trace` is
    that of whoever made it.
    """

    __slots__ = ("accounts", "done", "group", "mailboxes", "octets", "timer", "trace", "work")

    def __init__(
        self,
        work: Any,
        accounts: frozenset[AccountId],
        mailboxes: frozenset[MailboxId],
        group: str | None = None,
        octets: int = 0,
    ) -> None:
        self.work = work
        self.accounts = accounts
        self.mailboxes = mailboxes
        self.group = group
        self.octets = octets
        self.done: Deferred[Any] = Deferred()
        self.timer: Any = None
        self.trace = CURRENT.get()


class Turn:
    """Tickets that write in one transaction, and what they hold until `WriteQueue.finish`."""

    __slots__ = ("accounts", "group", "mailboxes", "octets", "tickets")

    def __init__(self, group: str | None) -> None:
        self.group = group
        self.tickets: list[Ticket] = []
        self.accounts: set[AccountId] = set()
        self.mailboxes: set[MailboxId] = set()
        self.octets = 0

    def has_room(self, ticket: Ticket) -> bool:
        """Whether one more ticket keeps the transaction within its bounds."""
        return len(self.tickets) < GROUP_WRITERS and self.octets + ticket.octets <= GROUP_OCTETS


class WriteQueue:
    """Hands out turns through `start`; each must be given back with `finish`. All in the reactor's thread.

    `groups` is how many transactions of one kind of group run at a time.
    """

    def __init__(self, start: Callable[[Turn], None], *, connections: int, groups: int = 2, reactor: Any) -> None:
        self._groups_at_once = groups
        self._start = start
        self._reactor = reactor
        self._turns_free = connections
        self._share = max(1, connections // 4)
        self._waiting: list[Ticket] = []
        self._holders: dict[MailboxId, Turn] = {}
        self._held: Counter[AccountId] = Counter()
        self._groups: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not self._holders and not self._waiting and not self._held

    def enter(self, ticket: Ticket) -> None:
        """Queue a ticket; `start` may be called before this returns. Raises Unavailable when too many wait."""
        if len(self._waiting) >= WAITING:
            raise Unavailable
        self._waiting.append(ticket)
        self._dispatch()
        if ticket in self._waiting:
            ticket.timer = self._reactor.callLater(WAIT_SECONDS, self._expire, ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Forget a ticket whose owner no longer wants it; one that has its turn goes on."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            _stop_timer(ticket)
            self._dispatch()

    def finish(self, turn: Turn) -> None:
        """Give back what a turn held, and hand out what that makes possible."""
        for mailbox in turn.mailboxes:
            del self._holders[mailbox]
        self._held.subtract(turn.accounts)
        for account in turn.accounts:
            if self._held[account] <= 0:
                del self._held[account]
        if turn.group is not None:
            self._groups[turn.group] -= 1
        self._turns_free += 1
        self._dispatch()

    def _expire(self, ticket: Ticket) -> None:
        self._waiting.remove(ticket)
        ticket.done.errback(Unavailable())
        self._dispatch()

    def _dispatch(self) -> None:
        """Start every turn that can start, oldest tickets first; a ticket never overtakes one for the same mailbox."""
        turns: list[Turn] = []
        gathering: dict[str, Turn] = {}
        waiting: list[Ticket] = []
        claimed: set[MailboxId] = set()
        for ticket in self._waiting:
            turn = self._turn_for(ticket, gathering, claimed)
            if turn is None:
                waiting.append(ticket)
                claimed |= ticket.mailboxes
                continue
            if not turn.tickets:
                turns.append(turn)
            self._admit(ticket, turn)
        self._waiting = waiting
        for turn in turns:
            self._start(turn)

    def _turn_for(self, ticket: Ticket, gathering: dict[str, Turn], claimed: set[MailboxId]) -> Turn | None:
        """The turn that may take the ticket now: one that is being gathered, a new one, or None."""
        if not ticket.mailboxes.isdisjoint(claimed):
            return None
        turn = gathering.get(ticket.group) if ticket.group is not None else None
        if turn is not None and not turn.has_room(ticket):
            turn = None
        if any(self._holders.get(mailbox, turn) is not turn for mailbox in ticket.mailboxes):
            return None
        joined = turn.accounts if turn is not None else ()
        if any(account not in joined and self._held[account] >= self._share for account in ticket.accounts):
            return None
        return turn if turn is not None else self._new_turn(ticket.group, gathering)

    def _new_turn(self, group: str | None, gathering: dict[str, Turn]) -> Turn | None:
        if self._turns_free == 0 or (group is not None and self._groups[group] >= self._groups_at_once):
            return None
        turn = Turn(group)
        self._turns_free -= 1
        if group is not None:
            self._groups[group] += 1
            gathering[group] = turn
        return turn

    def _admit(self, ticket: Ticket, turn: Turn) -> None:
        _stop_timer(ticket)
        turn.tickets.append(ticket)
        turn.octets += ticket.octets
        self._held.update(ticket.accounts - turn.accounts)
        turn.accounts |= ticket.accounts
        for mailbox in ticket.mailboxes:
            self._holders[mailbox] = turn
        turn.mailboxes |= ticket.mailboxes


def _stop_timer(ticket: Ticket) -> None:
    if ticket.timer is not None and ticket.timer.active():
        ticket.timer.cancel()
    ticket.timer = None
