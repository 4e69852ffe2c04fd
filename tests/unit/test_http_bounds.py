"""What an HTTP client that takes its time may take, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lightmail.web.http import BoundedChannel, BoundedSite
from lightmail.web.shares import Shares


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class _Slow(Resource):
    """Answers when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def render(self, request: Any) -> int:
        self.waiting.append(request)
        return NOT_DONE_YET


class Line:
    """A connection to a bounded site, and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.page = _Slow()
        self.site = BoundedSite(self.page, self.clock)
        self.protocol = self.site.buildProtocol(None)
        self.transport = _Transport()
        self.protocol.makeConnection(self.transport)

    def trickle(self, octets: bytes, seconds: float) -> None:
        """Send one octet each second, then nothing, for so many seconds in all."""
        for second in range(int(seconds)):
            if not self.transport.aborted:
                self.protocol.dataReceived(octets[second : second + 1])
            self.clock.advance(1)


@pytest.fixture
def line() -> Line:
    return Line()


def test_a_header_that_trickles_is_cut_off(line):
    line.trickle(b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 1000, 59)
    assert not line.transport.aborted
    line.trickle(b"xx", 2)
    assert line.transport.aborted
    assert line.page.waiting == []


def test_a_body_that_trickles_is_cut_off(line):
    line.protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
    line.trickle(b"x" * 1000, 61)
    assert line.transport.aborted


def test_an_answer_may_take_as_long_as_it_takes(line):
    line.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    line.clock.advance(600)
    assert not line.transport.aborted
    line.page.waiting[0].finish()
    assert line.transport.value().startswith(b"HTTP/1.1 200")


def test_the_next_request_has_its_own_minute(line):
    for _ in range(3):
        line.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        line.page.waiting.pop().finish()
        line.clock.advance(50)
    assert not line.transport.aborted
    line.clock.advance(11)
    assert line.transport.aborted or line.transport.disconnecting


def test_what_a_body_held_is_given_back_when_its_client_is_gone(line):
    line.protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 900)
    held = line.site.bodies.room
    line.protocol.connectionLost()
    assert line.site.bodies.room == held + 900


def test_no_address_takes_more_than_a_quarter():
    shares = Shares(100, lambda address: address == "here")
    assert [shares.take("192.0.2.1") for _ in range(26)] == [True] * 25 + [False]
    assert shares.take("192.0.2.2")
    assert [shares.take("here") for _ in range(75)] == [True] * 74 + [False]
    assert not shares.take("192.0.2.3")
    shares.give_back("here", 74)
    shares.give_back("192.0.2.1", 25)
    shares.give_back("192.0.2.2")
    assert shares.room == 100
    assert [shares.take("192.0.2.1", 25), shares.take("192.0.2.1", 1)] == [True, False]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), max_size=60))
def test_what_is_given_back_can_be_taken_again(steps):
    shares = Shares(100, lambda address: address == "c")
    taken: list[tuple[str, int]] = []
    for address, amount in steps:
        if shares.take(address, amount):
            taken.append((address, amount))
        elif taken:
            shares.give_back(*taken.pop(0))
        assert shares.room == 100 - sum(amount for _, amount in taken)
        for each in "ab":
            assert sum(amount for address, amount in taken if address == each) <= 25


def test_places_are_given_back(line):
    room = line.site.bodies.room
    strangers = [line.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", port)) for port in range(1, 52)]
    assert [isinstance(each, BoundedChannel) for each in strangers] == [True] * 50 + [False]
    turned_away = _Transport()
    strangers[-1].makeConnection(turned_away)
    assert turned_away.disconnecting
    for each in strangers[:-1]:
        each.makeConnection(_Transport())
        each.connectionLost()
    assert isinstance(line.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 60)), BoundedChannel)
    assert line.site.bodies.room == room
