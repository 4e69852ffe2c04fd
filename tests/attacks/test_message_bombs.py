"""Messages that are made to be read slowly: the time is linear in their size, whatever they are made of.

What `tests/unit/test_mime_rendering.py` has of them is held to a bound in seconds; here the same message is made twice
and four times as long, and the processor time must follow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO

import pytest

from lightmail.mime import render
from lightmail.mime.fields import decoded_field
from lightmail.mime.parts import all_parts, find_part
from lightmail.mime.text import searchable

KIB = 1 << 10
MIXED = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n"


def addresses(count: int) -> bytes:
    return b"To: " + b",\r\n ".join(b'"P %d" <p%d@x.test>' % (n, n) for n in range(count)) + b"\r\n\r\n"


def parts(count: int) -> bytes:
    return MIXED % b"b" + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * count + b"--b--\r\n"


def nested(depth: int) -> bytes:
    return b"".join(MIXED % b"%d" % n + b"--%d\r\n" % n for n in range(depth)) + b"x\r\n"


def prefixes(depth: int) -> bytes:
    """Each boundary is the beginning of the next, and every line is one that might belong to any."""
    opened = b"".join(MIXED % (b"b" * n) + b"--" + b"b" * n + b"\r\n" for n in range(1, 70))
    return opened + b"".join(b"--" + b"b" * (n % 70) + b"c\r\n" for n in range(depth))


def closing(count: int) -> bytes:
    opened = b"".join(MIXED % b"b%d" % n + b"--b%d\r\n\r\n" % n for n in range(90))
    return opened + b"".join(b"--b%d--\r\n--b%d\r\n\r\n" % (n % 90, n % 90) for n in range(count))


def continuations(count: int) -> bytes:
    return b"Content-Type: text/plain" + b"".join(b';\r\n a*%d="x"' % n for n in range(count)) + b"\r\n\r\n"


def backwards(count: int) -> bytes:
    return b"Content-Type: text/plain" + b"".join(b"; a*%d*=%%41" % n for n in reversed(range(count))) + b"\r\n\r\n"


def words(count: int) -> bytes:
    return b"Subject:" + b" =?utf-8?b?w6k=?=" * count + b"\r\n\r\n"


def broken_words(count: int) -> bytes:
    return b"Subject: " + b"=?utf-8?q?" * count + b"\r\nFrom: " + b"=?x" * count + b"\r\n\r\n"


def half_characters(count: int) -> bytes:
    """Encoded words that end in the middle of a character: what follows may complete it."""
    return b"Subject: " + b"=?utf-8?q?=C3?= =?utf-8?q?=A9?= " * count + b"\r\n\r\n"


def charsets(count: int) -> bytes:
    return b"Subject:" + b"".join(b" =?x-%d?q?a?=" % n for n in range(count)) + b"\r\n\r\n"


def comments(count: int) -> bytes:
    return b"From: " + b"(" * count + b"a" + b")" * count + b" <a@b.test>\r\nDate: " + b"(\\(" * count + b"\r\n\r\n"


def groups(count: int) -> bytes:
    return b"Cc: " + b"g: a@b, c@d; " * count + b"\r\n\r\n"


def received(count: int) -> bytes:
    return b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * count + b"\r\n"


def references(count: int) -> bytes:
    return b"References:" + b"".join(b" <%d@x.test>" % n for n in range(count)) + b"\r\n\r\n"


def replies(count: int) -> bytes:
    return b"Subject: " + b"Re: [x] " * count + b"y" + b" (fwd)" * count + b"\r\n\r\n"


def language(count: int) -> bytes:
    return b"Content-Language: " + b"en, " * count + b"\r\nContent-Disposition: x" + b'; f="\\""' * count + b"\r\n\r\n"


def stray_lines(count: int) -> bytes:
    return b"no colon here\r\n" * count + b"Subject: x\r\n\r\n"


def cr_lines(count: int) -> bytes:
    return b"Subject: x\r\n\r\n" + b"\r\r\n\n\r" * count


def html(count: int) -> bytes:
    return b"Content-Type: text/html\r\n\r\n" + b"<a <!-- &#x" * count


def attached(count: int) -> bytes:
    return MIXED % b"b" + b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n" * count


# Each with what makes it about a few 100 KiB: small enough to be quick, large enough that a square would show.
BOMBS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "addresses": (addresses, 25_000),
    "parts": (parts, 2_500),
    "nesting": (nested, 800),
    "boundaries that are prefixes of one another": (prefixes, 5_000),
    "boundaries that close again and again": (closing, 10_000),
    "continuations of a parameter": (continuations, 10_000),
    "continuations, the last first": (backwards, 10_000),
    "encoded words": (words, 10_000),
    "encoded words that never end": (broken_words, 20_000),
    "encoded words of half a character": (half_characters, 8_000),
    "a charset each": (charsets, 10_000),
    "comments": (comments, 40_000),
    "groups": (groups, 15_000),
    "fields": (received, 4_000),
    "references": (references, 12_000),
    "replies": (replies, 10_000),
    "languages and dispositions": (language, 12_000),
    "lines without a colon": (stray_lines, 15_000),
    "mixed line ends": (cr_lines, 50_000),
    "markup": (html, 25_000),
    "messages within": (attached, 1_500),
}


def work(message: bytes) -> float:
    """Processor seconds for all that is ever done to a message: rendered, searched, its parts looked up."""
    best = float("inf")
    for _ in range(2):
        started = time.process_time()
        rendered = render(BytesIO(message))
        extents = all_parts(rendered.parts)
        for _ in searchable(message, extents):
            pass
        decoded_field(rendered.header, rendered.header_fields, b"subject")
        for number in (1, 100, 9_999):
            find_part(rendered.parts, (number,))
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize("name", BOMBS)
def test_the_time_is_linear_in_the_size(name: str) -> None:
    make, count = BOMBS[name]
    once, twice, four_times = (work(make(factor * count)) for factor in (1, 2, 4))
    print(f"{len(make(count)) / KIB:.0f} KiB in {once * 1000:.0f} ms, x{twice / once:.1f}, x{four_times / once:.1f}")
    # A square would be 4 and 16 times. What is tiny is noise.
    assert four_times < max(9 * once, 0.1), (once, twice, four_times)
    assert four_times < 5


@pytest.mark.parametrize("depth", [100, 1_000, 3_000])
def test_nesting_of_every_kind_at_every_depth(depth: int) -> None:
    for level in (
        b"Content-Type: message/rfc822\r\n\r\n",
        MIXED % b"b" + b"--b\r\n",
        MIXED % b"b" + b"--b\r\nContent-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/global\r\n\r\n",
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n",
    ):
        started = time.process_time()
        rendered = render(BytesIO(level * depth + b"x\r\n"))
        assert len(rendered.bodystructure) < KIB * KIB  # whatever the depth: 100 levels are told of
        assert time.process_time() - started < 2


@pytest.mark.parametrize("octets", [b"(", b'"', b"<", b"\\", b"=?", b"\0", b"\r\n ", b"\xff", b"@,", b";a=", b"[:"])
def test_a_header_of_a_mebibyte(octets: bytes) -> None:
    third = octets * (KIB * KIB // 3 // len(octets))
    assert work(b"Subject: " + third + b"\r\nTo: " + third + b"\r\nContent-Type: " + third + b"\r\n\r\n") < 3
