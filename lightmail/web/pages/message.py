"""One message: what it says, for who has to look, and what can be done with it. Who looked is in the audit log."""

from __future__ import annotations

import re
from typing import Any, Final

from lightmail.config import GarbageConfig
from lightmail.errors import Cannot, Corruption, MailError, NoSuchDestination, NoSuchMessage, OverQuota, Unavailable
from lightmail.model import MailboxId
from lightmail.operations import admin_messages as operations
from lightmail.operations.admin_messages import Opened
from lightmail.store import blobs, mailboxes
from lightmail.web.api import content
from lightmail.web.pages import fields, located, reading, sanitising
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.views import Access, Answer, Download, Framed, Html, Redirect, View, Visit

_PATH: Final = "/web/messages"
_ONE: Final = f"{_PATH}/{{id}}"
_NUMBER: Final = re.compile(r"[0-9.]{1,100}", re.ASCII)


async def show(visit: Visit) -> Answer:
    """The message: its header, its text, and what is attached."""
    return await _page(visit)


async def html(visit: Visit) -> Answer:
    """The message's HTML, for the frame in its page."""
    opened = await _opened(visit, "html")
    parts = await reading.parts(visit.services, opened.ref, opened.parts)
    if parts.html is None:
        raise NoSuchMessage("The message has no HTML.")
    text = await reading.text(visit.services, opened.ref, parts.html)
    return Framed(await visit.services.pool.run(sanitising.document, text.text), sanitising.POLICY)


async def raw(visit: Visit) -> Answer:
    """The message as it came."""
    opened = await _opened(visit, "raw")
    pieces = await content.pieces(visit.services, opened.ref)
    return Download(f"message-{opened.whole.message.id}.eml", pieces, opened.ref.octets)


async def part(visit: Visit) -> Answer:
    """What one part of it holds, as a file."""
    number = visit.path["part"]
    if _NUMBER.fullmatch(number) is None:
        raise NoSuchMessage("The message has no such part.")
    opened = await _opened(visit, f"part {number}")
    found = await reading.part(visit.services, opened.ref, opened.parts, number)
    return Download(found.name, await content.begun(reading.decoded(visit.services, opened.ref, found)))


async def delete(visit: Visit) -> Answer:
    """Delete the message; it can be restored."""
    id, actor = await located.message(visit)
    tx = visit.services.transactions
    mailbox = (await operations.shown(tx, actor, id)).whole.box.id
    try:
        await operations.delete(tx, actor, id)
    except Cannot as error:
        return await _page(visit, fields.trouble(error))
    return Redirect(f"/web/mailboxes/{mailbox}", "message-deleted")


async def copy(visit: Visit) -> Answer:
    """Copy the message to another mailbox of its account."""
    return await _placed(visit, operations.copy, "message-copied")


async def move(visit: Visit) -> Answer:
    """Move the message to another mailbox of its account."""
    return await _placed(visit, operations.move, "message-moved")


async def restore(visit: Visit) -> Answer:
    """Bring the deleted message back to where it was."""
    id, actor = await located.message(visit)
    try:
        placed = await operations.restore(visit.services.transactions, actor, id)
    except (Cannot, OverQuota) as error:
        return await _page(visit, _trouble(error))
    return Redirect(f"{_PATH}/{placed.id}", "message-restored")


async def _placed(visit: Visit, place: Any, notice: str) -> Answer:
    id, actor = await located.message(visit)
    try:
        into = MailboxId(fields.identifier(visit.form, NoSuchDestination, "mailbox"))
        placed = await place(visit.services.transactions, actor, id, into)
    except KeyError:
        return await _page(visit, Trouble("Choose a mailbox.", "mailbox", 422))
    except (Cannot, NoSuchDestination, OverQuota) as error:
        return await _page(visit, _trouble(error))
    return Redirect(f"{_PATH}/{placed.id}", notice)


def _trouble(error: MailError) -> Trouble:
    if isinstance(error, OverQuota):
        return fields.trouble(error, "The account is full. Raise its quota, or delete something from it first.")
    if isinstance(error, NoSuchDestination):
        return fields.trouble(error, "That mailbox is gone. Choose another one.", "mailbox")
    return fields.trouble(error)


async def _opened(visit: Visit, what: str) -> Opened:
    """The message of the path, the look at it noted. Raises NoSuchMessage, Unavailable."""
    id, actor = await located.message(visit)
    return await operations.open_content(visit.services.transactions, actor, id, what)


async def _page(visit: Visit, trouble: Trouble | None = None) -> Answer:
    services = visit.services
    opened = await _opened(visit, "text")
    box, object_ = opened.whole.box, opened.whole.message.object
    packed = await services.database.read("message header", blobs.headers_txn, [object_])
    there = await services.database.read("mailboxes", mailboxes.list_txn, box.owner.account)
    values = {
        "message": opened.whole.message,
        "box": box,
        "saved_us": opened.whole.saved_us,
        # The log has others' mail, too: it is for who administers the server.
        "trace": opened.whole.trace if visit.actor.domain is None else "",
        "header": await services.pool.run(reading.header, *packed.get(object_, (b"", b""))),
        "mailboxes": [(each.id, each.name) for each in there if each.id != box.id],
        "undelete_days": (services.config.garbage or GarbageConfig()).undelete_days,
        "trouble": trouble or Trouble(),
        **await _content(visit, opened),
    }
    return Html("message.html", values, (trouble or Trouble()).status)


async def _content(visit: Visit, opened: Opened) -> dict[str, Any]:
    """What the message says; where its object cannot be read, that it cannot."""
    services, parts, shown = visit.services, reading.Parts(None, None, ()), reading.Text("", False)
    unread, as_html = "", visit.query.get("view") == "html"
    try:
        parts = await reading.parts(services, opened.ref, opened.parts)
        as_html = as_html and parts.html is not None
        if not as_html:
            shown = await reading.shown(services, opened.ref, parts)
    except (Corruption, Unavailable) as error:
        unread = error.text
    return {"parts": parts, "text": shown, "as_html": as_html, "unread": unread}


VIEWS: Final = (
    View("GET", _ONE, Access.ADMINISTRATOR, show),
    View("GET", f"{_ONE}/html", Access.ADMINISTRATOR, html),
    View("GET", f"{_ONE}/raw", Access.ADMINISTRATOR, raw),
    View("GET", f"{_ONE}/parts/{{part}}", Access.ADMINISTRATOR, part),
    View("POST", f"{_ONE}/delete", Access.ADMINISTRATOR, delete),
    View("POST", f"{_ONE}/copy", Access.ADMINISTRATOR, copy),
    View("POST", f"{_ONE}/move", Access.ADMINISTRATOR, move),
    View("POST", f"{_ONE}/restore", Access.ADMINISTRATOR, restore),
)
