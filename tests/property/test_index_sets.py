"""Sets resolve to what RFC 3501 says they name, however they are written."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.index.columns import Columns, positions_in
from lightmail.index.keywords import RECENT
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.view import STAR, View
from lightmail.model import AccountId, MailboxId
from lightmail.store.messages import Snapshot

UIDS = st.sets(st.integers(1, 40) | st.integers(1, 2**32 - 1), max_size=25).map(sorted)
NUMBER = st.integers(1, 45) | st.integers(1, 2**32 - 1) | st.just(STAR)
RANGES = st.lists(st.tuples(NUMBER, NUMBER) | NUMBER.map(lambda number: (number, number)), min_size=1, max_size=12)


def view_of(uids: list[int], recent: list[range] | None = None) -> View:
    index = MailboxIndex(AccountId(1), MailboxId(1))
    rows = [(n, uid, 1, 0, 10, 0, n) for n, uid in enumerate(uids, 1)]
    index.replace(Snapshot(1, 1, (uids[-1] if uids else 0) + 1, 0, 0, [], rows, 1))
    return View(index, recent or [])


@settings(max_examples=400, deadline=None)
@given(UIDS, RANGES, st.booleans())
def test_a_set_names_what_the_rfc_says(uids: list[int], ranges: list[tuple[int, int]], by_uid: bool) -> None:
    view = view_of(uids)
    numbers = uids if by_uid else list(range(1, len(uids) + 1))
    last = numbers[-1] if numbers else 0
    named = set()
    for one, other in ranges:
        low, high = sorted((one or last, other or last))
        named |= {number for number in numbers if low <= number <= high}
    expected = [(seq, uid) for seq, uid in enumerate(uids, 1) if (uid if by_uid else seq) in named]
    assert view.uids(ranges, by_uid) == expected
    spans = view.spans(ranges, by_uid)
    assert all(start < stop for start, stop in spans)
    assert all(before[1] < after[0] for before, after in pairwise(spans)), "apart and ascending"
    rows = view.rows(ranges, by_uid)
    assert len(rows) == len(expected)
    assert list(zip(rows.seqs, rows.uids, strict=True)) == expected
    assert list(rows.objects) == [seq for seq, _ in expected]
    half = rows.part(1, 3)
    assert list(zip(half.seqs, half.uids, strict=True)) == expected[1:3]


@settings(max_examples=200, deadline=None)
@given(UIDS, RANGES)
def test_numbers_beyond_the_mailbox_are_found(uids: list[int], ranges: list[tuple[int, int]]) -> None:
    view = view_of(uids)
    ends = [number or len(uids) for pair in ranges for number in pair]
    assert view.covers(ranges) == all(1 <= number <= len(uids) for number in ends)


@settings(max_examples=200, deadline=None)
@given(UIDS, st.lists(st.tuples(st.integers(1, 45), st.integers(1, 10)), max_size=4), RANGES)
def test_recent_messages_are_marked(
    uids: list[int], spans: list[tuple[int, int]], ranges: list[tuple[int, int]]
) -> None:
    claims, start = [], 1
    for gap, length in spans:  # claims of a session ascend and never overlap
        claims.append(range(start + gap, start + gap + length))
        start = claims[-1].stop
    view = view_of(uids, claims)
    recent = {uid for uid in uids if any(uid in claim for claim in claims)}
    assert view.recent == len(recent)
    rows = view.rows(ranges, by_uid=True)
    for uid, bits in zip(rows.uids, rows.flags, strict=True):
        assert (bits == RECENT) == (uid in recent) == view.is_recent(uid)


def test_a_set_is_never_expanded() -> None:
    view = view_of(list(range(5, 10_005)))
    whole = [(1, 4_294_967_295)] * 4000
    assert view.spans(whole, by_uid=True) == view.spans(whole, by_uid=False) == [(0, 10_000)]
    scattered = [(number, number) for number in range(1, 8001, 2)][::-1]
    assert len(view.uids(scattered, by_uid=False)) == 4000
    assert view.spans([(559_000, STAR)], by_uid=True) == [(9_999, 10_000)], "RFC 3501 section 6.4.8"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.data())
def test_columns_without_some_messages(length: int, data: st.DataObject) -> None:
    columns = Columns()
    columns.extend([(n, n + 1, n, n, n, n * 1_000_000, n) for n in range(length)])
    gone = (
        sorted(data.draw(st.sets(st.integers(0, length - 1), max_size=data.draw(st.integers(1, 200)))))
        if length
        else []
    )
    kept = columns.without(gone)
    assert list(kept.uids) == [n + 1 for n in range(length) if n not in set(gone)]
    assert list(kept.internaldates) == list(kept.flags) == list(kept.objects) == [uid - 1 for uid in kept.uids]
    assert len(columns) == length


def test_positions() -> None:
    assert list(positions_in([(0, 2), (5, 6)])) == [0, 1, 5]
