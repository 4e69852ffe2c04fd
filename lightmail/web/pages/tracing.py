"""Where is my message? What the log of this server says of it, and what an address is here."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lightmail.errors import Invalid, MailError, NoSuchMessage
from lightmail.model import MessageId
from lightmail.records import Record, Wanted
from lightmail.store import browsing, routes
from lightmail.store.addresses import normalised
from lightmail.store.routes import Known
from lightmail.web.api import logs
from lightmail.web.api.shown import line
from lightmail.web.pages import fields, finding, located
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/where"
# Records of one answer.
_MOST: Final = 200
_MESSAGE_CHARACTERS: Final = 2000
# How far back is looked: the value of the field, what it is called, and seconds; 0: all there is.
PERIODS: Final = (("hour", "hour", 3600), ("day", "day", 86_400), ("week", "week", 604_800), ("all", "", 0))
_PUT: Final = re.compile(r"UID (\d{1,10}) in mailbox (\d{1,18}) of ")


@dataclass(frozen=True, slots=True)
class Step:
    """A record as the page shows it: `outcome` is what it means in a word, `message` the page of what was delivered."""

    record: Record
    us: int
    text: str
    outcome: str
    message: str


@dataclass(frozen=True, slots=True)
class Here:
    """What an address is on this server: an account by its id, an alias, both or neither."""

    address: str
    account: int
    alias: bool


async def show(visit: Visit) -> Answer:
    """The form, and what was found."""
    query = finding.words(visit, "address", "message_id", "trace", "since")
    period = query["since"] if query["since"] in {value for value, _, _ in PERIODS} else "day"
    trouble, steps, complete, here = Trouble(), list[Step](), True, None
    asked = any(query[name] for name in ("address", "message_id", "trace"))
    try:
        if asked:
            here = await _here(visit, query["address"])
            found, complete = await logs.search(visit.services, _wanted(query, period), _MOST)
            steps = [_step(record) for record in reversed(found)]
    except MailError as error:
        trouble = fields.trouble(error)
    values = {
        "query": query,
        "period": period,
        "periods": PERIODS,
        "asked": asked,
        "steps": steps,
        "complete": complete,
        "most": _MOST,
        "here": here,
        "in_memory": visit.services.config.logging.path is None,
        "trouble": trouble,
    }
    return Html("where.html", values, trouble.status)


async def to_message(visit: Visit) -> Answer:
    """Go on to the message that was delivered with a UID; where it has moved on, say so."""
    box, _ = await located.mailbox(visit)
    uid = fields.identifier(visit.path, NoSuchMessage, "uid")
    found = await visit.services.database.read("message", browsing.at_txn, box.id, uid)
    if found is None:
        raise NoSuchMessage(
            "The message is not in that mailbox any more: it was moved, or its time to be restored is over."
        )
    return Redirect(f"/web/messages/{MessageId(found)}")


def _wanted(query: dict[str, str], period: str) -> Wanted:
    """What the log is searched for. Raises WrongField."""
    if 0 < len(query["address"]) < 3:
        raise WrongField("address", "Enter a whole address, such as ada@example.org.")
    if 0 < len(query["message_id"]) < 3:
        raise WrongField("message_id", "Enter the whole Message-ID, as the header of the message has it.")
    if 0 < len(query["trace"]) < 6:
        raise WrongField("trace", "Enter the trace as a Received field names it, such as 951cf75999df.1.")
    seconds = next(seconds for value, _, seconds in PERIODS if value == period)
    since = datetime.fromtimestamp(time.time() - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z") if seconds else ""
    return Wanted(query["trace"], query["address"], query["message_id"], since)


async def _here(visit: Visit, text: str) -> Here | None:
    """What is here by that address; None where it is no whole one."""
    try:
        address = normalised(text)
    except Invalid:
        return None
    known: Known = await visit.services.database.read("address", routes.known_txn, [address])
    place = known.accounts.get(address)
    return Here(address, place.account.id if place is not None else 0, address in known.aliases)


# The beginnings of what is said of deliveries, and what they mean.
_OUTCOMES: Final[Sequence[tuple[str, str]]] = (
    ("delivered ", "delivered"),
    ("duplicate ", "had come before"),
    ("told ", "clients told"),
)
_REFUSED: Final = re.compile(r"[a-z_]+ from <[^>]*> to <[^>]*>: ([45])\d\d ")


def _step(record: Record) -> Step:
    text = line(record.message, _MESSAGE_CHARACTERS)
    outcome = next((word for beginning, word in _OUTCOMES if text.startswith(beginning)), "")
    if not outcome and (refused := _REFUSED.match(text)) is not None:
        outcome = "put off" if refused[1] == "4" else "refused"
    put = _PUT.search(text) if text.startswith("delivered ") else None
    us = round(datetime.fromisoformat(record.time).timestamp() * 1_000_000)
    return Step(record, us, text, outcome, f"/web/mailboxes/{put[2]}/uids/{put[1]}" if put is not None else "")


VIEWS: Final = (
    View("GET", _PATH, Access.SERVER, show),
    View("GET", "/web/mailboxes/{id}/uids/{uid}", Access.ADMINISTRATOR, to_message),
)
