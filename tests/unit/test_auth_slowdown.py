"""Guesses wait longer and longer, users elsewhere do not, and the tables stay small."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from twisted.internet.task import Clock

from lightmail.auth.slowdown import ADDRESS, PAIR, Slowdown
from lightmail.errors import Unavailable

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowdown(clock: Clock) -> Slowdown:
    return Slowdown(clock.seconds)


def guess(slowdown: Slowdown, clock: Clock, times: int, address: str = HERE, name: bytes = b"demo") -> float:
    """Seconds that so many guesses, one after the other, take."""
    began = clock.seconds()
    for _ in range(times):
        clock.advance(slowdown.wait(address, name))
        slowdown.failed(address, name)
    return clock.seconds() - began


def test_a_few_mistakes_cost_nothing(slowdown: Slowdown, clock: Clock) -> None:
    assert guess(slowdown, clock, PAIR.free) == 0
    assert slowdown.wait(HERE, b"demo") == 0


def test_the_wait_doubles_up_to_its_most(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, PAIR.free)
    waits = []
    for _ in range(8):
        slowdown.failed(HERE, b"demo")
        waits.append(slowdown.wait(HERE, b"demo"))
        clock.advance(waits[-1])
    assert waits == sorted(waits)
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits[-1] == PAIR.most_seconds


def test_a_thousand_guesses_take_hours(slowdown: Slowdown, clock: Clock) -> None:
    assert guess(slowdown, clock, 1000) > 4 * 3600 * 0.9


def test_nobody_is_locked_out_by_guesses_from_elsewhere(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, 100, address=ELSEWHERE)
    assert slowdown.wait(HERE, b"demo") == 0


def test_success_ends_the_wait_for_its_name_only(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, 10, name=b"a")
    guess(slowdown, clock, 10, name=b"b")
    slowdown.succeeded(HERE, b"a")
    assert slowdown.wait(HERE, b"a") < 1
    assert slowdown.wait(HERE, b"b") > 1


def test_guessing_many_names_slows_the_address(slowdown: Slowdown, clock: Clock) -> None:
    for number in range(200):
        clock.advance(slowdown.wait(HERE, b"user%d" % number))
        slowdown.failed(HERE, b"user%d" % number)
    assert clock.seconds() > 100
    assert slowdown.wait(HERE, b"somebody else") <= ADDRESS.most_seconds
    assert slowdown.wait(ELSEWHERE, b"somebody else") == 0


def test_attempts_side_by_side_gain_nothing(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, PAIR.free + 1)
    waits = [slowdown.wait(HERE, b"demo") for _ in range(10)]
    assert waits == [0.5 * (n + 1) for n in range(10)]


def test_an_attempt_far_down_the_queue_is_refused_as_transient(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, 20)
    while (last := slowdown.wait(HERE, b"demo")) + PAIR.most_seconds <= 30:
        assert last >= 0
    with pytest.raises(Unavailable):
        slowdown.wait(HERE, b"demo")
    clock.advance(60)
    assert slowdown.wait(HERE, b"demo") <= PAIR.most_seconds


def test_failures_are_forgotten(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, 50)
    clock.advance(15 * 60)
    assert slowdown.wait(HERE, b"demo") == 0
    assert len(slowdown) == 0


def test_the_tables_are_bounded(clock: Clock) -> None:
    slowdown = Slowdown(clock.seconds, entries=100)
    for number in range(1000):
        slowdown.failed(f"10.0.{number // 256}.{number % 256}", b"demo")
    assert len(slowdown) == 200


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_trusted_networks_never_wait(clock: Clock, address: str) -> None:
    slowdown = Slowdown(clock.seconds, trusted=[ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
    assert guess(slowdown, clock, 50, address=address) == 0
    assert len(slowdown) == 0


def test_an_ipv6_network_is_one_client(slowdown: Slowdown, clock: Clock) -> None:
    guess(slowdown, clock, 10, address="2001:db8::1")
    assert slowdown.wait("2001:db8::ffff:1", b"demo") > 1
    assert slowdown.wait("2001:db8:0:1::1", b"demo") == 0


def test_an_address_that_is_none_counts_as_it_stands(slowdown: Slowdown, clock: Clock) -> None:
    assert guess(slowdown, clock, 5, address="") > 0
    assert slowdown.wait("unix", b"demo") == 0
