"""What a conversation may rely on: order, bounds, deadlines, and that nothing waits for ever."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from lightmail.channel import (
    ENDLESS_LINE_OCTETS,
    INPUT_OCTETS,
    LINGER_SECONDS,
    OUTPUT_OCTETS,
    Channel,
    Closed,
    Draining,
    EndlessLine,
    LineTooLong,
    TimedOut,
)

T = TypeVar("T")


class Peer:
    """A channel on a transport in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self
        self.channel = Channel(self.transport, self.clock, 30)

    def connectionLost(self, reason: object) -> None:
        self.channel.lost()

    def begin(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        return Deferred.fromCoroutine(coroutine)


def outcome(d: Deferred[T]) -> Any:
    """The result or the exception of a Deferred that must have fired."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "it still waits"
    return getattr(seen[0], "value", seen[0])


def waits(d: Deferred[Any]) -> bool:
    return not d.called


def test_lines_come_whole_and_in_order_however_they_are_cut() -> None:
    peer = Peer()
    first = peer.begin(peer.channel.line(100))
    peer.channel.received(b"NO")
    peer.channel.received(b"OP\r")
    assert waits(first)
    peer.channel.received(b"\nsecond\r\nthi")
    assert outcome(first) == b"NOOP"
    assert outcome(peer.begin(peer.channel.line(100))) == b"second"
    third = peer.begin(peer.channel.line(100))
    assert waits(third)
    peer.channel.received(b"rd\r\n")
    assert outcome(third) == b"third"


def test_a_bare_line_feed_or_carriage_return_ends_no_line() -> None:
    peer = Peer()
    peer.channel.received(b"a\nb\rc\r\n")
    assert outcome(peer.begin(peer.channel.line(100))) == b"a\nb\rc"


@pytest.mark.parametrize("text", [b"x" * 101, b"x" * 101 + b"\r\n"])
def test_a_line_over_its_bound_is_refused_and_can_be_skipped(text: bytes) -> None:
    peer = Peer()
    peer.channel.received(text)
    refused = peer.begin(peer.channel.line(100))
    peer.channel.received(b"more\r")
    peer.channel.received(b"\nnext\r\n")
    assert isinstance(outcome(refused), LineTooLong)
    rest = b"next" if not text.endswith(b"\r\n") else b"more"
    assert outcome(peer.begin(peer.channel.line(100))) == rest


def test_a_line_without_end_is_given_up() -> None:
    peer = Peer()
    refused = peer.begin(peer.channel.line(100))
    for _ in range(ENDLESS_LINE_OCTETS // 65536):
        peer.channel.received(b"y" * 65536)
    assert waits(refused)
    peer.channel.received(b"y")
    assert isinstance(outcome(refused), EndlessLine)


@pytest.mark.parametrize("cut", [0, 99, 100, 101, 102])
def test_a_line_at_its_bound_is_taken_however_it_is_cut(cut: int) -> None:
    peer = Peer()
    text = b"x" * 100 + b"\r\n"
    peer.channel.received(text[:cut])
    line = peer.begin(peer.channel.line(100))
    peer.channel.received(text[cut:])
    assert outcome(line) == b"x" * 100


def test_octets_come_in_the_pieces_asked_for_and_can_be_put_back() -> None:
    peer = Peer()
    peer.channel.received(b"abcdef")
    assert outcome(peer.begin(peer.channel.some(4))) == b"abcd"
    peer.channel.unread(b"cd")
    assert outcome(peer.begin(peer.channel.some())) == b"cdef"
    more = peer.begin(peer.channel.some())
    assert waits(more)
    peer.channel.received(b"g")
    assert outcome(more) == b"g"


def test_the_next_line_is_given_only_if_it_is_complete_and_of_its_kind() -> None:
    peer = Peer()
    peer.channel.received(b"rcpt one\r\nRCPT " + b"l" * 50 + b"\r\nRCPT tw")
    assert peer.channel.next_line_if(b"RCPT ", 20) == b"rcpt one"
    assert peer.channel.next_line_if(b"RCPT ", 20) is None
    assert peer.channel.next_line_if(b"RCPT ", 60) == b"RCPT " + b"l" * 50
    assert peer.channel.next_line_if(b"RCPT ", 60) is None
    peer.channel.received(b"o\r\nDATA\r\n")
    assert peer.channel.next_line_if(b"RCPT ", 60) == b"RCPT two"
    assert peer.channel.next_line_if(b"RCPT ", 60) is None


def test_input_that_nobody_takes_pauses_the_transport_until_it_is_taken() -> None:
    peer = Peer()
    peer.channel.received(b"z" * INPUT_OCTETS)
    assert peer.transport.producerState == "producing"
    peer.channel.received(b"z")
    assert peer.transport.producerState == "paused"
    assert len(outcome(peer.begin(peer.channel.some()))) == INPUT_OCTETS + 1
    assert peer.transport.producerState == "paused"  # nobody needs more yet
    more = peer.begin(peer.channel.some())
    assert peer.transport.producerState == "producing"
    peer.channel.received(b"q")
    assert outcome(more) == b"q"


def test_a_peer_that_does_not_read_holds_the_conversation_up() -> None:
    peer = Peer()
    assert outcome(peer.begin(peer.channel.drained())) is None
    peer.channel.pauseProducing()
    held = peer.begin(peer.channel.drained())
    peer.channel.received(b"more input is no reason to go on\r\n")
    assert waits(held)
    peer.channel.resumeProducing()
    assert outcome(held) is None


def test_replies_leave_together_when_the_conversation_waits() -> None:
    peer = Peer()
    peer.channel.received(b"one\r\n")
    peer.channel.write(b"first ")
    assert outcome(peer.begin(peer.channel.line(100))) == b"one"
    peer.channel.write(b"second")
    assert peer.transport.value() == b""
    peer.begin(peer.channel.line(100))
    assert peer.transport.value() == b"first second"


def test_what_is_long_leaves_before() -> None:
    peer = Peer()
    peer.channel.write(b"x" * OUTPUT_OCTETS)
    assert outcome(peer.begin(peer.channel.drained())) is None
    assert len(peer.transport.value()) == OUTPUT_OCTETS


def test_every_wait_has_a_deadline_of_its_own() -> None:
    peer = Peer()
    line = peer.begin(peer.channel.line(100))
    peer.clock.advance(29)
    peer.channel.received(b"slow")
    peer.clock.advance(29)
    assert waits(line)
    peer.clock.advance(2)
    assert isinstance(outcome(line), TimedOut)
    peer.channel.pauseProducing()
    held = peer.begin(peer.channel.drained())
    peer.clock.advance(31)
    assert isinstance(outcome(held), TimedOut)


def test_time_that_the_server_takes_is_not_counted() -> None:
    peer = Peer()
    peer.channel.received(b"one\r\n")
    assert outcome(peer.begin(peer.channel.line(100))) == b"one"
    peer.clock.advance(1000)
    line = peer.begin(peer.channel.line(100))
    peer.clock.advance(29)
    assert waits(line)
    peer.channel.received(b"two\r\n")
    assert outcome(line) == b"two"


def test_a_lost_connection_ends_every_wait_and_lets_no_timer_behind() -> None:
    peer = Peer()
    line = peer.begin(peer.channel.line(100))
    peer.channel.lost()
    assert isinstance(outcome(line), Closed)
    assert isinstance(outcome(peer.begin(peer.channel.some())), Closed)
    assert isinstance(outcome(peer.begin(peer.channel.drained())), Closed)
    assert peer.clock.getDelayedCalls() == []
    peer.channel.write(b"into the void")
    assert peer.transport.value() == b""


def test_closing_sends_what_is_written_and_then_takes_nothing_more() -> None:
    peer = Peer()
    peer.channel.write(b"bye")
    peer.channel.close()
    assert peer.transport.value() == b"bye"
    assert peer.channel.is_closed
    assert not peer.transport.connected
    assert isinstance(outcome(peer.begin(peer.channel.line(100))), Closed)


def test_a_peer_that_does_not_read_the_last_words_is_cut_off() -> None:
    peer = Peer()
    aborted: list[bool] = []
    peer.transport.loseConnection = lambda: None  # type: ignore[method-assign]  # the last words never leave
    peer.transport.abortConnection = lambda: aborted.append(True)  # type: ignore[method-assign]
    peer.channel.close()
    peer.clock.advance(LINGER_SECONDS - 1)
    assert aborted == []
    peer.clock.advance(2)
    assert aborted == [True]


def test_draining_lets_what_was_sent_be_answered_and_ends_the_next_wait_for_a_line() -> None:
    peer = Peer()
    data = peer.begin(peer.channel.some())
    peer.channel.drain("stopping")
    assert waits(data)
    peer.channel.received(b"rest\r\nlast\r\n")
    peer.channel.unread(outcome(data))
    assert outcome(peer.begin(peer.channel.line(100))) == b"rest"
    assert outcome(peer.begin(peer.channel.line(100))) == b"last"
    assert isinstance(outcome(peer.begin(peer.channel.line(100))), Draining)


def test_draining_wakes_a_peer_between_two_commands() -> None:
    peer = Peer()
    line = peer.begin(peer.channel.line(100))
    peer.channel.drain("stopping")
    assert isinstance(outcome(line), Draining)


def test_forgotten_input_is_gone() -> None:
    peer = Peer()
    peer.channel.received(b"STLS\r\nUSER injected\r\n")
    assert outcome(peer.begin(peer.channel.line(100))) == b"STLS"
    peer.channel.forget_input()
    line = peer.begin(peer.channel.line(100))
    assert waits(line)
    peer.channel.received(b"USER honest\r\n")
    assert outcome(line) == b"USER honest"
