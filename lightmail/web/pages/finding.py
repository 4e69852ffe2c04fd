"""Lists of messages: what is looked for, read from the query, and pages of what was found.

A list goes by the numbers of its pages. Where text is looked for, each page looks through some thousand messages and
says where to go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from lightmail.operations.admin_messages import Listed
from lightmail.store.browsing import Place, Wanted
from lightmail.web.pages import lists
from lightmail.web.pages.fields import WrongField
from lightmail.web.pages.lists import Listing
from lightmail.web.pages.views import Visit

DAY_US: Final = 86_400_000_000
_LONGEST: Final = 255

Ask = Callable[[Place | None, int, int], Awaitable[Listed]]


@dataclass(frozen=True, slots=True)
class Results:
    """A page of messages. `further` leads on where text is looked for; `looked_through` is how many messages a page of
    that looks at."""

    list: Listing
    further: str
    narrowed: bool
    looked_through: int


def words(visit: Visit, *names: str) -> dict[str, str]:
    """Fields of the query as they were entered."""
    return {name: visit.query.get(name, "").strip()[:_LONGEST] for name in names}


def day_us(text: str, field: str) -> int:
    """When a day such as 2026-11-22 begins, in UTC. Raises WrongField."""
    try:
        return int(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp()) * 1_000_000
    except (ValueError, OverflowError):
        raise WrongField(field, "Enter a day such as 2026-11-22.") from None


def wanted(query: Mapping[str, str]) -> Wanted:
    """What the fields `sender`, `subject`, `since` and `until` ask for; both days are included. Raises WrongField."""
    times: dict[str, Any] = {}
    if query["since"]:
        times["since_us"] = day_us(query["since"], "since")
    if query["until"]:
        times["until_us"] = day_us(query["until"], "until") + DAY_US
    return Wanted(sender=query["sender"], subject=query["subject"], **times)


async def results(visit: Visit, path: str, query: Mapping[str, str], by_text: bool, ask: Ask) -> Results:
    """The page that is asked for of the list at `path`."""
    narrowed = any(query.values())
    if not by_text:
        listed = await ask(None, lists.LENGTH, lists.offset(visit))
        found, more = listed.found, listed.found.next is not None
        return Results(lists.listing(visit, path, query, found.messages, listed.total, more), "", narrowed, found.slice)
    after = _place(visit.query.get("after", ""))
    found = (await ask(after, lists.LENGTH, 0)).found
    going_on = {**query, "after": f"{found.next[0]}.{found.next[1]}"} if found.next is not None else {}
    shown = Listing(found.messages, 0, 0, None, lists.link(path, query) if after is not None else "", "")
    return Results(shown, lists.link(path, going_on) if going_on else "", narrowed, found.slice)


def nothing() -> Results:
    """What is shown while the query cannot be read."""
    return Results(Listing((), 0, 0, None, "", ""), "", True, 0)


def _place(text: str) -> Place | None:
    """Where a page goes on; what is no place is the beginning."""
    one, _, other = text.partition(".")
    try:
        place = int(one), int(other)
    except ValueError:
        return None
    return place if all(-(1 << 63) <= value < 1 << 63 for value in place) else None
