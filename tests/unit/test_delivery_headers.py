"""The fields in front of a message, and what a delivery reads in its header."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.delivery.headers import HEADER_OCTETS, HeaderWatch, Signs, Trace, date_time, trace_fields

AT_US = 1_795_305_511_000_000
LOCAL = Trace("mx.example.org", "", "store.example.org", "LMTP", "1a2b.1")


def signs(*chunks: bytes) -> Signs:
    watch = HeaderWatch()
    for chunk in chunks:
        watch.feed(chunk)
    return watch.signs()


def test_return_path_comes_first_and_received_names_an_only_recipient() -> None:
    assert trace_fields(LOCAL, "a@example.org", "b@example.org", AT_US) == (
        b"Return-Path: <a@example.org>\r\n"
        b"Received: from mx.example.org (local socket)\r\n"
        b"\tby store.example.org with LMTP id 1a2b.1\r\n"
        b"\tfor <b@example.org>;\r\n"
        b"\tSat, 21 Nov 2026 23:58:31 +0000\r\n"
    )


def test_several_recipients_are_not_named() -> None:
    assert b"for <" not in trace_fields(LOCAL, "", None, AT_US)
    assert trace_fields(LOCAL, "", None, AT_US).startswith(b"Return-Path: <>\r\nReceived: ")


def test_delivered_to_stands_where_it_is_asked_for() -> None:
    lines = trace_fields(LOCAL, "", "b@example.org", AT_US, name=True).split(b"\r\n")
    assert lines[1] == b"Delivered-To: b@example.org"


def test_a_peer_is_an_address_literal() -> None:
    trace = Trace("mx", "IPv6:2001:db8::1", "store", "LMTP", "1")
    assert b"from mx ([IPv6:2001:db8::1])\r\n" in trace_fields(trace, "", None, AT_US)


def test_dates_are_english_and_utc() -> None:
    assert date_time(0) == "Thu, 01 Jan 1970 00:00:00 +0000"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", Signs(False, False)),
        (b"Subject: x\r\n\r\nMessage-ID: <not-a-field>\r\nX-Spam-Flag: YES\r\n", Signs(False, False)),
        (b"\r\nReceived: body\r\n", Signs(False, False)),
        (b"Message-ID: <1@x>\r\n\r\n", Signs(False, True, "<1@x>")),
        (b"MESSAGE-id:\r\n <1@x>\r\n\r\n", Signs(False, True, "<1@x>")),
        (b"Subject: x\r\nMessage-ID:\t<1@x> (and a comment)\r\nTo: x\r\n\r\n", Signs(False, True, "<1@x>")),
        (b"Message-ID:\r\nSubject: <no@id>\r\n\r\n", Signs(False, True)),
        (b"Message-ID:\r\n\r\n <no@id>\r\n", Signs(False, True)),
        (b"Message-ID: <1@x", Signs(False, True, "<1@x")),
        (b"Message-ID: <" + b"x" * 5000 + b"@x>\r\n\r\n", Signs(False, True, "<" + "x" * 298)),
        (b"Message-ID: \xff\x00\r\n\r\n", Signs(False, True, "\ufffd\0")),
        (b"Received: from x\r\n\r\n", Signs(False, True)),
        (b"X-Received: from x\r\n\r\n", Signs(False, False)),
        (b"X-Spam-Flag: YES\r\n\r\n", Signs(True, False)),
        (b"Subject: x\r\nx-spam-flag:yes \r\n\r\n", Signs(True, False)),
        (b"X-Spam-Flag: NO\r\nX-Spam-Flag: YES\r\n\r\n", Signs(True, False)),
        (b"X-Spam-Flag: YESTERDAY\r\n\r\n", Signs(False, False)),
        (b"X-Spam-Flag: NO\r\n\r\n", Signs(False, False)),
        (b"X-Spam-Flag: YES", Signs(True, False)),
        (b"Subject: x\nX-Spam-Flag: YES\r\n\r\n", Signs(False, False)),
    ],
)
def test_signs(header: bytes, expected: Signs) -> None:
    assert signs(header) == expected


@given(st.lists(st.integers(min_value=0, max_value=80)))
def test_signs_do_not_depend_on_how_the_octets_are_cut(cuts: list[int]) -> None:
    message = b"Subject: a\r\nX-Spam-Flag: YES\r\n\r\nMessage-ID: <in the body>\r\n"
    edges = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    chunks = [message[a:b] for a, b in pairwise(edges)]
    assert signs(*chunks) == Signs(True, False)


def test_a_header_without_end_is_bounded() -> None:
    watch = HeaderWatch()
    for _ in range(100):
        watch.feed(b"x" * 65536)
    watch.feed(b"\r\nMessage-ID: <1@x>\r\n")
    assert watch.signs() == Signs(False, False)
    assert watch.octets < HEADER_OCTETS + 65536
