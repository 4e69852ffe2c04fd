"""The DATA scanner against a naive reading of RFC 5321 section 4.5.2, over every way to cut the octets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from lightmail.lmtp.dotted import DottedData

# Octets that matter to the scanner, so that the search is dense in the hard cases.
octets = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a", b"\0", b"\xff"])).map(
    b"".join
)


def naive(data: bytes) -> tuple[bytes, bytes | None]:
    """Line by line: the message so far, and what is behind the end if it has come."""
    message = b""
    while True:
        line, ending, data_after = data.partition(b"\r\n")
        if not ending:
            return message, None
        if line == b".":
            return message, data_after
        message += line.removeprefix(b".") + ending
        data = data_after


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(octets, st.lists(st.integers(min_value=0, max_value=10_000)))
@example(b".\r\n", [])
@example(b"\r\n.\r\n", [1, 2, 3, 4])
@example(b"..\r\n.\r\nQUIT\r\n", [1])
def test_any_chunking_reads_as_the_naive_reading(data: bytes, cuts: list[int]) -> None:
    message, rest = naive(data)
    scanner = DottedData()
    got = b""
    chunks = cut(data, cuts)
    while chunks and scanner.rest is None:
        got += scanner.feed(chunks.pop(0))
    if rest is None:
        assert scanner.rest is None
        # An unfinished last line may be out already; at most four octets are kept back.
        assert got[: len(message)] == message[: len(got)]
        assert len(message) - len(got) <= 4
    else:
        assert got == message
        assert scanner.rest is not None
        assert scanner.rest + b"".join(chunks) == rest


@given(octets, octets)
def test_stuffing_comes_back_as_it_was(message: bytes, behind: bytes) -> None:
    message += b"\r\n"
    stuffed = (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..")
    scanner = DottedData()
    assert scanner.feed(stuffed + b".\r\n" + behind) == message
    assert scanner.rest == behind


@given(
    st.sampled_from([b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\n\r.\r\n\r", b"\r\n.\n", b"\r\n.\r", b"\r\r\n."])
)
def test_nothing_but_crlf_dot_crlf_ends_the_data(smuggled: bytes) -> None:
    scanner = DottedData()
    scanner.feed(b"Subject: x\r\n\r\nbody" + smuggled + b"MAIL FROM:<evil@example.org>")
    assert scanner.rest is None
