"""Who writes when: order within a mailbox, shares between accounts, groups, bounds (DESIGN section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from lightmail.errors import Unavailable
from lightmail.model import AccountId, MailboxId
from lightmail.operations import queue
from lightmail.operations.queue import Ticket, Turn, WriteQueue


def ticket(name: str, account: int, *mailboxes: int, group: str | None = None, octets: int = 0) -> Ticket:
    made = Ticket(name, frozenset({AccountId(account)}), frozenset(map(MailboxId, mailboxes)), group, octets)
    made.done.addErrback(lambda failure: failure.value)
    return made


class Office:
    """A queue, and the turns it has started, by the names of their tickets."""

    def __init__(self, connections: int = 8) -> None:
        self.clock = Clock()
        self.turns: list[Turn] = []
        self.queue = WriteQueue(self.turns.append, connections=connections, reactor=self.clock)

    def enter(self, *tickets: Ticket) -> None:
        for each in tickets:
            self.queue.enter(each)

    def running(self) -> list[str]:
        return ["+".join(each.work for each in turn.tickets) for turn in self.turns]

    def finish(self, name: str) -> None:
        turn = self.turns.pop(self.running().index(name))
        self.queue.finish(turn)


def test_writers_to_one_mailbox_go_one_after_another_in_order() -> None:
    office = Office()
    office.enter(ticket("a", 1, 1), ticket("b", 2, 1), ticket("c", 3, 1), ticket("d", 4, 2))
    assert office.running() == ["a", "d"]
    office.finish("a")
    assert office.running() == ["d", "b"]
    office.finish("b")
    assert office.running() == ["d", "c"]


def test_one_that_needs_several_mailboxes_is_not_overtaken_for_ever() -> None:
    office = Office()
    office.enter(ticket("a", 1, 1), ticket("both", 2, 1, 2), ticket("late", 3, 2))
    assert office.running() == ["a"], "`late` came after `both`, which waits for its mailbox"
    office.finish("a")
    assert office.running() == ["both"]
    office.finish("both")
    assert office.running() == ["late"]


def test_an_account_has_a_quarter_of_the_connections() -> None:
    office = Office(connections=8)
    office.enter(*(ticket(f"a{number}", 1, number) for number in range(5)), ticket("other", 2, 99))
    assert office.running() == ["a0", "a1", "other"]
    office.finish("a1")
    assert office.running() == ["a0", "other", "a2"]


def test_a_pool_of_one_still_works() -> None:
    office = Office(connections=1)
    office.enter(ticket("a", 1, 1), ticket("b", 2, 2))
    assert office.running() == ["a"]
    office.finish("a")
    assert office.running() == ["b"]


def test_those_of_a_group_that_wait_share_a_turn() -> None:
    office = Office()
    office.enter(*(ticket(f"d{number}", number, number, group="deliver") for number in range(5)))
    assert office.running() == ["d0", "d1"]
    office.finish("d0")
    assert office.running() == ["d1", "d2+d3+d4"]


def test_a_group_shares_a_mailbox_too_but_takes_none_that_another_holds() -> None:
    office = Office()
    office.enter(
        ticket("slow", 9, 7),
        ticket("x", 1, 1, group="g"),
        ticket("y", 2, 2, group="g"),
        ticket("held", 3, 7, group="g"),
        ticket("one", 3, 3, group="g"),
        ticket("two", 4, 3, group="g"),
        ticket("after", 5, 7, group="g"),
    )
    office.finish("x")
    assert office.running() == ["slow", "y", "one+two"]
    office.finish("slow")
    assert office.running() == ["y", "one+two"], "two groups run at a time"
    office.finish("y")
    assert office.running() == ["one+two", "held+after"]


def test_a_group_is_bounded_in_writers_and_octets() -> None:
    office = Office()
    office.enter(*(ticket(f"first{number}", 100 + number, 100 + number, group="g") for number in range(2)))
    half = queue.GROUP_OCTETS // 2
    office.enter(*(ticket(f"big{number}", number, number, group="g", octets=half) for number in range(3)))
    office.finish("first0")
    assert office.running() == ["first1", "big0+big1"]
    office.finish("first1")
    office.finish("big0+big1")
    office.finish("big2")
    office.enter(*(ticket("s", number, number, group="g") for number in range(2 + queue.GROUP_WRITERS * 2)))
    office.finish("s")
    assert len(office.turns[-1].tickets) == queue.GROUP_WRITERS


def test_waiting_is_bounded_in_time_and_number() -> None:
    office = Office()
    late = ticket("late", 2, 1)
    office.enter(ticket("a", 1, 1), late, ticket("b", 3, 1))
    office.clock.advance(queue.WAIT_SECONDS + 1)
    assert isinstance(late.done.result, Unavailable)
    office.finish("a")
    assert office.running() == []
    assert office.clock.getDelayedCalls() == []
    office.enter(ticket("a", 1, 1))
    office.enter(*(ticket("w", 2, 1) for _ in range(queue.WAITING)))
    with pytest.raises(Unavailable):
        office.enter(ticket("one-more", 2, 1))


def test_one_that_withdraws_makes_room() -> None:
    office = Office()
    waits = ticket("waits", 2, 1, 2)
    office.enter(ticket("a", 1, 1), waits, ticket("b", 3, 2))
    office.queue.withdraw(waits)
    office.queue.withdraw(waits)
    assert office.running() == ["a", "b"]
    office.finish("a")
    assert office.running() == ["b"]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.lists(st.integers(1, 5), min_size=1, max_size=3),
            st.sampled_from([None, "g", "h"]),
            st.integers(0, 6),
        ),
        max_size=60,
    ),
    st.integers(1, 9),
)
@settings(max_examples=300, deadline=None)
def test_everybody_gets_a_turn_and_no_mailbox_has_two(steps: list[tuple[Any, ...]], connections: int) -> None:
    office = Office(connections)
    order: dict[int, list[int]] = {}
    served: list[Ticket] = []

    def check() -> None:
        held = [mailbox for turn in office.turns for mailbox in turn.mailboxes]
        assert len(held) == len(set(held))
        assert len(office.turns) <= connections
        for account in range(1, 5):
            assert sum(account in turn.accounts for turn in office.turns) <= max(1, connections // 4)

    def finish_first() -> None:
        turn = office.turns[0]
        served.extend(turn.tickets)
        office.finish(office.running()[0])
        check()

    for number, (account, mailboxes, group, pause) in enumerate(steps):
        made = ticket(str(number), account, *mailboxes, group=group)
        for mailbox in mailboxes:
            order.setdefault(mailbox, []).append(number)
        office.enter(made)
        check()
        if office.turns and pause == 0:
            finish_first()
    while office.turns:
        finish_first()
    assert sorted(int(each.work) for each in served) == list(range(len(steps)))
    for mailbox, numbers in order.items():
        came = [int(each.work) for each in served if mailbox in each.mailboxes]
        assert came == list(dict.fromkeys(numbers))
