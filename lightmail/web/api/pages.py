"""Lists in pages: a cursor that is opaque to clients, or limit and offset."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.web.api.problems import InvalidField
from lightmail.web.api.schemas import Integer, Nullable, Schema, Text

# Where a page ends, so that the next one begins behind it: the values of the columns that the list is ordered by.
Position = tuple[int | str, ...]

DEFAULT_LIMIT: Final = 50
MOST_LIMIT: Final = 500
MOST_OFFSET: Final = 1_000_000

LIMIT: Final = Integer(1, MOST_LIMIT, about=f"How many items at most; {DEFAULT_LIMIT} where it is not given.")
OFFSET: Final = Integer(0, MOST_OFFSET, about="How many items to pass over. Not with a cursor, which costs less.")
CURSOR: Final = Text(2000, minimum=1, about="`next_cursor` of the page before.")
NEXT_CURSOR: Final = Nullable(CURSOR, about="The cursor of the next page; null at the end.")
TOTAL: Final = Nullable(Integer(), about="How many items there are on all pages, where that is known.")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that is asked for: `limit` items behind `after`, or behind the first `offset` ones."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: Position | None = None


def read_page(query: Mapping[str, Any], shape: Sequence[type]) -> PageRequest:
    """The page that a query's fields ask for; cursors hold values of the types in `shape`. Raises InvalidField."""
    cursor, offset = query.get("cursor"), query.get("offset")
    if cursor is not None and offset is not None:
        raise InvalidField("offset", "It cannot be given with a cursor.")
    after = None if cursor is None else _decoded(cursor, shape)
    return PageRequest(query.get("limit") or DEFAULT_LIMIT, offset or 0, after)


def encoded(position: Position) -> str:
    """The cursor that stands for a position."""
    return (
        urlsafe_b64encode(json.dumps(position, ensure_ascii=False, separators=(",", ":")).encode())
        .rstrip(b"=")
        .decode()
    )


def _decoded(cursor: str, shape: Sequence[type]) -> Position:
    """The position of a cursor; one that was forged is as good as any other, or refused."""
    try:
        values = json.loads(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(shape):
        raise InvalidField("cursor", "It is not a cursor of this list.")
    for value, kind in zip(values, shape, strict=True):
        if type(value) is not kind or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
            raise InvalidField("cursor", "It is not a cursor of this list.")
        if isinstance(value, str) and not _encodable(value):
            raise InvalidField("cursor", "It is not a cursor of this list.")
    return tuple(values)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fields(*, offset: bool) -> dict[str, Schema]:
    """The fields of a query that ask for a page."""
    return {"limit": LIMIT, **({"offset": OFFSET} if offset else {}), "cursor": CURSOR}
