"""Lists by page: where they begin, and the links to what comes before and after."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from lightmail.store.domains import Domain
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
    visit: Visit,
    path: str,
    query: Mapping[str, str],
    found: Sequence[Any],
    total: int | None = None,
    more: bool | None = None,
) -> Listing:
    """The page of the list at `path` whose items, and the first of the next page, were `found` behind `offset`. `more`
    says whether there is a next page, for a list that may leave some of its items out."""
    number, items = page(visit), found[:LENGTH]
    before = offset(visit)
    following = len(found) > LENGTH if more is None else more
    return Listing(
        items,
        before + 1 if items else 0,
        before + len(items),
        total,
        link(path, query, number - 1) if number > 1 else "",
        link(path, query, number + 1) if following and number < _LAST else "",
    )


@dataclass(frozen=True, slots=True)
class Addresses:
    """A page of a list of addresses with what it was searched for: how they begin, and the name of their domain, empty
    for all. `choice` names the domains that can be chosen, None: any."""

    list: Listing
    search: str
    domain: str
    choice: Sequence[str] | None

    @property
    def narrowed(self) -> bool:
        """Whether there may be more than what was searched for."""
        return bool(self.search or (self.domain and self.choice is None))


# Of a domain (None: of all), what begins so, up to a limit behind an offset; and how many there are in all.
Find = Callable[[int | None, str, int, int], Awaitable[tuple[Sequence[Any], int | None]]]


async def addresses(
    visit: Visit, path: str, domain: Domain | None, own: Sequence[tuple[int, str]] | None, find: Find
) -> Addresses:
    """The page of the list at `path`, of a domain or of all; `own` are those of who asks, None where he has all."""
    search, of = visit.query.get("search", ""), "" if domain is None else domain.name
    found, total = await find(None if domain is None else domain.id, search, LENGTH + 1, offset(visit))
    shown = listing(visit, path, {"search": search, "domain": of}, found, total)
    return Addresses(shown, search, of, None if own is None else [name for _, name in own])
