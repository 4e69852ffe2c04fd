"""Reading arguments: what each method takes, and what it leaves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from lightmail.errors import Invalid
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Bad, Tokens


@pytest.mark.parametrize(
    ("text", "read", "value", "rest"),
    [
        (b"abc] d", Tokens.atom, b"abc", b"] d"),
        (b"abc] d", Tokens.astring, b"abc]", b" d"),
        (b"noop", Tokens.word, b"NOOP", b""),
        (b'"a \\"b\\" \\\\c" d', Tokens.string, b'a "b" \\c', b" d"),
        (b'"" d', Tokens.astring, b"", b" d"),
        ('"é"'.encode(), Tokens.string, "é".encode(), b""),
        (b"nil)", Tokens.nstring, None, b")"),
        (b"4294967295", Tokens.number, 4294967295, b""),
        (b"4294967296", Tokens.number64, 4294967296, b""),
        (b"1:*,7 FLAGS", Tokens.sequence_set, SequenceSet([(1, 0), (7, 7)]), b" FLAGS"),
        (b"(\\Seen $Junk) x", Tokens.flag_list, [b"\\Seen", b"$Junk"], b" x"),
        (b"()", Tokens.flag_list, [], b""),
        (b"inbox/a", Tokens.mailbox, "INBOX/a", b""),
        (b"&U,BTFw-", Tokens.mailbox, "台北", b""),
        (b"Inboxes", Tokens.mailbox, "Inboxes", b""),
        (b"e&AwE-", Tokens.mailbox, "é", b""),  # NFC
        (b"a/%*", Tokens.list_mailbox, b"a/%*", b""),
        (b'"1-Feb-1994" x', Tokens.date, dt.date(1994, 2, 1), b" x"),
        (b"29-feb-2024", Tokens.date, dt.date(2024, 2, 29), b""),
        (b'" 7-Feb-1994 21:52:25 -0800"', Tokens.date_time, 760686745000000, b""),
        (b'"17-Jul-1969 23:59:60 +0000"', Tokens.date_time, -14428801000000, b""),
    ],
)
def test_what_is_taken(text: bytes, read: Callable[[Tokens], Any], value: Any, rest: bytes) -> None:
    tokens = Tokens([text])
    assert read(tokens) == value
    assert tokens.rest() == rest


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b"", Tokens.atom),
        (b"(", Tokens.atom),
        (b'"abc', Tokens.string),
        (b'"a\\b"', Tokens.string),
        (b'"a\rb"', Tokens.string),
        (b"abc", Tokens.string),
        (b"nix", Tokens.nstring),
        (b"4294967296", Tokens.number),
        (b"-1", Tokens.number),
        (b"9223372036854775808", Tokens.number64),
        (b"0", Tokens.nz_number),
        (b"0:1", Tokens.sequence_set),
        (b"(\\Seen", Tokens.flag_list),
        (b"( \\Seen)", Tokens.flag_list),
        (b"30-Feb-2024", Tokens.date),
        (b"1-Foo-2024", Tokens.date),
        (b'"1-Feb-2024', Tokens.date),
        (b'"32-Jan-2024 00:00:00 +0000"', Tokens.date_time),
        (b'"01-Jan-0001 00:00:00 +9999"', Tokens.date_time),
        (b"x", Tokens.literal),
        (b"x", Tokens.end),
        (b"", Tokens.sp),
    ],
)
def test_what_is_refused(text: bytes, read: Callable[[Tokens], Any]) -> None:
    with pytest.raises(Bad):
        read(Tokens([text]))


@pytest.mark.parametrize("wire", [b'"R&D"', b"&AGE-", b'"\xc3\xa9"', b'"a\tb"'])
def test_names_that_are_not_modified_utf7(wire: bytes) -> None:
    with pytest.raises(Invalid):
        Tokens([wire]).mailbox()


def test_literals_stand_between_the_texts() -> None:
    tokens = Tokens([b" ", b" (", b")"], [b"one", b"two"])
    tokens.sp()
    assert tokens.peek() == b"{"
    assert tokens.astring() == b"one"
    tokens.sp()
    assert not tokens.at_end
    assert tokens.list(tokens.string) == [b"two"]
    assert tokens.at_end
    tokens.end()


def test_a_literal_that_nobody_takes_is_too_much() -> None:
    with pytest.raises(Bad):
        Tokens([b"", b""], [b"x"]).end()
    with pytest.raises(Bad):
        Tokens([b"", b""], [b"a\0b"]).string()
