"""Framing at its bounds: overlong lines, literals of any announced size, spools that fail."""

from __future__ import annotations

from io import BytesIO

import pytest

from lightmail.errors import SpoolFull, TooBig
from lightmail.imap.framing import Bounds, Frame, Framer
from lightmail.imap.tokens import Bad

BOUNDS = Bounds(line=100, literal=50, discard=1000)


class MemorySpool:
    """Stands in for a spool; full after `room` octets."""

    def __init__(self, room: int = 1000) -> None:
        self.octets = b""
        self.closed = False
        self._room = room

    def write(self, data: bytes) -> None:
        if len(self.octets) + len(data) > self._room:
            raise SpoolFull
        self.octets += data

    def open(self) -> BytesIO:
        return BytesIO(self.octets)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def framer() -> Framer:
    return Framer(BOUNDS)


def taken(framer: Framer) -> Frame:
    frame = framer.take()
    assert frame is not None
    return frame


def test_an_overlong_line_is_refused_with_its_tag_and_the_next_one_is_a_command(framer: Framer) -> None:
    framer.feed(b"a X " + b"y" * 200)
    assert framer.take() is None
    assert framer.buffered < 100
    framer.feed(b"z" * 200 + b"\r\nb NOOP\r\n")
    refused = taken(framer)
    assert isinstance(refused.error, Bad)
    assert refused.texts[0].startswith(b"a X ")
    assert taken(framer).texts == [b"b NOOP"]


def test_an_overlong_line_that_goes_on_and_on_is_fatal(framer: Framer) -> None:
    for _ in range(30):
        framer.feed(b"x" * 50)
        frame = framer.take()
        if frame is not None:
            break
    assert frame is not None
    assert frame.fatal
    framer.feed(b"b NOOP\r\n")
    assert framer.take() is None
    assert framer.buffered == 0


@pytest.mark.parametrize("packets", [1, 7, 1000])
def test_the_literal_at_the_end_of_an_overlong_line_is_no_command(framer: Framer, packets: int) -> None:
    octets = b"a X " + b"y" * 200 + b" {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n"
    frames = []
    for start in range(0, len(octets), packets):
        framer.feed(octets[start : start + packets])
        while (frame := framer.take()) is not None:
            frames.append(frame)
    assert [bool(frame.error) for frame in frames] == [True, False]
    assert frames[1].texts == [b"c NOOP"]


def test_the_size_of_a_literal_may_be_hidden_in_zeros(framer: Framer) -> None:
    framer.feed(b"a X " + b"y" * 200 + b" {" + b"0" * 80)
    assert framer.take() is None
    framer.feed(b"8+}\r\nb NOOP\r\n\r\nc NOOP\r\n")
    assert taken(framer).fatal
    assert framer.take() is None


@pytest.mark.parametrize("digits", [b"99999999999999", b"9" * 70])
def test_a_literal_beyond_all_bounds_is_refused(framer: Framer, digits: bytes) -> None:
    framer.feed(b"a X {%b}\r\nb NOOP\r\n" % digits)
    assert framer.take() is None
    with pytest.raises(TooBig):
        framer.grant()
    framer.refuse(TooBig())
    assert isinstance(taken(framer).error, TooBig)
    assert taken(framer).texts == [b"b NOOP"]  # the client was told not to send it, so this is a command
    framer.feed(b"c X {%b+}\r\nd NOOP\r\n" % digits)
    assert framer.take() is None
    framer.refuse(TooBig())
    assert taken(framer).fatal
    assert framer.take() is None


def test_all_literals_of_a_command_share_one_bound(framer: Framer) -> None:
    framer.feed(b"a X {30+}\r\n" + b"x" * 30 + b" {30+}\r\n" + b"x" * 30 + b"\r\nb NOOP\r\n")
    assert framer.take() is None
    framer.grant()
    assert framer.take() is None
    with pytest.raises(TooBig):
        framer.grant()
    framer.refuse(TooBig())
    assert isinstance(taken(framer).error, TooBig)
    assert taken(framer).texts == [b"b NOOP"]


def test_refused_literals_go_on_to_the_end_of_their_command(framer: Framer) -> None:
    framer.feed(b"a X {3+}\r\nabc {4+}\r\nb N\n {3}\r\nc NOOP\r\n")
    assert framer.take() is None
    framer.refuse(Bad("no"))
    assert isinstance(taken(framer).error, Bad)
    assert taken(framer).texts == [b"c NOOP"]


def test_a_spooled_literal_has_no_bound_here_and_is_not_held_here(framer: Framer) -> None:
    spool = MemorySpool()
    framer.feed(b"a APPEND x {400}\r\n")
    assert framer.take() is None
    framer.grant(spool)  # type: ignore[arg-type]
    for _ in range(4):
        framer.feed(b"m" * 100)
        assert framer.take() is None
        assert framer.buffered == 0
    framer.feed(b"\r\nb NOOP\r\n")
    frame = taken(framer)
    assert frame.literals == [spool]
    assert frame.octets < 20
    assert spool.octets == b"m" * 400
    assert taken(framer).texts == [b"b NOOP"]
    assert not spool.closed
    frame.close()
    assert spool.closed


def test_what_a_full_spool_cannot_take_is_discarded(framer: Framer) -> None:
    spool = MemorySpool(room=100)
    framer.feed(b"a APPEND x {400}\r\n")
    assert framer.take() is None
    framer.grant(spool)  # type: ignore[arg-type]
    framer.feed(b"m" * 90)
    assert framer.take() is None
    framer.feed(b"m" * 310 + b"\r\nb NOOP\r\n")
    frame = taken(framer)
    assert isinstance(frame.error, SpoolFull)
    assert frame.literals == []
    assert spool.closed
    assert taken(framer).texts == [b"b NOOP"]


def test_clearing_closes_the_spool_of_a_half_received_message(framer: Framer) -> None:
    spool = MemorySpool()
    framer.feed(b"a APPEND x {400}\r\n")
    assert framer.take() is None
    framer.grant(spool)  # type: ignore[arg-type]
    framer.feed(b"m" * 90)
    assert framer.take() is None
    framer.clear()
    assert spool.closed
    framer.feed(b"b NOOP\r\n")
    assert taken(framer).texts == [b"b NOOP"]


def test_lines_of_a_conversation_have_the_bound_of_a_command(framer: Framer) -> None:
    framer.feed(b"DO")
    assert framer.take_line() is None
    framer.feed(b"NE\r\nb NOOP\r\n")
    assert framer.take_line() == b"DONE"
    assert taken(framer).texts == [b"b NOOP"]
    framer.feed(b"x" * 101)
    with pytest.raises(Bad):
        framer.take_line()


def test_empty_lines_between_commands_mean_nothing(framer: Framer) -> None:
    framer.feed(b"\r\n\n\r\na NOOP\n")
    assert taken(framer).texts == [b"a NOOP"]
    assert framer.take() is None
    assert framer.frame is None
