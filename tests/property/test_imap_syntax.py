"""Laws of IMAP's grammar: sequence sets, modified UTF-7, patterns, tokens and framing."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightmail.errors import MailError, TooBig
from lightmail.imap import mutf7
from lightmail.imap.framing import Bounds, Frame, Framer
from lightmail.imap.patterns import matches
from lightmail.imap.responses import astring, string
from lightmail.imap.sequences import NUMBER_MAX, STAR, SequenceSet, runs, write_set
from lightmail.imap.tokens import Bad, Tokens, mailbox_name

numbers = st.integers(1, 40)
ranges = st.lists(st.tuples(numbers | st.just(STAR), numbers | st.just(STAR)), min_size=1, max_size=8)


def spelled(pairs: list[tuple[int, int]]) -> bytes:
    def one(number: int) -> str:
        return "*" if number == STAR else str(number)

    return ",".join(one(a) if a == b else f"{one(a)}:{one(b)}" for a, b in pairs).encode()


@given(ranges, st.integers(0, 30))
def test_a_sequence_set_resolves_to_its_members_ascending_and_apart(pairs: list[tuple[int, int]], largest: int) -> None:
    resolved = SequenceSet.parse(spelled(pairs)).resolve(largest)
    expected: set[int] = set()
    for pair in pairs:
        if STAR in pair and not largest:
            continue
        low, high = sorted(largest if number == STAR else number for number in pair)
        expected.update(range(low, high + 1))
    assert [n for low, high in resolved for n in range(low, high + 1)] == sorted(expected)
    assert all(after > before + 1 for (_, before), (after, _) in pairwise(resolved))


@given(ranges)
def test_a_sequence_set_reads_back_what_it_writes(pairs: list[tuple[int, int]]) -> None:
    parsed = SequenceSet.parse(spelled(pairs))
    assert SequenceSet.parse(bytes(parsed)) == parsed
    assert hash(SequenceSet.parse(bytes(parsed))) == hash(parsed)


@given(st.binary(max_size=30))
@example(b"0")
@example(b"1:0")
@example(b"4294967296")
@example(b"1,,2")
@example(b"1:2:3")
@example(b"")
@example(b"**")
def test_other_octets_are_no_sequence_set(text: bytes) -> None:
    number = rb"(?:[1-9][0-9]{0,9}|\*)"
    well_formed = re.fullmatch(rb"%b(?::%b)?(?:,%b(?::%b)?)*" % ((number,) * 4), text)
    if well_formed and all(int(n) <= NUMBER_MAX for n in re.findall(rb"[0-9]+", text)):
        SequenceSet.parse(text)
    else:
        with pytest.raises(ValueError, match=r".+"):
            SequenceSet.parse(text)


@given(st.lists(st.integers(1, 60), max_size=40))
def test_a_written_set_keeps_members_and_order(members: list[int]) -> None:
    assert [n for low, high in runs(members) for n in range(low, high + 1)] == members
    pairs = SequenceSet.parse(write_set(members)).ranges if members else ()
    assert [n for low, high in pairs for n in range(low, high + 1)] == members


def test_a_huge_set_costs_no_more_than_its_text() -> None:
    text = b",".join(b"%d" % n for n in range(8000, 0, -2))
    assert len(SequenceSet.parse(text).resolve(8000)) == 4000
    assert SequenceSet.parse(b"1:4294967295").resolve(7) == [(1, NUMBER_MAX)]


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@given(names)
@example("R&D")
@example("台北/日本語")
@example("\x00\U0001f600")
def test_mutf7_round_trips_in_printable_ascii(name: str) -> None:
    wire = mutf7.encode(name)
    assert all(0x20 <= octet < 0x7F for octet in wire)
    assert mutf7.decode(wire) == name


@given(st.binary(max_size=30) | st.from_regex(rb"[A-Za-z0-9&,+\-]{0,20}", fullmatch=True))
@example(b"&")
@example(b"&AGE-")  # an encoded "a"
@example(b"&2D0-")  # half a surrogate pair
@example(b"&AOk-&AOk-")
@example(b"&AOl-")
def test_mutf7_has_one_spelling(wire: bytes) -> None:
    try:
        name = mutf7.decode(wire)
    except ValueError:
        return
    assert mutf7.encode(name) == wire


@given(names)
def test_mailbox_names_are_normalised_once(name: str) -> None:
    normal = mailbox_name(mutf7.encode(name))
    assert mailbox_name(mutf7.encode(normal)) == normal
    first = normal.partition("/")[0]
    assert first == "INBOX" or first.upper() != "INBOX"


@given(st.text("ab/%*", max_size=12), st.text("ab/", max_size=12))
@example("a%b/%c", "ab/b/c")
@example("*%a", "a/a")
def test_patterns_match_as_their_regular_expression_does(pattern: str, name: str) -> None:
    expression = "".join({"*": "[^\\n]*", "%": "[^/]*"}.get(c, re.escape(c)) for c in pattern)
    assert matches(pattern, name) == (re.fullmatch(expression, name) is not None)


def test_patterns_take_no_exponential_time() -> None:
    assert not matches("*a" * 200 + "b", "a" * 900)
    assert not matches("%a" * 200 + "b", "a" * 900)


@given(st.binary(max_size=60))
def test_strings_come_back_as_they_were(octets: bytes) -> None:
    for write, read in ((string, Tokens.string), (astring, Tokens.astring)):
        wire = write(octets)
        text, _, literal = wire.partition(b"\r\n") if wire.startswith(b"{") else (wire, b"", b"")
        tokens = Tokens([b"", b""], [literal]) if text.startswith(b"{") else Tokens([text])
        if b"\0" in octets:
            assert literal == octets.replace(b"\0", b"\x80")
        else:
            assert read(tokens) == octets
            tokens.end()


READERS: list[Any] = [
    Tokens.atom,
    Tokens.word,
    Tokens.string,
    Tokens.astring,
    Tokens.nstring,
    Tokens.number,
    Tokens.nz_number,
    Tokens.number64,
    Tokens.sequence_set,
    Tokens.flag,
    Tokens.flag_list,
    Tokens.mailbox,
    Tokens.list_mailbox,
    Tokens.date,
    Tokens.date_time,
    Tokens.literal,
    Tokens.rest,
    Tokens.sp,
    Tokens.end,
]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=3), st.lists(st.sampled_from(READERS), max_size=12))
def test_tokens_answer_or_refuse_but_never_crash(texts: list[bytes], readers: list[Any]) -> None:
    tokens = Tokens(texts, [b"literal"] * (len(texts) - 1))
    for reader in readers:
        with suppress(Bad, MailError):
            reader(tokens)


def test_nested_lists_have_a_bound() -> None:
    tokens = Tokens([b"(" * 3000 + b")" * 3000])

    def deeper() -> Any:
        return tokens.list(deeper)

    with pytest.raises(Bad, match="nested"):
        deeper()


# Framing: what comes out depends on the octets, never on how they were cut into packets.

PIECES = st.lists(
    st.sampled_from([b"a ", b"b {3+}\r\n", b"{2}\r\n", b"x\r\n", b"\r\n", b"{70+}\r\n", b"q" * 50, b"abc", b"\n"])
)


def frames(octets: list[bytes]) -> list[tuple[list[bytes], list[Any], str, bool]]:
    framer = Framer(Bounds(line=120, literal=60, discard=200))
    taken: list[Frame] = []
    for piece in octets:
        framer.feed(piece)
        while True:
            frame = framer.take()
            if frame is not None:
                taken.append(frame)
            elif framer.announced is not None:
                try:
                    framer.grant()
                except TooBig as error:
                    framer.refuse(error)
            else:
                break
    assert framer.buffered <= 400
    return [(frame.texts, frame.literals, str(frame.error), frame.fatal) for frame in taken]


@given(PIECES, st.lists(st.integers(0, 400), max_size=6))
def test_framing_does_not_depend_on_packets(pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    parts = [octets[a:b] for a, b in pairwise(edges)]
    whole, in_parts = frames([octets]), frames(parts)
    # Of a refused line only the tag is of use: how much else is kept depends on what had arrived.
    assert [f[2:] if f[2] != "None" else f for f in whole] == [f[2:] if f[2] != "None" else f for f in in_parts]
    bytewise = frames([octets[i : i + 1] for i in range(len(octets))])
    assert [f[2:] for f in bytewise] == [f[2:] for f in whole]


@given(st.binary(max_size=40), st.sampled_from([b"a X {%d+}", b"a X {%d}"]))
def test_a_literal_is_never_read_as_commands(literal: bytes, form: bytes) -> None:
    command = form % len(literal) + b"\r\n" + literal + b" y\r\nb NOOP\r\n"
    assert frames([command]) == [([b"a X ", b" y"], [literal], "None", False), ([b"b NOOP"], [], "None", False)]


@given(st.binary(min_size=61, max_size=150))
def test_the_octets_of_a_refused_literal_are_discarded(literal: bytes) -> None:
    command = b"a X {%d+}\r\n" % len(literal) + literal + b" y\r\nb NOOP\r\n"
    refused, after = frames([command])
    assert refused[2] == "The literal is too big."
    assert after == ([b"b NOOP"], [], "None", False)


@given(st.binary(max_size=300))
def test_framing_never_crashes(octets: bytes) -> None:
    frames([octets])
