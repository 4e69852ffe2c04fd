r"""FETCH items and sections: read, planned, rendered from given values (RFC 3501 sections 6.4.5 and 7.4.2)."""

from __future__ import annotations

from array import array
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.errors import LimitReached
from lightmail.imap.fetch.items import Needs, read_items
from lightmail.imap.fetch.plan import HELD_OCTETS, RENDERED_MESSAGES, RENDERED_OCTETS, Plan, batches, make_plan, windows
from lightmail.imap.fetch.prefetch import message_wants
from lightmail.imap.fetch.render import answers, pieces
from lightmail.imap.fetch.sections import Section
from lightmail.imap.fetch.window import Window
from lightmail.imap.tokens import Bad, Tokens
from lightmail.index.columns import Rows
from lightmail.index.keywords import RECENT, Keywords
from lightmail.mime.rendering import render
from lightmail.model import BlobRef, ObjectId

MESSAGE = (
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@example.org\r\n"
    b"Subject: two parts\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=cut\r\n"
    b"\r\n"
    b"preamble\r\n"
    b"--cut\r\n"
    b"Content-Type: text/plain\r\n"
    b"\r\n"
    b"first\0\r\n"
    b"--cut\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"From: carl@example.org\r\n"
    b"Subject: inner\r\n"
    b"X-Odd: yes\r\n"
    b"\r\n"
    b"inner text\r\n"
    b"--cut--\r\n"
)
RENDERED = render(BytesIO(MESSAGE))
OBJECT = ObjectId(7)


def plan_of(text: bytes, with_uid: bool = False) -> Plan:
    tokens = Tokens([text])
    items = read_items(tokens)
    tokens.end()
    return make_plan(items, with_uid)


def window_of(plan: Plan) -> Window:
    rows = Rows([3], [12], [40], array("q", [RECENT | 0b10001]), [len(MESSAGE)], [837571465], [OBJECT])
    return Window(
        rows,
        Keywords().text,
        structures={OBJECT: (RENDERED.envelope, RENDERED.bodystructure)},
        headers={OBJECT: (RENDERED.header, RENDERED.header_fields)},
        answers={
            fields: {OBJECT: literal(fields.cut(RENDERED.header, RENDERED.header_fields))} for fields in plan.lists
        },
        cuts={section: [cut(section)] for section in plan.sections},
    )


def cut(section: Section) -> bytes | None:
    wanted = section.wanted(RENDERED.parts, len(MESSAGE))
    return None if wanted is None else section.of(MESSAGE[slice(*wanted)])


def answer(text: bytes, with_uid: bool = False) -> bytes:
    plan = plan_of(text, with_uid)
    (line,) = answers(plan, window_of(plan))
    assert line.startswith(b"* 3 FETCH (")
    assert line.endswith(b")\r\n")
    return line[len(b"* 3 FETCH (") : -3]


def literal(octets: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(octets), octets)


# From the index and the renderings


def test_index_items_need_nothing_else() -> None:
    text = b"(UID FLAGS INTERNALDATE RFC822.SIZE)"
    assert plan_of(text).needs is Needs.INDEX
    assert answer(text) == (
        b'UID 12 FLAGS (\\Seen \\Draft \\Recent) INTERNALDATE "17-Jul-1996 02:44:25 +0000" RFC822.SIZE %d'
        % len(MESSAGE)
    )


@pytest.mark.parametrize(
    ("macro", "items"),
    [
        (b"fast", b"(FLAGS INTERNALDATE RFC822.SIZE)"),
        (b"ALL", b"(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"),
        (b"Full", b"(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)"),
    ],
)
def test_macros_stand_for_their_items(macro: bytes, items: bytes) -> None:
    assert answer(macro) == answer(items)


def test_structure_items_are_the_rendered_octets() -> None:
    assert plan_of(b"(ENVELOPE BODYSTRUCTURE)").needs is Needs.STRUCTURE
    assert answer(b"ENVELOPE") == b"ENVELOPE " + RENDERED.envelope
    assert answer(b"bodystructure") == b"BODYSTRUCTURE " + RENDERED.bodystructure
    assert answer(b"BODY").startswith(b'BODY (("text" "plain" ')
    assert len(answer(b"BODY")) < len(RENDERED.bodystructure)


def test_uid_commands_answer_with_the_uid_once() -> None:
    assert answer(b"FLAGS", with_uid=True).startswith(b"UID 12 FLAGS (")
    assert answer(b"(FLAGS UID)", with_uid=True).count(b"UID 12") == 1


# Headers


def test_the_header_block_answers_without_the_object() -> None:
    plan = plan_of(b"(BODY.PEEK[HEADER] RFC822.HEADER BODY[HEADER.FIELDS (To)])")
    assert plan.needs == Needs.HEADER | Needs.FIELDS
    assert not plan.sections
    assert answer(b"BODY.PEEK[HEADER]") == b"BODY[HEADER] " + literal(RENDERED.header)
    assert answer(b"RFC822.HEADER") == b"RFC822.HEADER " + literal(RENDERED.header)


def test_fields_are_cut_in_the_message_s_order() -> None:
    fields = b"From: Ann <ann@example.org>\r\nSubject: two parts\r\n\r\n"
    assert answer(b"BODY[header.fields (SUBJECT from)]") == b"BODY[HEADER.FIELDS (SUBJECT from)] " + literal(fields)
    assert answer(b"BODY[HEADER.FIELDS (x-none)]") == b"BODY[HEADER.FIELDS (x-none)] " + literal(b"\r\n")
    rest = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"
    assert answer(b"BODY[HEADER.FIELDS.NOT (from to subject)]").endswith(literal(rest))


def test_partials_of_fields_apply_to_what_was_cut() -> None:
    assert answer(b"BODY[HEADER.FIELDS (Subject)]<2.5>") == b"BODY[HEADER.FIELDS (Subject)]<2> " + literal(b"bject")
    assert answer(b"BODY[HEADER]<4000.10>") == b"BODY[HEADER]<4000> " + literal(b"")


def test_a_percent_sign_in_a_field_name_is_itself() -> None:
    assert answer(b'BODY[HEADER.FIELDS ("100%d" To)]') == (
        b'BODY[HEADER.FIELDS ("100%d" To)] ' + literal(b"To: bob@example.org\r\n\r\n")
    )


# Octets of objects


def test_sections_are_the_octets_they_name() -> None:
    _, _, text = MESSAGE.partition(b"\r\n\r\n")
    expected = {
        b"BODY[]": MESSAGE,
        b"RFC822": MESSAGE,
        b"BODY[TEXT]": text,
        b"RFC822.TEXT": text,
        b"BODY[1]": b"first\0",
        b"BODY[1.MIME]": b"Content-Type: text/plain\r\n\r\n",
        b"BODY[2.MIME]": b"Content-Type: message/rfc822\r\n\r\n",
        b"BODY[2]": b"From: carl@example.org\r\nSubject: inner\r\nX-Odd: yes\r\n\r\ninner text",
        b"BODY[2.HEADER]": b"From: carl@example.org\r\nSubject: inner\r\nX-Odd: yes\r\n\r\n",
        b"BODY[2.TEXT]": b"inner text",
        b"BODY[2.1]": b"inner text",
        b"BODY[2.HEADER.FIELDS (subject)]": b"Subject: inner\r\n\r\n",
        b"BODY[2.HEADER.FIELDS.NOT (subject)]": b"From: carl@example.org\r\nX-Odd: yes\r\n\r\n",
    }
    for item, octets in expected.items():
        assert answer(item) == item + b" " + literal(octets.replace(b"\0", b"\x80")), item


def test_sections_that_are_not_there_are_nil() -> None:
    for item in (b"BODY[3]", b"BODY[1.1.1]", b"BODY[1.HEADER]", b"BODY[1.TEXT]", b"BODY[3.MIME]"):
        assert answer(item) == item + b" NIL", item


def test_partials_are_cut_before_they_are_read() -> None:
    assert answer(b"BODY[TEXT]<0.8>") == b"BODY[TEXT]<0> {8}\r\npreamble"
    assert answer(b"BODY[]<10000.8>") == b"BODY[]<10000> {0}\r\n"
    (section,) = plan_of(b"BODY[]<100.50>").sections
    assert section.wanted(RENDERED.parts, len(MESSAGE)) == (100, 150)


def test_only_sections_without_peek_set_seen() -> None:
    for item in (b"BODY[]", b"BODY[HEADER]", b"BODY[1.MIME]<0.1>", b"RFC822", b"RFC822.TEXT"):
        assert plan_of(item).sets_seen, item
    for item in (b"BODY.PEEK[]", b"RFC822.HEADER", b"RFC822.SIZE", b"BODY", b"BODYSTRUCTURE", b"FULL"):
        assert not plan_of(item).sets_seen, item


def test_an_item_asked_for_twice_is_answered_once() -> None:
    plan = plan_of(b"(BODY.PEEK[] FLAGS BODY[] FLAGS)")
    assert len(plan.items) == 2
    assert plan.sets_seen


def test_flags_join_where_a_fetch_changes_them() -> None:
    assert plan_of(b"BODY[]").with_flags().form == b"* %d FETCH (FLAGS (%b) BODY[] %b)\r\n"
    assert plan_of(b"(BODY[] FLAGS)").with_flags() == plan_of(b"(BODY[] FLAGS)")


# Bad input


@pytest.mark.parametrize(
    "text",
    [
        b"", b"()", b"(FLAGS", b"NOSUCH", b"(ALL)", b"FLAGSX", b"BODY[", b"BODY[]<0>", b"BODY[]<0.0>", b"BODY[]<5.>",
        b"BODY[0]", b"BODY[1.]", b"BODY[.1]", b"BODY[MIME]", b"BODY[1.2.NOSUCH]", b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]", b"BODY[HEADER.FIELDS (a]", b"BODY[TEXT", b"BODY.PEEK", b"BODY[99999999999]",
        b"BODY[]<4294967296.1>", b"RFC822.PEEK", b"(FLAGS  UID)",
    ],
)  # fmt: skip
def test_what_the_grammar_has_not_is_bad(text: bytes) -> None:
    with pytest.raises(Bad):
        plan_of(text)


def test_items_are_bounded() -> None:
    with pytest.raises(LimitReached):
        plan_of(b"(" + b" ".join(b"BODY.PEEK[%d]" % number for number in range(1, 200)) + b")")


# Batches, reads and pieces


@given(st.lists(st.integers(0, 2 * HELD_OCTETS), max_size=60))
def test_batches_hold_every_message_once_and_little_at_a_time(octets: list[int]) -> None:
    cut_up = list(batches(octets))
    assert [at for start, stop in cut_up for at in range(start, stop)] == list(range(len(octets)))
    for start, stop in cut_up:
        assert start < stop
        assert stop - start == 1 or sum(octets[start:stop]) <= HELD_OCTETS


def test_windows_are_bounded_in_messages_and_octets() -> None:
    flags, envelope = plan_of(b"FLAGS"), plan_of(b"ENVELOPE")
    assert list(windows(flags, [1 << 30] * 2500)) == [(0, 1000), (1000, 2000), (2000, 2500)]
    assert list(windows(envelope, [5000] * 700)) == [(0, RENDERED_MESSAGES), (RENDERED_MESSAGES, 700)]
    most = RENDERED_OCTETS >> 20
    assert list(windows(envelope, [50 << 20] * (most + 1))) == [(0, most), (most, most + 1)]
    assert list(windows(envelope, [])) == []
    several = plan_of(b"(RFC822.HEADER BODY.PEEK[HEADER.FIELDS (a)] BODY.PEEK[HEADER.FIELDS (b)] ENVELOPE)")
    assert next(iter(windows(several, [50 << 20] * most))) == (0, most // 4)


RANGES = st.one_of(
    st.none(), st.tuples(st.integers(0, 1 << 22), st.integers(0, 1 << 22)).map(lambda pair: (min(pair), max(pair)))
)


@given(st.lists(RANGES, max_size=6))
def test_reads_cover_what_is_wanted(ranges: list[tuple[int, int] | None]) -> None:
    wants = message_wants(BlobRef(b"a", "k", 1 << 22, 1, "zstd", b"", b""), ranges)
    wanted = [pair for pair in ranges if pair is not None and pair[0] < pair[1]]
    assert wants.octets >= sum(stop - start for start, stop in wants.reads)
    assert wants.octets >= sum(stop - start for start, stop in wanted)
    if len(wants.reads) == 1:
        ((start, stop),) = wants.reads
        assert all(start <= first and last <= stop for first, last in wanted)
    else:
        assert list(wants.reads) == wanted


@given(st.integers(0, 1 << 19))
def test_pieces_join_to_the_whole(length: int) -> None:
    octets = b"x" * length
    cut_up = list(pieces(octets))
    assert b"".join(cut_up) == octets
    assert all(len(piece) <= 1 << 17 for piece in cut_up)
