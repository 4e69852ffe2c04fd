"""The evaluation of criteria agrees with looking at one message after the other, and asks for no more than it must."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor

from lightmail.imap.sequences import SequenceSet
from lightmail.index.keywords import RECENT, Keywords
from lightmail.mime.dates import UNDATED
from lightmail.mime.fields import Fields, decoded_field
from lightmail.mime.rendering import render
from lightmail.model import ObjectId
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
)
from lightmail.search.evaluate import search
from lightmail.search.sources import Columns, Scope
from lightmail.turns import Turn
from tests.support.reactor import run

KEYWORDS = Keywords([(16, b"$Odd")])
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Message:
    """All that can be asked about a message. Its rendering is gone where `header` is None."""

    uid: int
    flags: int
    octets: int
    day: int
    sent_us: int | None
    subject: str
    from_: str
    to: str
    cc: str
    bcc: str
    header: bytes | None
    body: str


@dataclass
class Mail:
    """Messages as the sources of a search; counts what was asked for."""

    messages: Sequence[Message]
    dates_read: int = 0
    columns_read: int = 0
    headers_read: int = 0
    bodies_read: list[ObjectId] = field(default_factory=list)

    def scope(self, later: int = 2) -> Scope:
        """The messages, with what has come since in the columns behind them."""
        here, more = self.messages, [0xFFFF] * later
        return Scope(
            count=len(here),
            uids=array("I", [*(message.uid for message in here), *more]),
            flags=array("q", [*(message.flags & ~RECENT for message in here), *more]),
            octets=array("I", [*(message.octets for message in here), *more]),
            internaldates=array("q", [*(message.day * 86_400 + 5 for message in here), *more]),
            objects=[ObjectId(100 + at) for at in range(len(here) + later)],
            recent=[range(at, at + 1) for at, message in enumerate(here) if message.flags < 0],
            flag_mask=KEYWORDS.mask,
        )

    async def sent_days(self) -> Sequence[int]:
        self.dates_read += 1
        return [
            UNDATED if message.sent_us is None or message.header is None else message.sent_us // DAY_US
            for message in self.messages
        ]

    def _present(self, objects: Sequence[ObjectId]) -> list[tuple[ObjectId, Message]]:
        found = [(of, self.messages[of - 100]) for of in objects]
        return [(of, message) for of, message in found if message.header is not None]

    async def columns(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, Columns]:
        self.columns_read += len(objects)
        return dict(self._present(objects))

    async def headers(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        self.headers_read += len(objects)
        return {
            of: (message.header or b"", Fields(message.header or b"").pack()) for of, message in self._present(objects)
        }

    async def containing(self, objects: Sequence[ObjectId], text: str, or_header: bool) -> set[ObjectId]:
        self.bodies_read += objects
        return {
            of
            for of, message in self._present(objects)
            if text in message.body or (or_header and text in (message.header or b"").decode().casefold())
        }


def found(mail: Mail, criteria: Criteria) -> list[int]:
    marks = run(search(criteria, mail.scope(), mail, Turn(reactor)))
    assert len(marks) == len(mail.messages)
    return [at for at, mark in enumerate(marks) if mark]


def matches(criteria: Criteria, message: Message, seq: int, last: Message, count: int) -> bool:
    """One message, one node, no cleverness: what RFC 3501 says."""

    def inner(node: Criteria) -> bool:
        return matches(node, message, seq, last, count)

    there = message.header is not None
    match criteria:
        case All():
            return True
        case And():
            return all(map(inner, criteria.nodes))
        case Or():
            return any(map(inner, criteria.nodes))
        case Not():
            return not inner(criteria.node)
        case HasFlag():
            return bool(message.flags & KEYWORDS.mask(criteria.name))
        case IsRecent():
            return message.flags < 0
        case Numbered():
            number, largest = (message.uid, last.uid) if criteria.by_uid else (seq, count)
            return any(low <= number <= high for low, high in criteria.numbers.resolve(largest))
        case Sized():
            return message.octets > criteria.above and (criteria.below is None or message.octets < criteria.below)
        case Arrived():
            return within(message.day * DAY_US, criteria.since_us, criteria.before_us)
        case Sent():
            day = None if message.sent_us is None else message.sent_us // DAY_US
            return there and day is not None and within(day, criteria.since_day, criteria.before_day)
        case InColumn():
            column = (message.subject, message.from_, message.to, message.cc, message.bcc)[criteria.column]
            return there and criteria.text in column
        case InHeader():
            header = message.header or b""
            text = decoded_field(header, Fields(header).pack(), criteria.name)
            return there and text is not None and criteria.text in text.casefold()
        case InBody():
            whole = (message.header or b"").decode().casefold()
            return there and (criteria.text in message.body or (criteria.or_header and criteria.text in whole))


def within(moment: int, since: int | None, before: int | None) -> bool:
    return (since is None or since <= moment) and (before is None or moment < before)


TEXT = st.text("abß ", max_size=4).map(str.casefold)
DAYS = st.integers(0, 4)
HEADERS = st.one_of(
    st.none(), TEXT.map(lambda text: b"Subject: " + text.encode() + b"\r\nX-List: A" + text.encode() + b"\r\n\r\n")
)
MESSAGES = st.lists(
    st.builds(
        Message,
        uid=st.integers(1, 3),  # a distance, summed up below
        flags=st.sampled_from([0, 1, 8, 1 << 16, 1 | 1 << 16]).flatmap(
            lambda bits: st.sampled_from([bits, bits | RECENT])
        ),
        octets=st.integers(0, 5),
        day=DAYS,
        sent_us=st.one_of(st.none(), st.integers(-2 * DAY_US, 5 * DAY_US)),
        subject=TEXT,
        from_=TEXT,
        to=TEXT,
        cc=TEXT,
        bcc=TEXT,
        header=HEADERS,
        body=TEXT,
    ),
    max_size=12,
)
BOUNDS = st.one_of(st.none(), DAYS.map(lambda day: day * DAY_US))
DAY_BOUNDS = st.one_of(st.none(), st.integers(-3, 5))
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.just(All()),
    st.just(IsRecent()),
    st.sampled_from([b"\\Seen", b"\\deleted", b"$ODD", b"$never"]).map(HasFlag),
    st.builds(
        Numbered,
        st.sampled_from([b"1", b"*", b"2:*", b"3,1:2", b"9:12", b"40:*"]).map(SequenceSet.parse),
        st.booleans(),
    ),
    st.builds(Sized, st.integers(-1, 5), st.one_of(st.none(), st.integers(0, 5))),
    st.builds(Arrived, BOUNDS, BOUNDS),
    st.builds(Sent, DAY_BOUNDS, DAY_BOUNDS),
    st.builds(InColumn, st.sampled_from(Column), TEXT),
    st.builds(InHeader, st.sampled_from([b"subject", b"x-list", b"x-none"]), TEXT),
    st.builds(InBody, TEXT, st.booleans()),
)
CRITERIA: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda nodes: And(tuple(nodes))),
        st.lists(inner, min_size=1, max_size=3).map(lambda nodes: Or(tuple(nodes))),
    ),
    max_leaves=8,
)


def with_uids(messages: Sequence[Message]) -> list[Message]:
    """The messages with ascending UIDs, from distances."""
    uid, numbered = 0, []
    for message in messages:
        uid += message.uid
        numbered.append(Message(**{**message.__dict__, "uid": uid}))
    return numbered


@settings(deadline=None)
@given(MESSAGES.map(with_uids), CRITERIA)
def test_every_message_is_found_that_matches_and_no_other(messages: list[Message], criteria: Criteria) -> None:
    expected = [
        at for at, message in enumerate(messages) if matches(criteria, message, at + 1, messages[-1], len(messages))
    ]
    assert found(Mail(messages), criteria) == expected


def many(count: int) -> Mail:
    header = b"X-Even: yes\r\n\r\n"
    return Mail(
        [
            Message(at + 1, at % 2, at, 0, 0, "s", "even" if at % 4 == 0 else "odd", "", "", "", header, "text")
            for at in range(count)
        ]
    )


def test_what_the_index_answers_needs_nothing_else() -> None:
    mail = many(9000)
    assert found(mail, And((HasFlag(b"\\Seen"), Sized(above=8995)))) == [8997, 8999]
    assert (mail.dates_read, mail.columns_read, mail.headers_read, mail.bodies_read) == (0, 0, 0, [])


def test_days_are_asked_for_once_and_nothing_else_for_a_search_by_date() -> None:
    mail = many(3000)
    criteria = And((Sent(0, None), Not(Or((Sent(1, None), Sent(None, 0))))))
    assert len(found(mail, criteria)) == 3000
    assert (mail.dates_read, mail.columns_read, mail.headers_read, mail.bodies_read) == (1, 0, 0, [])


def test_dear_keys_look_at_what_cheap_ones_left_only() -> None:
    mail = many(3000)
    criteria = And(
        (
            InBody("nowhere", or_header=False),
            InHeader(b"x-even", "yes"),
            InColumn(Column.FROM, "even"),
            Sized(below=100),
        )
    )
    assert found(mail, criteria) == []
    assert mail.columns_read == 100
    assert mail.headers_read == 25
    assert len(mail.bodies_read) == 25


def test_alternatives_look_at_what_cheaper_ones_left_only() -> None:
    mail = many(3000)
    assert len(found(mail, Or((InBody("text", or_header=False), Sized(below=2900))))) == 3000
    assert len(mail.bodies_read) == 100


def test_columns_are_read_once_for_several_keys() -> None:
    mail = many(1200)
    assert len(found(mail, And((InColumn(Column.FROM, "e"), InColumn(Column.SUBJECT, "s"))))) == 300
    assert mail.columns_read == 1200


class Sizes(array):  # type: ignore[type-arg]
    """A column that counts how many of its values are taken from it."""

    taken = 0

    def __getitem__(self, cut: Any) -> Any:
        found = super().__getitem__(cut)
        self.taken += len(found) if isinstance(cut, slice) else 1
        return found


class CountingTurn(Turn):
    """Remembers how many values were taken at most between two offers to yield."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(reactor)
        self.sizes = sizes
        self.longest = 0

    async def offer(self) -> None:
        self.longest = max(self.longest, self.sizes.taken)
        self.sizes.taken = 0
        await super().offer()


def test_a_search_of_many_messages_gives_the_reactor_its_turn_in_between() -> None:
    count = 100_000
    sizes = Sizes("I", range(count))
    zeros = array("q", bytes(8 * count))
    scope = Scope(count, array("I", range(1, count + 1)), zeros, sizes, zeros, range(count), (), KEYWORDS.mask)
    turn = CountingTurn(sizes)
    keys = 64
    criteria = And(tuple(Sized(above=number) for number in range(keys)))
    marks = run(search(criteria, scope, Mail([]), turn))
    assert marks == bytes(keys) + b"\1" * (count - keys)
    # One comparison takes 40 ns: this is 5 ms, and with the 10 ms of a turn less than 20.
    assert turn.longest <= 2048 * keys


DATES = st.dates(date(1971, 1, 1), date(2099, 12, 31))
ZONES = st.sampled_from(["+0000", "-1200", "+1400", "EST", "GMT", "(no zone)", ""])
TIMES = st.times().map(lambda time: f"{time:%H:%M:%S}")


@given(DATES, TIMES, ZONES)
def test_the_day_of_a_message_is_the_one_that_its_date_field_names(day: date, time: str, zone: str) -> None:
    field = f"Date: {day.day} {day:%b %Y} {time} {zone}\r\n\r\n"
    sent_us = render(BytesIO(field.encode())).sent_us
    assert sent_us is not None
    assert sent_us // DAY_US == (day - date(1970, 1, 1)).days


@given(st.sampled_from([b"", b"Date:\r\n", b"Date: yesterday\r\n", b"Date: 31 Feb 2020 10:00:00 +0000\r\n"]))
def test_a_message_without_a_date_has_no_day(fields: bytes) -> None:
    assert render(BytesIO(fields + b"\r\n")).sent_us is None
