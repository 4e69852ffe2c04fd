"""The log's endpoint: where is my mail? It searches the file of the log, or what this server has said lately."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import DeferredSemaphore

from lightmail.config import LoggingConfig
from lightmail.errors import Unavailable
from lightmail.records import RECENT, Blocks, Record, Search, Wanted, file_blocks, read
from lightmail.web.api.endpoints import Call, Endpoint, Page, Query
from lightmail.web.api.schemas import Choice, ListOf, Moment, Object, Text, moment_text
from lightmail.web.api.scopes import Scope
from lightmail.web.api.services import ApiServices

# As far back as a file is read, and for so long.
_SEARCHED_OCTETS: Final = 256 << 20
_SEARCH_SECONDS: Final = 20.0
# No more records are said within one millisecond.
_SAME_MOMENT: Final = 10_000
# A search keeps a thread busy; those of everybody together keep no more.
_SEARCHES: Final = DeferredSemaphore(2)

_RECORD: Final = Object(
    {
        "time": Moment(about="When it was said, to the millisecond."),
        "level": Choice(("debug", "info", "warn", "error", "critical")),
        "source": Text(200, about="The part of the server that says it."),
        "traces": ListOf(Text(200), about="What it was said for: sessions, mail transactions, requests."),
        "message": Text(10_000),
    },
    name="LogRecord",
)


async def list_(call: Call) -> Page:
    """A page of records, the newest first.

    A position is the moment of the last record, and how many of that very moment have been given.
    """
    query, after = call.query, call.page.after
    until = str(after[0]) if after else _moment(query["until"])
    given = min(max(0, int(after[1])), _SAME_MOMENT) if after else 0
    wanted = Wanted(
        trace=query["trace"] or "",
        address=query["address"] or "",
        message_id=query["message_id"] or "",
        since=_moment(query["since"]),
        until=until,
    )
    found, complete = await search(call.services, wanted, given + call.page.limit)
    shown = found[given:]
    return Page([_shown(record) for record in shown], None if complete else _position(shown, until, given))


async def search(services: ApiServices, wanted: Wanted, limit: int) -> tuple[list[Record], bool]:
    """The newest `limit` records that are wanted, newest first, and whether these are all. Raises Unavailable."""
    passage = Search(wanted, _blocks(services.config.logging), limit)
    await _SEARCHES.run(lambda: _carry_out(services, passage))
    return [record for line in passage.found if (record := read(line)) is not None], passage.complete


async def _carry_out(services: ApiServices, search: Search) -> None:
    by = services.reactor.seconds() + _SEARCH_SECONDS
    while await services.pool.run(search.step):
        if services.reactor.seconds() > by:
            raise Unavailable("The log is too long to be searched; say since when.")


def _blocks(config: LoggingConfig) -> Blocks:
    """The file, and what logrotate has made of it; without one, what is in memory."""
    path = config.path
    if path is None:
        return RECENT.blocks
    return lambda: file_blocks([path, f"{path}.1"], _SEARCHED_OCTETS)


def _position(found: list[Record], until: str, given: int) -> tuple[str, int] | None:
    if not found:
        return None
    last = found[-1].time
    same = sum(1 for record in found if record.time == last)
    return last, same + given if last == until else same


def _moment(us: int | None) -> str:
    return "" if us is None else moment_text(us)


def _shown(record: Record) -> dict[str, Any]:
    return {
        "time": record.time,
        "level": record.level,
        "source": record.source,
        "traces": record.trace.split(),
        "message": record.message,
    }


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/logs",
        Scope.LOGS_READ,
        "Search the log of this server",
        list_,
        query=(
            Query("trace", Text(64, minimum=6, about="A session's id, or a mail transaction's, as Received names it.")),
            Query("address", Text(320, minimum=3, about="A sender's, recipient's or account's address.")),
            Query("message_id", Text(998, minimum=3, about="A Message-ID, with angle brackets or without.")),
            Query("since", Moment(about="Not what was said before.")),
            Query("until", Moment(about="Not what was said after.")),
        ),
        answer=_RECORD,
        paged=True,
        position=(str, int),
        offset=False,
        server_only=True,
        about="With an address or a Message-ID all records of the mail transactions that name it come,"
        " from LMTP to the clients that were told of the message: where is my mail?",
    ),
)
