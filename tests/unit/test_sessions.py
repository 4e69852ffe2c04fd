"""Sessions are counted while they are open, and all end when the server stops."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from lightmail.metrics import REGISTRY
from lightmail.sessions import STOPPING, Sessions, TurnedAway


class Talk:
    """A session that ends when the test says so."""

    id = "talk"
    phase = "talking"

    def __init__(self, sessions: Sessions[Talk]) -> None:
        self.told: list[str] = []
        sessions.opened(self)

    def about(self) -> None:
        return None

    def drain(self, why: str) -> None:
        assert why == STOPPING
        self.told.append("drain")

    def abort(self) -> None:
        self.told.append("abort")


class Fixture:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sessions: Sessions[Talk] = Sessions("test", reactor=self.clock)

    def drain(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.sessions.drain(30))


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_open_sessions_are_counted(fixture: Fixture) -> None:
    talks = [Talk(fixture.sessions) for _ in range(3)]
    fixture.sessions.closed(talks[1])
    assert len(fixture.sessions) == 2
    assert set(fixture.sessions) == {talks[0], talks[2]}
    assert REGISTRY.get_sample_value("lightmail_sessions", {"protocol": "test", "state": "talking"}) == 2
    for talk in fixture.sessions:
        fixture.sessions.closed(talk)
    assert not REGISTRY.get_sample_value("lightmail_sessions", {"protocol": "test", "state": "talking"})


def test_draining_returns_with_the_end_of_the_last(fixture: Fixture) -> None:
    talks = [Talk(fixture.sessions) for _ in range(2)]
    drained = fixture.drain()
    assert fixture.sessions.draining
    fixture.sessions.closed(talks[0])
    assert not drained.called
    fixture.sessions.closed(talks[1])
    assert drained.called
    assert [talk.told for talk in talks] == [["drain"], ["drain"]]
    assert not fixture.clock.getDelayedCalls()
    assert fixture.drain().called, "there are none left to wait for"


def test_what_does_not_end_in_time_is_cut_off(fixture: Fixture) -> None:
    quick, slow = Talk(fixture.sessions), Talk(fixture.sessions)
    drained = fixture.drain()
    fixture.sessions.closed(quick)
    fixture.clock.advance(30)
    assert drained.called
    assert (quick.told, slow.told) == (["drain"], ["drain", "abort"])
    fixture.sessions.closed(slow)


def test_who_gives_up_waiting_cuts_off_too(fixture: Fixture) -> None:
    talk = Talk(fixture.sessions)
    drained = fixture.drain()
    drained.addErrback(lambda failure: failure.trap(CancelledError))
    drained.cancel()
    assert talk.told == ["drain", "abort"]
    fixture.sessions.closed(talk)


def test_a_connection_too_many_is_told_so_and_closed() -> None:
    transport = StringTransport()
    TurnedAway(b"* BYE\r\n").makeConnection(transport)
    assert transport.value() == b"* BYE\r\n"
    assert transport.disconnecting
