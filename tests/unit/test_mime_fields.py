"""Header fields: where they are, and cutting them out."""

from __future__ import annotations

import pytest

from lightmail.mime import cut_fields, decoded_field, decoded_header, field_values
from lightmail.mime.fields import MAX_FIELDS, Fields

HEADER = (
    b"Received: from a\r\n\tby b\r\n"
    b"From: joe@x.test\r\n"
    b"SUBJECT: =?utf-8?q?caf=C3=A9?=\r\n"
    b"received: from c\r\n"
    b"X-Empty:\r\n"
    b"Subject-Like: no\r\n"
    b"\r\n"
)
PACKED = Fields(HEADER).pack()


def cut(*names: bytes, inverted: bool = False) -> bytes:
    return cut_fields(HEADER, PACKED, frozenset(names), inverted)


def test_wanted_fields_come_whole_in_the_messages_order() -> None:
    assert cut(b"subject", b"received", b"absent") == (
        b"Received: from a\r\n\tby b\r\nSUBJECT: =?utf-8?q?caf=C3=A9?=\r\nreceived: from c\r\n\r\n"
    )


def test_inverted_gives_all_others() -> None:
    assert cut(b"received", b"subject", inverted=True) == (b"From: joe@x.test\r\nX-Empty:\r\nSubject-Like: no\r\n\r\n")


def test_nothing_wanted_is_a_blank_line_and_nothing_unwanted_is_the_header() -> None:
    assert cut(b"absent") == b"\r\n"
    assert cut(inverted=True) == HEADER


@pytest.mark.parametrize("block", [b"", b"\r\n", b"\n"])
def test_a_header_without_fields(block: bytes) -> None:
    packed = Fields(block).pack()
    assert cut_fields(block, packed, frozenset([b"from"])) == b"\r\n"
    assert cut_fields(block, packed, frozenset(), inverted=True) == b"\r\n"
    assert field_values(block, packed, b"from") == []


def test_a_header_that_the_message_ends_in_is_completed() -> None:
    block = b"From: a@b\r\nSubject: x"
    assert cut_fields(block, Fields(block).pack(), frozenset([b"subject"])) == b"Subject: x\r\n\r\n"
    assert cut_fields(block, Fields(block).pack(), frozenset([b"from"])) == b"From: a@b\r\n\r\n"


def test_lines_without_a_name_are_never_wanted_and_always_passed_on() -> None:
    block = b" leading: a\r\ngarbage\r\n cont: b\r\n: c\r\nFrom: a@b\r\n\r\n"
    packed = Fields(block).pack()
    for name in (b"leading", b" leading", b"cont", b"garbage\r\n cont", b"garbage"):
        assert field_values(block, packed, name) == []
    assert cut_fields(block, packed, frozenset([b"from"]), inverted=True) == block.replace(b"From: a@b\r\n", b"")


def test_obsolete_space_before_the_colon() -> None:
    block = b"Subject \t: x\r\n\r\n"
    assert field_values(block, Fields(block).pack(), b"subject") == [b"x"]


def test_values_are_unfolded_and_trimmed() -> None:
    assert field_values(HEADER, PACKED, b"received") == [b"from a\tby b", b"from c"]
    assert field_values(HEADER, PACKED, b"x-empty") == [b""]


def test_decoded_fields() -> None:
    assert decoded_field(HEADER, PACKED, b"subject") == "café"
    assert decoded_field(HEADER, PACKED, b"received") == "from a by b\nfrom c"
    assert decoded_field(HEADER, PACKED, b"x-empty") == ""
    assert decoded_field(HEADER, PACKED, b"absent") is None


def test_a_decoded_header_has_a_field_a_line() -> None:
    assert decoded_header(b"A: x\r\n y\r\nB: =?utf-8?q?=C3=A9?=\r\n\r\n") == "A: x y\nB: é"


def test_fields_beyond_the_bound_are_one_nameless_rest() -> None:
    block = b"a: b\r\n" * MAX_FIELDS + b"c: d\r\n" * 5 + b"\r\n"
    packed = Fields(block).pack()
    assert len(field_values(block, packed, b"a")) == MAX_FIELDS
    assert field_values(block, packed, b"c") == []
    assert cut_fields(block, packed, frozenset(), inverted=True) == block
    assert cut_fields(block, packed, frozenset([b"a"]), inverted=True) == b"c: d\r\n" * 5 + b"\r\n"
