"""An index remembers under which traces its last messages were brought, in few octets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightmail import traces
from lightmail.index.arrivals import Arrivals

BROUGHT = st.lists(st.lists(st.integers(1, 1000), max_size=50, unique=True).map(sorted), max_size=8)


def trace(uid: int) -> bytes:
    return b"%012x.%d" % (uid, uid)


@given(BROUGHT)
def test_it_has_the_traces_of_the_highest_uids(readings: list[list[int]]) -> None:
    arrivals = Arrivals()
    seen: set[int] = set()
    for reading in readings:
        arrivals.add([(uid, trace(uid)) for uid in reading])
        seen = set(sorted(seen | set(reading))[-traces.MOST :])
        assert arrivals.of(range(1001)).split() == [trace(uid).decode() for uid in sorted(seen)]
        assert arrivals.size_octets <= traces.MOST * 24


def test_what_shares_a_trace_is_told_once_and_what_has_none_not_at_all() -> None:
    arrivals = Arrivals()
    arrivals.add([(1, b"a"), (2, b"b"), (4, b"b")])
    assert arrivals.of([2, 3, 4]) == "b"
    assert arrivals.of([1, 4]) == "a b"
    assert arrivals.of([3]) == arrivals.of([]) == ""
