"""Endpoints about messages: lists, content, and what is done to one by its id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lightmail.model import MailboxId, MessageId
from lightmail.operations import admin_messages as operations
from lightmail.operations.admin_messages import Placed
from lightmail.store.browsing import Found, Listed, Place, Wanted
from lightmail.web.api import content
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Octets, Page, Query
from lightmail.web.api.problems import InvalidField
from lightmail.web.api.schemas import (
    Boolean,
    Id,
    Integer,
    ListOf,
    Moment,
    Nullable,
    Object,
    Text,
    moment_text,
    optional_moment,
)
from lightmail.web.api.scopes import Scope
from lightmail.web.api.shown import line, lines

_LINE: Final = 1000
_ADDRESSES: Final = 10_000

_LISTED: Final = {
    "id": Id(),
    "uid": Id("Its UID in its mailbox."),
    "mailbox_id": Id(),
    "mailbox": Text(_LINE, about="The name of the mailbox that it is or was in."),
    "subject": Text(_LINE),
    "sender": Text(_LINE, about="The From field, decoded."),
    "size": Integer(about="In octets."),
    "date": Moment(about="When it arrived: its INTERNALDATE."),
    "flags": ListOf(Text(255), about="Its IMAP flags and keywords."),
    "deleted_at": Nullable(Moment(), about="When it was deleted or withheld; null: it is there."),
    "withheld": Boolean(about="Whether a virus was found in it when it came: it never was in its mailbox."),
}
MESSAGE: Final = Object(_LISTED, name="Message")
_PART: Final = Object(
    {"part": Text(1000, about="Its number, as in IMAP."), "media_type": Text(255), "size": Integer(about="In octets.")},
    name="MessagePart",
)
MESSAGE_DETAILS: Final = Object(
    {
        **_LISTED,
        "account_id": Id(),
        "address": Text(320, about="The account's address."),
        "to": Text(_ADDRESSES),
        "cc": Text(_ADDRESSES),
        "message_id": Text(_LINE, about="The Message-ID field."),
        "saved_at": Moment(about="When it came into this mailbox."),
        "trace": Text(64, about="Under which the log has what brought it there; empty: that is not known."),
        "parts": ListOf(_PART, content.MOST_PARTS),
    },
    name="MessageDetails",
)
MESSAGE_TEXT: Final = Object(
    {
        "part": Nullable(Text(1000), about="The part that is shown; null: the message has no text."),
        "media_type": Nullable(Text(255), about="text/plain, or text/html where there is no other."),
        "text": Text(content.TEXT_OCTETS, lines=True, about="The part's text, decoded; of HTML, its source."),
        "truncated": Boolean(about="Whether there is more of it."),
    },
    name="MessageText",
)
PLACED: Final = Object(
    {"new_id": Id("The id that it has there."), "mailbox_id": Id(), "uid": Id("Its UID there.")}, name="Placed"
)
DESTINATION: Final = Object({"dest_mailbox_id": Id("A mailbox of the same account.")}, name="Destination")
RESTORATION: Final = Object(
    optional={"dest_mailbox_id": Id("Where to; the mailbox it was in where this is not given.")}, name="Restoration"
)
_FILTERS: Final = (
    Query("sender", Text(255, about="Part of the From field, in any case.")),
    Query("subject", Text(255, about="Part of the Subject field, in any case.")),
    Query("since", Moment(about="Those whose `date` is then or later.")),
    Query("until", Moment(about="Those whose `date` is before that.")),
    Query("deleted", Boolean(about="Those that can be restored, deleted last first, instead of those that are there.")),
    Query("deleted_since", Moment(about="With `deleted` or `withheld`: those that were it then or later.")),
    Query("deleted_until", Moment(about="With `deleted` or `withheld`: those that were it before that.")),
    Query(
        "withheld", Boolean(about="Those that a virus was found in, the last first, instead of those that are there.")
    ),
)


_TIMES: Final = ("since", "until", "deleted_since", "deleted_until")


async def of_mailbox(call: Call) -> Page:
    """The messages of a mailbox."""
    page, wanted = call.page, _wanted(call)
    listed = await operations.of_mailbox(
        call.services.transactions, call.actor, call.path["id"], wanted, _place(call), page.limit, page.offset
    )
    return _page(listed.found, listed.total)


async def of_account(call: Call) -> Page:
    """The messages of an account."""
    page, wanted = call.page, _wanted(call)
    found = await operations.of_account(
        call.services.transactions, call.actor, call.path["id"], wanted, _place(call), page.limit, page.offset
    )
    return _page(found, None)


async def show(call: Call) -> Json:
    """One message, without its content."""
    shown = await operations.shown(call.services.transactions, call.actor, _id(call))
    box, details = shown.whole.box, shown.details
    parts = content.leaves(details.parts)
    return Json(
        {
            **_document(shown.whole.message),
            "account_id": box.owner.account,
            "address": box.owner.address,
            "to": line(details.to, _ADDRESSES),
            "cc": line(details.cc, _ADDRESSES),
            "message_id": line(details.message_id, _LINE),
            "saved_at": moment_text(shown.whole.saved_us),
            "trace": shown.whole.trace,
            "parts": [
                {
                    "part": content.path_text(part),
                    "media_type": part.media_type.decode("ascii"),
                    "size": part.body_end - part.body_start,
                }
                for part in parts
            ],
        }
    )


async def raw(call: Call) -> Octets:
    """The octets of a message."""
    opened = await operations.open_content(call.services.transactions, call.actor, _id(call), "raw")
    pieces = await content.pieces(call.services, opened.ref)
    return Octets("message/rfc822", f"{opened.whole.message.id}.eml", pieces, opened.ref.octets)


async def text(call: Call) -> Json:
    """The text of a message."""
    opened = await operations.open_content(call.services.transactions, call.actor, _id(call), "text")
    found = await content.text(call.services, opened)
    if found is None:
        return Json({"part": None, "media_type": None, "text": "", "truncated": False})
    shown = lines(found.text, content.TEXT_OCTETS)
    return Json({"part": found.part, "media_type": found.media_type, "text": shown, "truncated": found.truncated})


async def delete(call: Call) -> Nothing:
    """Expunge a message."""
    await operations.delete(call.services.transactions, call.actor, _id(call))
    return Nothing()


async def copy(call: Call) -> Json:
    """Copy a message to another mailbox."""
    destination = MailboxId(call.body["dest_mailbox_id"])
    return _placed(await operations.copy(call.services.transactions, call.actor, _id(call), destination))


async def move(call: Call) -> Json:
    """Move a message to another mailbox."""
    destination = MailboxId(call.body["dest_mailbox_id"])
    return _placed(await operations.move(call.services.transactions, call.actor, _id(call), destination))


async def restore(call: Call) -> Json:
    """Bring a deleted message back."""
    into = call.body.get("dest_mailbox_id")
    return _placed(await operations.restore(call.services.transactions, call.actor, _id(call), into))


def _id(call: Call) -> MessageId:
    return MessageId(call.path["id"])


def _place(call: Call) -> Place | None:
    after = call.page.after
    return None if after is None else (int(after[0]), int(after[1]))


def _wanted(call: Call) -> Wanted:
    """The filters of a list. Raises InvalidField."""
    query = call.query
    for name in ("deleted_since", "deleted_until"):
        if query[name] is not None and not (query["deleted"] or query["withheld"]):
            raise InvalidField(name, "It needs deleted=true or withheld=true.")
    if query["deleted"] and query["withheld"]:
        raise InvalidField("withheld", "It cannot be given with deleted=true.")
    wanted = Wanted(
        sender=query["sender"] or "",
        subject=query["subject"] or "",
        deleted=bool(query["deleted"]),
        withheld=bool(query["withheld"]),
    )
    if call.page.offset and wanted.by_text:
        raise InvalidField("offset", "It cannot be given with sender or subject; use the cursor.")
    times: dict[str, Any] = {f"{name}_us": query[name] for name in _TIMES if query[name] is not None}
    return replace(wanted, **times)


def _page(found: Found, total: int | None) -> Page:
    return Page([_document(each) for each in found.messages], found.next, total)


def _document(message: Listed) -> dict[str, Any]:
    return {
        "id": message.id,
        "uid": message.uid,
        "mailbox_id": message.mailbox,
        "mailbox": line(message.mailbox_name, _LINE),
        "subject": line(message.subject, _LINE),
        "sender": line(message.sender, _LINE),
        "size": message.octets,
        "date": moment_text(message.internaldate_us),
        "flags": list(message.flags),
        "deleted_at": optional_moment(message.deleted_us),
        "withheld": message.withheld,
    }


def _placed(placed: Placed) -> Json:
    return Json({"new_id": placed.id, "mailbox_id": placed.mailbox, "uid": placed.uid})


_UNKNOWN: Final = {"no_such_message": 404}
_PLACING: Final = {**_UNKNOWN, "no_such_destination": 404, "cannot": 409, "over_quota": 409, "corruption": 500}
_CONTENT: Final = {**_UNKNOWN, "corruption": 500, "object_missing": 500}
_ONE: Final = "/admin/messages/{id}"
_SEARCH: Final = (
    "`offset` does not go with `sender` or `subject`. Where these are given, each page looks through some thousand"
    " messages: it may have fewer items than `limit`, or none, and still have a `next_cursor`."
)
_RECORDED: Final = "The audit log says who looked."

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/mailboxes/{id}/messages",
        Scope.MESSAGES_READ,
        "List the messages of a mailbox, the newest first",
        of_mailbox,
        query=_FILTERS,
        answer=MESSAGE,
        paged=True,
        position=(int, int),
        codes={"no_such_mailbox": 404},
        about=_SEARCH,
    ),
    Endpoint(
        "GET",
        "/admin/accounts/{id}/messages",
        Scope.MESSAGES_READ,
        "List or search the messages of an account in all mailboxes, the newest first",
        of_account,
        query=_FILTERS,
        answer=MESSAGE,
        paged=True,
        position=(int, int),
        codes={"no_such_account": 404},
        about=_SEARCH,
    ),
    Endpoint("GET", _ONE, Scope.MESSAGES_READ, "Show a message", show, answer=MESSAGE_DETAILS, codes=_UNKNOWN),
    Endpoint(
        "GET",
        f"{_ONE}/raw",
        Scope.MESSAGES_CONTENT,
        "Download a message",
        raw,
        media="message/rfc822",
        codes=_CONTENT,
        about=_RECORDED,
    ),
    Endpoint(
        "GET",
        f"{_ONE}/text",
        Scope.MESSAGES_CONTENT,
        "Read the text of a message",
        text,
        answer=MESSAGE_TEXT,
        codes=_CONTENT,
        about=_RECORDED,
    ),
    Endpoint(
        "DELETE",
        _ONE,
        Scope.MESSAGES_WRITE,
        "Delete a message; it can be restored",
        delete,
        status=204,
        codes={**_UNKNOWN, "cannot": 409},
    ),
    Endpoint(
        "POST",
        f"{_ONE}/copy",
        Scope.MESSAGES_WRITE,
        "Copy a message to another mailbox of its account",
        copy,
        body=DESTINATION,
        answer=PLACED,
        codes=_PLACING,
    ),
    Endpoint(
        "POST",
        f"{_ONE}/move",
        Scope.MESSAGES_WRITE,
        "Move a message to another mailbox of its account",
        move,
        body=DESTINATION,
        answer=PLACED,
        codes=_PLACING,
    ),
    Endpoint(
        "POST",
        f"{_ONE}/restore",
        Scope.MESSAGES_WRITE,
        "Restore a deleted or withheld message",
        restore,
        body=RESTORATION,
        answer=PLACED,
        codes=_PLACING,
        about="It goes back to the mailbox it was in, which is made where it is gone, under a new id.",
    ),
)
