"""What POP3 sends is what is stored, for clients of either reading of a line, and TOP cuts where RFC 1939 says."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from lightmail.pop3.transfer import Stuffer, Top

octets = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\n.", b"\r\n.\r\n", b"\r\n\r\n", b"a", b"\0", b"\xff"])
).map(b"".join)
cuts = st.lists(st.integers(min_value=0, max_value=10_000))


def chunked(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(edge % (len(data) + 1) for edge in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def sent(message: bytes, at: list[int]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, chunked(message, at)), stuffer.end()])


def strict(response: bytes) -> tuple[bytes, bytes]:
    """A client for whom only CRLF ends a line: the message, and what it takes for the next response."""
    message = b""
    while True:
        line, ending, response = response.partition(b"\r\n")
        assert ending, "the response does not end"
        if line == b".":
            return message, response
        message += line.removeprefix(b".") + ending


def lenient(response: bytes) -> tuple[bytes, bytes]:
    """A client for whom LF ends a line, as Python's poplib and fetchmail; the ends of lines as they came."""
    message = b""
    while True:
        line, ending, response = response.partition(b"\n")
        assert ending, "the response does not end"
        if line in (b".", b".\r"):
            return message, response
        message += line.removeprefix(b".") + ending


def ended(message: bytes) -> bytes:
    return message if not message or message.endswith(b"\r\n") else message + b"\r\n"


@given(octets, cuts)
@example(b".", [])
@example(b"", [])
@example(b"a\n.\nb\r\n", [2])
def test_a_lenient_client_reads_every_message_exactly(message: bytes, at: list[int]) -> None:
    assert lenient(sent(message, at) + b"+OK next\r\n") == (ended(message), b"+OK next\r\n")


@given(octets, cuts)
def test_a_strict_client_reads_exactly_what_has_no_dot_behind_a_lone_line_feed(message: bytes, at: list[int]) -> None:
    read, rest = strict(sent(message, at) + b"+OK next\r\n")
    assert rest == b"+OK next\r\n"
    broken = message.replace(b"\r\n", b"").count(b"\n.") > 0 or b"\n." in message.replace(b"\r\n.", b"")
    if not broken:
        assert read == ended(message)


@given(octets, cuts)
def test_what_is_sent_before_stuffing_has_the_size_that_was_listed(message: bytes, at: list[int]) -> None:
    read, _ = lenient(sent(message, at))
    assert len(read) == len(message) or (len(read) == len(message) + 2 and not message.endswith(b"\r\n"))


def naive_top(message: bytes, lines: int) -> bytes:
    header, blank, body = (b"\r\n" + message).partition(b"\r\n\r\n")
    if not blank:
        return message
    out = (header + blank)[2:]
    for _ in range(lines):
        line, ending, body = body.partition(b"\r\n")
        out += line + ending
    return out


@given(octets, cuts, st.integers(min_value=0, max_value=6))
@example(b"\r\nbody\r\n", [], 0)
@example(b"A: b\r\n\r\none\r\ntwo\r\n", [7], 1)
def test_top_is_the_header_and_so_many_lines(message: bytes, at: list[int], lines: int) -> None:
    top = Top(lines)
    out = b""
    for chunk in chunked(message, at):
        if not top.done:
            out += top.feed(chunk)
    out += top.end()
    assert out == naive_top(message, lines)


@given(octets, st.integers(min_value=0, max_value=6))
def test_top_says_when_it_needs_no_more(message: bytes, lines: int) -> None:
    top = Top(lines)
    first = top.feed(message)
    if top.done:
        assert first + top.end() == naive_top(message, lines)
        assert naive_top(message + b"more\r\n", lines) == first
