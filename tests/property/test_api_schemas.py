"""The API's types: what they take is what their JSON Schema says, and whatever is thrown at them is answered."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lightmail.web.api import pages
from lightmail.web.api.problems import InvalidField
from lightmail.web.api.schemas import (
    Address,
    Boolean,
    Choice,
    Id,
    Integer,
    ListOf,
    MapOf,
    Moment,
    Nullable,
    Object,
    Schema,
    Text,
    moment_text,
)

_MOST = (1 << 63) - 1

# Types whose JSON Schema says all there is to say.
EXACT: tuple[Schema, ...] = (
    Text(5),
    Text(5, minimum=2, lines=True),
    Text(10, pattern="[a-c]+"),
    Integer(),
    Integer(-3, 3),
    Id(),
    Boolean(),
    Choice(("a", "b")),
    Nullable(Integer(0, 3)),
    ListOf(Integer(0, 3), 2),
    ListOf(Choice(("a",)), 2, minimum=1),
    MapOf(Boolean()),
    Object({"a": Integer()}, {"b": Text(3), "c": Nullable(Boolean())}),
    Object(optional={"a": Integer(), "b": Boolean()}, least=1),
    Object({"a": Object({"b": ListOf(Object({"c": Integer()}), 2)})}),
)
# Others, whose schema takes more.
LOOSE: tuple[Schema, ...] = (Address(), Moment())

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc\n\t\x00\x7f\u2028\u00e9\U0001f600", max_size=6)
    | st.text(max_size=12)
    | st.sampled_from(["a@b.example", "2026-01-31T12:00:00Z", "2026-02-30T12:00:00Z", "1969-12-31T23:59:59Z"])
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


def refused(read: Callable[..., Any], *arguments: Any) -> str | None:
    """The field that is refused, None where all is well."""
    try:
        read(*arguments)
    except InvalidField as problem:
        return problem.field
    return None


def taken(schema: Schema, value: Any) -> bool:
    field = refused(schema.read, value, "it")
    assert field is None or field.startswith("it")
    return field is None


@pytest.mark.parametrize("schema", EXACT, ids=str)
@given(VALUES)
def test_what_is_taken_is_what_the_schema_says(schema, value):
    assert taken(schema, value) is Draft202012Validator(schema.json_schema()).is_valid(value)


@pytest.mark.parametrize("schema", LOOSE, ids=str)
@given(VALUES)
def test_nothing_is_taken_that_the_schema_does_not_say(schema, value):
    assert not taken(schema, value) or Draft202012Validator(schema.json_schema()).is_valid(value)


@pytest.mark.parametrize("schema", [*EXACT, *LOOSE], ids=str)
@given(st.text(max_size=40))
def test_any_text_of_a_query_is_answered(schema, text):
    field = refused(schema.read_text, text, "it")
    assert field is None or field.startswith("it")


@given(st.integers(0, 253_402_300_799_999_999))
def test_moments_are_read_as_they_are_written(us):
    assert Moment().read(moment_text(us), "it") == us // 1000 * 1000


@given(st.datetimes(timezones=st.timezones()))
def test_moments_of_all_zones(when):
    text = when.isoformat()
    assert not taken(Moment(), text) or Moment().read(text, "it") >= 0


_POSITIONS = st.integers(-(1 << 63), _MOST) | st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(_POSITIONS, min_size=1, max_size=3))
def test_a_cursor_leads_to_where_it_was_made(position):
    cursor = pages.encoded(tuple(position))
    query = {"limit": None, "offset": None, "cursor": cursor}
    found = pages.read_page(query, [type(each) for each in position])
    assert found.after == tuple(position)
    assert pages.CURSOR.read(cursor, "cursor") == cursor


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda octets: urlsafe_b64encode(octets).decode()))
def test_a_forged_cursor_is_refused_or_a_position(cursor):
    field = refused(pages.read_page, {"cursor": cursor}, [int])
    assert field in (None, "cursor")
    if field is None:
        after = pages.read_page({"cursor": cursor}, [int]).after
        assert after is not None
        assert isinstance(after[0], int)


@pytest.mark.parametrize(
    "values", [[1 << 63], [-(1 << 63) - 1], [True], [1.0], ["1"], [None], [], [1, 2], {"a": 1}, "x"]
)
def test_what_is_no_position(values):
    cursor = urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    with pytest.raises(InvalidField):
        pages.read_page({"cursor": cursor}, [int])
    with pytest.raises(InvalidField):
        pages.read_page({"cursor": urlsafe_b64encode(b'["\\ud800"]').decode().rstrip("=")}, [str])
