"""SEARCH keys read into criteria (RFC 3501 section 6.4.4)."""

from __future__ import annotations

import pytest

from lightmail.errors import LimitReached
from lightmail.imap.search import KEYS, KEYS_READ, read_search
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Bad, Tokens
from lightmail.search.criteria import (
    All,
    And,
    Arrived,
    Column,
    Criteria,
    HasFlag,
    InBody,
    InColumn,
    InHeader,
    IsRecent,
    Not,
    Numbered,
    Or,
    Sent,
    Sized,
    Stage,
)

DAY_US = 86_400_000_000
FEBRUARY_1994 = 8797


def read(text: bytes) -> Criteria | None:
    return read_search(Tokens([b" " + text])).criteria


def one(text: bytes) -> Criteria:
    criteria = read(text)
    assert isinstance(criteria, And)
    (node,) = criteria.nodes
    return node


SEEN = HasFlag(b"\\Seen")
DAY = (FEBRUARY_1994 * DAY_US, (FEBRUARY_1994 + 1) * DAY_US)


@pytest.mark.parametrize(
    ("text", "criteria"),
    [
        (b"ALL", All()),
        (b"answered", HasFlag(b"\\Answered")),
        (b"BCC joe", InColumn(Column.BCC, "joe")),
        (b"BEFORE 1-Feb-1994", Arrived(None, DAY[0])),
        (b'BODY "Hello There"', InBody("hello there", or_header=False)),
        (b"CC joe", InColumn(Column.CC, "joe")),
        (b"DELETED", HasFlag(b"\\Deleted")),
        (b"DRAFT", HasFlag(b"\\Draft")),
        (b"FLAGGED", HasFlag(b"\\Flagged")),
        (b"FROM Smith", InColumn(Column.FROM, "smith")),
        (b"HEADER Message-ID <a@b>", InHeader(b"message-id", "<a@b>")),
        (b'HEADER List-Id ""', InHeader(b"list-id", "")),
        (b"HEADER Subject X", InColumn(Column.SUBJECT, "x")),
        (b'HEADER To ""', InHeader(b"to", "")),
        (b"KEYWORD $Junk", HasFlag(b"$Junk")),
        (b"LARGER 4096", Sized(above=4096)),
        (b"NEW", And((IsRecent(), Not(SEEN)))),
        (b"NOT SEEN", Not(SEEN)),
        (b"OLD", Not(IsRecent())),
        (b'ON "1-Feb-1994"', Arrived(*DAY)),
        (b"OR SEEN RECENT", Or((SEEN, IsRecent()))),
        (b"RECENT", IsRecent()),
        (b"SEEN", SEEN),
        (b"SENTBEFORE 1-Feb-1994", Sent(None, FEBRUARY_1994)),
        (b"SENTON 1-Feb-1994", Sent(FEBRUARY_1994, FEBRUARY_1994 + 1)),
        (b"SENTSINCE 1-Feb-1994", Sent(FEBRUARY_1994, None)),
        (b"SINCE 1-Feb-1994", Arrived(DAY[0], None)),
        (b"SMALLER 10", Sized(below=10)),
        (b'SUBJECT "\xc3\x89t\xc3\xa9"', InColumn(Column.SUBJECT, "été")),
        (b"TEXT x", InBody("x", or_header=True)),
        (b"TO joe", InColumn(Column.TO, "joe")),
        (b"UID 4:*", Numbered(SequenceSet.parse(b"4:*"), by_uid=True)),
        (b"UNANSWERED", Not(HasFlag(b"\\Answered"))),
        (b"UNDELETED", Not(HasFlag(b"\\Deleted"))),
        (b"UNDRAFT", Not(HasFlag(b"\\Draft"))),
        (b"UNFLAGGED", Not(HasFlag(b"\\Flagged"))),
        (b"UNKEYWORD $Junk", Not(HasFlag(b"$Junk"))),
        (b"UNSEEN", Not(SEEN)),
        (b"1,3:5", Numbered(SequenceSet.parse(b"1,3:5"), by_uid=False)),
        (b"*", Numbered(SequenceSet.parse(b"*"), by_uid=False)),
        (b"(SEEN DRAFT)", And((SEEN, HasFlag(b"\\Draft")))),
    ],
)
def test_every_key(text: bytes, criteria: Criteria) -> None:
    assert one(text) == criteria


def test_keys_join_and_nest() -> None:
    assert read(b"OR (SEEN LARGER 5) NOT OR ALL DRAFT 2:3 ") == And(
        (
            Or((And((SEEN, Sized(above=5))), Not(Or((All(), HasFlag(b"\\Draft")))))),
            Numbered(SequenceSet.parse(b"2:3"), by_uid=False),
        )
    )


def test_literals_are_strings_too() -> None:
    tokens = Tokens([b" CHARSET utf-8 SUBJECT ", b" SEEN"], ["Grüße".encode()])
    assert read_search(tokens).criteria == And((InColumn(Column.SUBJECT, "grüsse"), SEEN))


def test_charsets() -> None:
    assert read(b'CHARSET "US-ASCII" ALL') == And((All(),))
    assert read(b"CHARSET utf-8 ALL") == And((All(),))
    assert read(b"CHARSET KOI8-R SUBJECT \xc1\xc2") is None


def test_a_tree_is_as_dear_as_its_dearest_leaf() -> None:
    criteria = read(b"OR SEEN (NOT BODY x) FROM y")
    assert criteria is not None
    assert criteria.stage is Stage.BODY
    assert one(b"NOT (SEEN 1:*)").stage is Stage.INDEX
    assert one(b"OR SEEN SENTSINCE 1-Feb-1994").stage is Stage.INDEX
    assert one(b"OR SEEN SUBJECT x").stage is Stage.COLUMNS


@pytest.mark.parametrize(
    "text",
    [
        b"", b"NOSUCH", b"()", b"(SEEN", b"SEEN)", b"NOT", b"OR SEEN", b"FROM", b"HEADER x", b"LARGER x", b"SINCE 1994",
        b"ON 31-Feb-1994", b"UID", b"UID 0", b"0", b"CHARSET", b"CHARSET UTF-8", b"SEEN  DRAFT", b"KEYWORD",
        b'SUBJECT "\xff"', b"SEEN,DRAFT",
    ],
)  # fmt: skip
def test_what_the_grammar_has_not_is_bad(text: bytes) -> None:
    with pytest.raises(Bad):
        read(text)


def test_keys_are_bounded_wherever_they_stand() -> None:
    assert read_search(Tokens([b" " + b"NOT " * 20 + b"ALL"])).keys == 21
    for text in (b"NOT " * KEYS_READ + b"ALL", b"SEEN " * KEYS_READ + b"ALL", b"OR ALL " * KEYS_READ + b"ALL"):
        with pytest.raises(LimitReached):
            read(text)
    with pytest.raises(Bad, match="nested"):
        read(b"(" * 3000 + b"ALL" + b")" * 3000)


def test_no_key_is_left_untested() -> None:
    marks = test_every_key.pytestmark  # type: ignore[attr-defined]
    tested = {text.split()[0].upper() for text, _ in marks[0].args[1]}
    assert set(KEYS) <= tested
