"""What a database's mark and its bucket's say together, and what is not taken for a mark."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.jobs.epochs import Verdict, compare, decode, encode
from lightmail.store.epochs import Mark

numbers = st.integers(0, (1 << 63) - 1)
marks = st.builds(Mark, st.binary(min_size=16, max_size=16), numbers, numbers, numbers)
OURS = Mark(b"l" * 16, 3, 50, 1_000)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (OURS, OURS, Verdict.LEVEL),
        (OURS, replace(OURS, passes=49, high_water_us=2_000), Verdict.LEVEL),
        (OURS, replace(OURS, passes=51), Verdict.BEHIND),
        (OURS, replace(OURS, high_water_us=999), Verdict.BEHIND),
        (OURS, replace(OURS, lineage=b"m" * 16), Verdict.FOREIGN),
        (OURS, None, Verdict.LOST),
        (Mark(b"", 1, 0, 0), None, Verdict.FRESH),
        (replace(OURS, passes=0), None, Verdict.FRESH),
        (Mark(b"", 1, 0, 0), OURS, Verdict.BEHIND),
    ],
)
def test_verdicts(ours: Mark, theirs: Mark | None, verdict: Verdict) -> None:
    assert compare(ours, theirs) is verdict


@given(marks)
def test_a_mark_comes_back_as_it_was(mark: Mark) -> None:
    assert decode(encode(mark)) == mark


@given(st.binary() | st.text().map(str.encode))
def test_nothing_else_is_taken_for_a_mark(octets: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any of its kinds
        decode(octets)


@given(
    marks,
    st.sampled_from(["format", "lineage", "epoch", "passes", "high_water_us"]),
    st.none() | st.text() | st.lists(st.integers()) | st.floats() | st.booleans() | st.integers(max_value=-1),
)
def test_a_damaged_field_is_no_mark(mark: Mark, name: str, value: object) -> None:
    fields = {**json.loads(encode(mark)), name: value}
    try:
        found = decode(json.dumps(fields).encode())
    except ValueError:
        return
    assert name == "lineage", "only the lineage may be any text of hex digits"
    assert replace(found, lineage=mark.lineage) == mark
