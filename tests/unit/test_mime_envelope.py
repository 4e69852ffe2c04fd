"""ENVELOPE, held to RFC 3501 section 7.4.2."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from lightmail.mime import render
from tests.support.imapdata import parse_imap

NAMES = ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id")
JOE = [[None, None, b"joe", b"x.test"]]
ANN = [[None, None, b"ann", b"y.test"]]


def envelope(header: bytes) -> dict[str, Any]:
    return dict(zip(NAMES, parse_imap(render(BytesIO(header + b"\r\n")).envelope), strict=True))


def test_the_example_of_the_rfc() -> None:
    header = (
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
        b"From: Terry Gray <gray@cac.washington.edu>\r\n"
        b"Subject: IMAP4rev1 WG mtg summary and minutes\r\n"
        b"To: imap@cac.washington.edu\r\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
        b"Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n"
    )
    assert render(BytesIO(header + b"\r\n")).envelope == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" '
        b'"IMAP4rev1 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
        b'"<B27397-0100000@cac.washington.edu>")'
    )


def test_absent_fields_are_nil() -> None:
    assert set(envelope(b"X: y\r\n").values()) == {None}


def test_empty_strings_are_empty_and_empty_lists_are_nil() -> None:
    found = envelope(b"".join(b"%b: \r\n" % name.encode() for name in NAMES))
    assert {name for name, value in found.items() if value == b""} == {"date", "subject", "in-reply-to", "message-id"}
    assert {name for name, value in found.items() if value is None} == {
        "from", "sender", "reply-to", "to", "cc", "bcc",
    }  # fmt: skip


@pytest.mark.parametrize("more", [b"", b"Sender:\r\nReply-To: \r\n", b"Sender: (nobody)\r\nReply-To: ,,\r\n"])
def test_sender_and_reply_to_default_to_from(more: bytes) -> None:
    found = envelope(b"From: joe@x.test\r\n" + more)
    assert found["from"] == found["sender"] == found["reply-to"] == JOE


def test_sender_and_reply_to_of_their_own() -> None:
    found = envelope(b"From: joe@x.test\r\nSender: ann@y.test\r\nReply-To: ann@y.test, joe@x.test\r\n")
    assert (found["from"], found["sender"], found["reply-to"]) == (JOE, ANN, ANN + JOE)


def test_recipients_of_several_fields_are_joined_and_of_other_fields_the_first_counts() -> None:
    found = envelope(
        b"To: joe@x.test\r\nSubject: 1\r\nSubject: 2\r\nFrom: joe@x.test\r\nFrom: ann@y.test\r\nTo: ann@y.test\r\n"
    )
    assert (found["to"], found["from"], found["subject"]) == (JOE + ANN, JOE, b"1")


def test_values_are_unfolded_and_trimmed_and_keep_their_encoded_words() -> None:
    found = envelope(b"Subject:  =?utf-8?q?a?=\r\n =?utf-8?q?b?=\r\n\tc  \r\nDate:\r\n now\r\n")
    assert (found["subject"], found["date"]) == (b"=?utf-8?q?a?= =?utf-8?q?b?=\tc", b"now")


def test_names_may_stand_before_spaces_and_in_any_case() -> None:
    assert envelope(b"SUBJECT \t: x\r\nfRoM: joe@x.test\r\n")["subject"] == b"x"


def test_strings_are_quoted_or_literals() -> None:
    assert render(
        BytesIO(b'Subject: a "b" \\c\r\nDate: \xc3\xa9\r\nIn-Reply-To: \0\r\nMessage-ID: a\rb\r\n\r\n')
    ).envelope == (b'({2}\r\n\xc3\xa9 "a \\"b\\" \\\\c" NIL NIL NIL NIL NIL NIL {1}\r\n\x80 {3}\r\na\rb)')


def test_a_group_has_a_start_and_an_end() -> None:
    assert envelope(b"To: A Group:Joe <joe@x.test>,ann@y.test;, undisclosed-recipients:;\r\n")["to"] == [
        [None, None, b"A Group", None],
        [b"Joe", None, b"joe", b"x.test"],
        [None, None, b"ann", b"y.test"],
        [None, None, None, None],
        [None, None, b"undisclosed-recipients", None],
        [None, None, None, None],
    ]


def test_a_thousand_addresses_are_all_that_is_listed() -> None:
    assert len(envelope(b"To: " + b"joe@x.test, " * 5000 + b"\r\n")["to"]) == 1000
