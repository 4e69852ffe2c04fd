"""Lists by page: where they begin, and the links to what comes before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from lightmail.web.pages.views import Visit

LENGTH: Final = 50
_LAST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list: the items, the places of the first and the last of them, how many there are in all (None: that
    is not known), and the links."""

    items: Sequence[Any]
    first: int
    last: int
    total: int | None
    previous: str
    following: str


def page(visit: Visit) -> int:
    """The number of the page that is asked for, the first is 1; what is no number asks for that."""
    text = visit.query.get("page", "")
    return min(max(int(text), 1), _LAST) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else 1


def offset(visit: Visit) -> int:
    """How many items come before the page."""
    return (page(visit) - 1) * LENGTH


def link(path: str, query: Mapping[str, str], number: int = 1) -> str:
    """The address of a page of a list; `query` is what was searched for."""
    fields = {name: value for name, value in query.items() if value} | ({"page": str(number)} if number > 1 else {})
    return f"{path}?{urlencode(fields)}" if fields else path


def listing(
    visit: Visit, path: str, query: Mapping[str, str], found: Sequence[Any], total: int | None = None
) -> Listing:
    """The page of the list at `path` whose items, and the first of the next page, were `found` behind `offset`."""
    number, items = page(visit), found[:LENGTH]
    before = offset(visit)
    return Listing(
        items,
        before + 1 if items else 0,
        before + len(items),
        total,
        link(path, query, number - 1) if number > 1 else "",
        link(path, query, number + 1) if len(found) > LENGTH and number < _LAST else "",
    )
