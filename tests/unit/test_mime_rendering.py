"""What a rendering holds beside wire octets, and the bounds of rendering."""

from __future__ import annotations

import time
import tracemalloc
from io import BytesIO
from typing import BinaryIO, cast

import pytest

from lightmail.mime import all_parts, find_part, render, searchable, strip_extensions
from lightmail.mime.scanner import MAX_HEADER_OCTETS, MAX_NESTING, MAX_PARTS
from tests.support.imapdata import parse_imap

OPAQUE = [b"application", b"octet-stream", None, None, None, b"8bit"]
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
MIB = 1 << 20


def test_search_columns() -> None:
    rendered = render(
        BytesIO(
            b"From: =?utf-8?q?J=C3=B6?= <JOE@x.test>\r\nTo: A@b\r\nTo: C@d\r\nCc: \xc3\x89 <e@f>\r\n"
            b"Subject: Re: =?utf-8?q?Caf=C3=89?=\r\n\tAgain\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
            b'Message-ID: (c) <"a b"@x>\r\nIn-Reply-To: <no@x>\r\nReferences: <1@x>\r\n <2@x> junk <3@x>\r\n\r\nbody'
        )
    )
    assert rendered.from_ == "jö <joe@x.test>"
    assert rendered.to == "a@b\nc@d"
    assert rendered.cc == "é <e@f>"
    assert rendered.bcc == ""
    assert rendered.subject == "re: café again"
    assert rendered.base_subject == "café again"
    assert rendered.sent_us == 880_106_106_000_000
    assert rendered.message_id == "<ab@x>"
    assert rendered.references == "<1@x> <2@x> <3@x>"
    assert rendered.header.endswith(b"<3@x>\r\n\r\n")


def test_references_fall_back_to_in_reply_to() -> None:
    assert render(BytesIO(b"In-Reply-To: Your <1@x> and <2@x>\r\nReferences: none\r\n\r\n")).references == "<1@x>"


def test_long_references_keep_the_first_and_the_latest() -> None:
    header = b"References: " + b" ".join(b"<%d@x>" % n for n in range(500)) + b"\r\n\r\n"
    kept = render(BytesIO(header)).references.split(" ")
    assert kept == ["<0@x>", *[f"<{n}@x>" for n in range(401, 500)]]


def test_a_message_of_nothing() -> None:
    rendered = render(BytesIO(b""))
    assert (rendered.header, rendered.subject, rendered.sent_us, rendered.message_id) == (b"", "", None, "")
    assert [part.path for part in all_parts(rendered.parts)] == [(), (1,)]


class TestBounds:
    def test_a_header_block_is_cut_after_its_last_line_within_the_bound(self) -> None:
        line = b"X: " + b"y" * 95 + b"\r\n"
        message = b"Subject: x\r\n" + line * (2 * MIB // len(line)) + b"\r\nbody"
        rendered = render(BytesIO(message))
        assert MAX_HEADER_OCTETS - len(line) < len(rendered.header) <= MAX_HEADER_OCTETS
        assert rendered.header.endswith(b"y\r\n")
        assert rendered.subject == "x"
        assert parse_imap(rendered.bodystructure)[:7] == [*OPAQUE, len(message) - len(rendered.header)]

    def test_a_header_block_of_one_endless_line(self) -> None:
        rendered = render(BytesIO(b"Subject: " + b"x" * 2 * MIB))
        assert len(rendered.header) == MAX_HEADER_OCTETS

    def test_parts_beyond_the_bound_are_one_opaque_part(self) -> None:
        message = MULTIPART + b"--b\r\n\r\n" * (MAX_PARTS + 1000)
        rendered = render(BytesIO(message))
        parts = all_parts(rendered.parts)
        assert len(parts) == MAX_PARTS + 1
        assert (parts[-1].media_type, parts[-1].body_end) == (b"application/octet-stream", len(message))

    @pytest.mark.parametrize(
        "level",
        [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", b"Content-Type: message/rfc822\r\n\r\n"],
        ids=["multipart", "message"],
    )
    def test_nesting_beyond_the_bound_is_opaque(self, level: bytes) -> None:
        levels = [level % (n, n) if b"%d" in level else level for n in range(1000)]
        found = parse_imap(render(BytesIO(b"".join(levels) + b"\r\n\r\nx")).bodystructure)
        depth = 0
        while isinstance(found[0], list) or found[0] == b"message":
            found = found[0] if isinstance(found[0], list) else found[8]
            depth += 1
        assert (depth, found[:6]) == (MAX_NESTING, OPAQUE)

    def test_headers_of_parts_have_a_bound_together(self) -> None:
        part = b"--b\r\nContent-Type: text/html; name=" + b"x" * 1000 + b"\r\n\r\n"
        found = parse_imap(render(BytesIO(MULTIPART + part * 2000)).bodystructure)
        kinds = [part[0] for part in found[:-5]]
        assert len(kinds) == 2000
        assert kinds == [b"text"] * kinds.count(b"text") + [b"application"] * kinds.count(b"application")
        assert 900 < kinds.count(b"text") < 1100

    def test_memory_does_not_grow_with_the_message(self) -> None:
        tracemalloc.start()
        try:
            rendered = render(cast(BinaryIO, _Repeating(MULTIPART + b"--b\r\n\r\n", b"x" * 76 + b"\r\n", 50 * MIB)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        part = find_part(rendered.parts, (1,))
        assert part is not None
        assert part.body_end > 49 * MIB
        assert peak < 2 * MIB


class _Repeating:
    """A stream of a head and then one line again and again."""

    def __init__(self, head: bytes, line: bytes, octets: int) -> None:
        self._head = head
        self._lines = line * (MIB // len(line))
        self._left = octets

    def read(self, size: int) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        block = self._lines[: min(size, self._left)]
        self._left -= len(block)
        return block


HOSTILE = {
    "79 kB To": b"To: " + b", ".join(b'"Person %d" <p%d@x.test>' % (n, n) for n in range(3000)) + b"\r\n\r\n",
    "quotes": b"To: " + b'"' * MIB,
    "escapes": b"To: " + b'"\\' * MIB,
    "parentheses": b"To: " + b"(" * MIB,
    "closed parentheses": b"To: " + b"(" * 50_000 + b")" * 50_000,
    "angles": b"To: " + b"<" * MIB,
    "routes": b"To: " + b"<@:" * MIB,
    "brackets": b"To: " + b"[" * MIB,
    "dots": b"To: " + b"a . " * MIB,
    "commas": b"To: " + b"," * MIB,
    "recipient fields": b"To: a@b\r\n" * 100_000,
    "open encoded words": b"To: " + b"=?a?q?" * (MIB // 8) + b"\r\nSubject: " + b"=?a?q?" * (MIB // 16),
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * (MIB // 15) + b"\r\n\r\n",
    "list tags": b"Subject: " + b"[a]" * (MIB // 4) + b"\r\n\r\n",
    "comments in Date": b"Date: " + b"(" * (MIB // 4) + b")" * (MIB // 4) + b"\r\n\r\n",
    "folds": b"Subject: x" + b"\r\n " * (MIB // 4) + b"\r\n\r\n",
    "tiny fields": b"a:\n" * MIB,
    "ids": b"References: " + b"<" * (MIB // 2) + b"\r\nIn-Reply-To: " + b"<a>" * (MIB // 8) + b"\r\n\r\n",
    "semicolons": b"Content-Type: text/plain" + b";" * (MIB // 2) + b"\r\n\r\n",
    "names without values": b"Content-Type: text/plain" + b";a " * (MIB // 4) + b"\r\n\r\n",
    "open quotes in parameters": b"Content-Type: text/plain" + b';a="' * (MIB // 5) + b"\r\n\r\n",
    "escapes in parameters": b"Content-Type: text/plain; a=" + b'"\\' * (MIB // 3) + b"\r\n\r\n",
    "sections of a parameter": b"Content-Type: a/b"
    + b"".join(b"; a*%d*=%%20" % n for n in range(60_000))
    + b"\r\n\r\n",
    "a line of 1 MB": b"Subject: x\r\n\r\n" + b"x" * MIB,
    "10,000 boundaries": MULTIPART + b"--b\r\n\r\nx\r\n" * 10_000,
    "lines that look like boundaries": MULTIPART + b"--bx\r\n" * 100_000,
    "dashes": MULTIPART + b"--\r\n" * MIB,
    "dashes in a header": MULTIPART + b"--b\r\n" + b"--\r\n" * MIB,
    "1,000-deep messages": b"Content-Type: message/rfc822\r\n\r\n" * 1000,
    "1,000-deep multiparts": b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(1000)
    ),
    "the same boundary 1,000-deep": (MULTIPART + b"--b\r\n") * 1000,
    "deep, then lines like boundaries": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(99)
    )
    + b"\r\n--b1xx\r\n" * 100_000,
    "digest of deep messages": b"Content-Type: multipart/digest; boundary=b\r\n\r\n"
    + (b"--b\r\n\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 90) * 1000,
    "NUL": b"\0" * MIB,
    "CR": b"\r" * MIB,
    "LF": b"\n" * MIB,
    "broken base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * MIB,
    "broken quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * MIB,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_take_no_time(name: str) -> None:
    message = HOSTILE[name]
    started = time.process_time()
    rendered = render(BytesIO(message))
    parts = all_parts(rendered.parts)
    strip_extensions(rendered.bodystructure)
    for _ in searchable(message, parts):
        pass
    # The slowest takes a third of a second; anything quadratic takes minutes.
    assert time.process_time() - started < 5
    assert len(rendered.envelope) < 4 * MIB
    assert len(rendered.bodystructure) < 4 * MIB
