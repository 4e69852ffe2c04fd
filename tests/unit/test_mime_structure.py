"""BODYSTRUCTURE and BODY, held to RFC 3501 section 7.4.2."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from lightmail.mime import render, strip_extensions
from tests.support.imapdata import parse_imap

EMPTY_ENVELOPE = [None] * 10
TEXT = [b"text", b"plain", [b"charset", b"us-ascii"], None, None, b"7bit"]
NO_EXTENSION = [None, None, None, None]


def structure(message: bytes) -> Any:
    return parse_imap(render(BytesIO(message)).bodystructure)


def body(message: bytes) -> Any:
    return parse_imap(strip_extensions(render(BytesIO(message)).bodystructure))


def text(octets: int, lines: int) -> list[Any]:
    return [*TEXT, octets, lines, *NO_EXTENSION]


def multipart(content: bytes, header: bytes = b"") -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n" + header + b"\r\n" + content


class TestLeaves:
    def test_the_example_of_the_rfc(self) -> None:
        content = b"x" * 32 + b"\r\n"
        message = (
            b'Content-Type: TEXT/PLAIN; CHARSET="US-ASCII"\r\nContent-Transfer-Encoding: 7BIT\r\n\r\n' + content * 92
        )
        assert render(BytesIO(message)).bodystructure == (
            b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3128 92 NIL NIL NIL NIL)'
        )
        assert strip_extensions(render(BytesIO(message)).bodystructure) == (
            b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3128 92)'
        )

    @pytest.mark.parametrize(
        "message",
        [b"", b"\r\n", b"Subject: no body", b"Subject: no body\r\n", b"Subject: no body\r\n\r\n"],
        ids=["empty", "blank line", "unterminated", "no blank line", "no body"],
    )
    def test_a_message_without_a_body_is_empty_text(self, message: bytes) -> None:
        assert structure(message) == text(0, 0)

    def test_a_message_without_mime_is_us_ascii_text(self) -> None:
        assert structure(b"Subject: x\r\n\r\none\r\ntwo\r\n") == text(10, 2)

    def test_a_last_line_without_its_end_is_not_counted(self) -> None:
        assert structure(b"\r\none\r\ntwo") == text(8, 1)

    def test_lf_alone_ends_lines_and_cr_alone_does_not(self) -> None:
        assert structure(b"Subject: x\n\na\rb\nc\n") == text(6, 2)

    def test_text_without_charset_gets_us_ascii(self) -> None:
        assert structure(b"Content-Type: text/html; format=flowed\r\n\r\n")[:3] == [
            b"text",
            b"html",
            [b"format", b"flowed", b"charset", b"us-ascii"],
        ]

    def test_other_types_have_neither_lines_nor_charset(self) -> None:
        assert structure(b"Content-Type: application/pdf\r\n\r\nx\r\n") == [
            b"application", b"pdf", None, None, None, b"7bit", 3, *NO_EXTENSION,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "value", [b"", b"text", b"/plain", b"text/", b"multipart; boundary=b", b";;;", b'"text/html"']
    )
    def test_an_unreadable_type_is_text_plain(self, value: bytes) -> None:
        assert structure(b"Content-Type: " + value + b"\r\n\r\nx\r\n") == text(3, 1)

    def test_the_first_of_two_types_counts(self) -> None:
        assert structure(b"Content-Type: text/html\r\nContent-Type: image/png\r\n\r\n")[:2] == [b"text", b"html"]

    def test_every_field_has_its_place(self) -> None:
        message = (
            b'Content-Type: image/png; name="a b.png"\r\n'
            b"Content-ID: <1@x>\r\n"
            b"Content-Description: a\r\n picture\r\n"
            b"Content-Transfer-Encoding: BASE64 (of course)\r\n"
            b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n"
            b'Content-Disposition: attachment; filename="a b.png"; size=3\r\n'
            b"Content-Language: en, de-DE\r\n"
            b"Content-Location: http://x.test/a\r\n"
            b"\r\n"
            b"AAAA"
        )
        assert structure(message) == [
            b"image", b"png", [b"name", b"a b.png"], b"<1@x>", b"a picture", b"BASE64", 4,
            b"Q2hlY2sgSW50ZWdyaXR5IQ==", [b"attachment", [b"filename", b"a b.png", b"size", b"3"]], [b"en", b"de-DE"],
            b"http://x.test/a",
        ]  # fmt: skip
        assert body(message) == structure(message)[:7]

    def test_a_disposition_without_parameters(self) -> None:
        assert structure(b"Content-Type: a/b\r\nContent-Disposition: inline\r\n\r\n")[8] == [b"inline", None]

    def test_8_bit_octets_go_into_literals_and_nul_becomes_0x80(self) -> None:
        rendered = render(BytesIO(b'Content-Type: a/b; name="\xe9\0"\r\nContent-Description: "q\\\r\n\r\n'))
        assert rendered.bodystructure == (b'("a" "b" ("name" {2}\r\n\xe9\x80) NIL "\\"q\\\\" "7bit" 0 NIL NIL NIL NIL)')


class TestMultiparts:
    def test_the_line_end_before_a_delimiter_belongs_to_it(self) -> None:
        message = multipart(
            b"preamble\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\n\r\ny\r\n\r\n--b--\r\nepilogue\r\n"
        )
        assert structure(message) == [
            text(1, 0),
            [b"text", b"html", *TEXT[2:], 3, 1, *NO_EXTENSION],
            b"mixed", [b"boundary", b"b"], None, None, None,
        ]  # fmt: skip
        assert body(message) == [structure(message)[0][:8], structure(message)[1][:8], b"mixed"]

    def test_a_multipart_has_extension_data_of_its_own(self) -> None:
        header = b"Content-Disposition: inline\r\nContent-Language: fr\r\nContent-Location: here\r\nContent-MD5: no\r\n"
        assert structure(multipart(b"--b\r\n\r\n--b--", header))[1:] == [
            b"mixed", [b"boundary", b"b"], [b"inline", None], [b"fr"], b"here",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "octets", "lines"),
        [(b"", 0, 0), (b"--b--\r\n", 0, 0), (b"just text\r\n", 11, 1), (b"text\r\n--b--\r\nmore", 4, 0)],
    )
    def test_a_multipart_without_parts_has_its_text_as_one(self, content: bytes, octets: int, lines: int) -> None:
        assert structure(multipart(content)) == [text(octets, lines), b"mixed", [b"boundary", b"b"], None, None, None]

    def test_a_multipart_without_boundary_has_all_its_text_as_one_part(self) -> None:
        assert structure(b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n") == [
            text(10, 3), b"mixed", None, None, None, None,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"--b", [(0, 0)]),
            (b"--b\r\n", [(0, 0)]),
            (b"--b\r\n--b\r\n--b--", [(0, 0), (0, 0)]),
            (b"--b\r\n\r\n--b--", [(0, 0)]),
            (b"--b\r\n\r\nnever closed\r\n", [(14, 1)]),
            (b"--b\r\nContent-Type: text/plain; charset=us-ascii\r\n--b\r\n\r\ny\r\n--b--", [(0, 0), (1, 0)]),
            (b"--b \t\r\n\r\nx\r\n--b-- \r\n", [(1, 0)]),
            (b"--b\n\nx\n--b--\n", [(1, 0)]),
            (b"--b\r\n\r\n --b\r\nx--b\r\n--bc\r\n--\r\n--b--", [(20, 3)]),
        ],
    )
    def test_delimiters_at_their_edges(self, content: bytes, parts: list[tuple[int, int]]) -> None:
        assert structure(multipart(content))[: len(parts)] == [text(*part) for part in parts]
        assert structure(multipart(content))[len(parts)] == b"mixed"

    def test_an_outer_delimiter_ends_an_inner_multipart_that_never_closes(self) -> None:
        inner = b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\r\nx\r\n"
        found = structure(multipart(b"--b\r\n" + inner + b"--b\r\n\r\nyz\r\n--b--"))
        assert found == [
            [text(1, 0), b"alternative", [b"boundary", b"inner"], None, None, None],
            text(2, 0), b"mixed", [b"boundary", b"b"], None, None, None,
        ]  # fmt: skip

    def test_an_inner_boundary_may_begin_like_the_outer_one(self) -> None:
        inner = b'Content-Type: multipart/alternative; boundary="b-1"\r\n\r\n--b-1\r\n\r\nx\r\n--b-1--\r\n'
        found = structure(multipart(b"--b\r\n" + inner + b"--b\r\n\r\nyz\r\n--b--"))
        assert [part[0] for part in found[:2]] == [text(1, 0), b"text"]

    def test_a_boundary_used_twice_belongs_to_the_inner_multipart_first(self) -> None:
        inner = b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
        found = structure(multipart(b"--b\r\n" + inner + b"--b\r\n\r\nyz\r\n--b--"))
        assert found[0] == [text(1, 0), b"alternative", [b"boundary", b"b"], None, None, None]
        assert found[1] == text(2, 0)


class TestMessages:
    def test_a_message_has_envelope_structure_and_lines(self) -> None:
        message = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\none\r\ntwo\r\n"
        envelope = [None, b"inner", *[None] * 8]
        assert structure(message) == [
            b"message", b"rfc822", None, None, None, b"7bit", 28, envelope, text(10, 2), 4, *NO_EXTENSION,
        ]  # fmt: skip
        assert body(message) == [
            b"message", b"rfc822", None, None, None, b"7bit", 28, envelope, text(10, 2)[:8], 4,
        ]  # fmt: skip

    def test_an_empty_message(self) -> None:
        assert structure(b"Content-Type: message/rfc822\r\n\r\n")[6:10] == [0, EMPTY_ENVELOPE, text(0, 0), 0]

    def test_parts_of_a_digest_are_messages_unless_they_say_otherwise(self) -> None:
        content = b"--b\r\n\r\nSubject: a\r\n\r\nx\r\n--b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--"
        found = structure(b"Content-Type: multipart/digest; boundary=b\r\n\r\n" + content)
        assert found[0][:2] == [b"message", b"rfc822"]
        assert found[0][7][1] == b"a"
        assert found[1] == text(1, 0)
        assert found[2] == b"digest"

    def test_an_outer_delimiter_ends_a_message_within_its_header(self) -> None:
        found = structure(
            multipart(b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: cut\r\n--b\r\n\r\nyz\r\n--b--")
        )
        assert found[0][6:10] == [12, [None, b"cut", *[None] * 8], text(0, 0), 0]
        assert found[1] == text(2, 0)

    def test_other_message_types_are_leaves(self) -> None:
        assert structure(b"Content-Type: message/delivery-status\r\n\r\nx")[:7] == [
            b"message", b"delivery-status", None, None, None, b"7bit", 1,
        ]  # fmt: skip


def test_stripping_what_has_no_extension_data_changes_nothing() -> None:
    message = multipart(b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: \xe9\r\n\r\nx\r\n--b--")
    once = strip_extensions(render(BytesIO(message)).bodystructure)
    assert strip_extensions(once) == once
