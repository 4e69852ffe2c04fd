"""Endpoints about mailboxes."""

from __future__ import annotations

from typing import Any, Final

from lightmail.operations import admin_mailboxes as operations
from lightmail.operations.mailboxes import SPECIAL_USES
from lightmail.operations.names import NAME_OCTETS
from lightmail.store.browsing import Counted, Owner
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Choice, Id, Integer, Nullable, Object, Schema, Text
from lightmail.web.api.scopes import Scope

_NAME: Final = Text(NAME_OCTETS, minimum=1, about="Its name; levels of the hierarchy are parted by a slash.")
_USE: Final = Choice(tuple(sorted(SPECIAL_USES)))

MAILBOX: Final = Object(
    {
        "id": Id(),
        "account_id": Id(),
        "name": _NAME,
        "special_use": Nullable(_USE, about="What clients use it for (RFC 6154)."),
        "messages": Integer(about="How many messages it has."),
        "unseen": Integer(about="How many of them are not seen."),
        "octets": Integer(about="What they sum up to."),
        "uidvalidity": Integer(),
        "uidnext": Integer(),
        "highest_modseq": Integer(),
    },
    name="Mailbox",
)
NEW_MAILBOX: Final = Object({"name": _NAME}, {"special_use": _USE}, name="NewMailbox")


async def list_(call: Call) -> Page:
    """The mailboxes of an account."""
    page = call.page
    after = None if page.after is None else str(page.after[0])
    found = await operations.listed(
        call.services.transactions, call.actor, call.path["id"], after, page.limit, page.offset
    )
    following = (found.mailboxes[-1].name,) if found.more else None
    return Page([document(each, found.owner) for each in found.mailboxes], following, found.total)


async def show(call: Call) -> Json:
    """One mailbox."""
    return await _shown(call, call.path["id"])


async def add(call: Call) -> Json:
    """Make a mailbox, and say what it is."""
    use = call.body.get("special_use")
    with about("name"):
        made = await operations.add(
            call.services.transactions, call.actor, call.path["id"], call.body["name"], special_use=use
        )
    return await _shown(call, made)


async def delete(call: Call) -> Nothing:
    """Remove a mailbox with its messages."""
    await operations.delete(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def _shown(call: Call, mailbox: Any) -> Json:
    shown = await operations.shown(call.services.transactions, call.actor, mailbox)
    return Json(document(shown.counted, shown.owner))


def document(mailbox: Counted, owner: Owner) -> dict[str, Any]:
    """A mailbox as JSON."""
    return {
        "id": mailbox.id,
        "account_id": owner.account,
        "name": mailbox.name,
        "special_use": mailbox.special_use,
        "messages": mailbox.messages,
        "unseen": mailbox.unseen,
        "octets": mailbox.octets,
        "uidvalidity": mailbox.uidvalidity,
        "uidnext": mailbox.uidnext,
        "highest_modseq": mailbox.highest_modseq,
    }


_UNKNOWN: Final = {"no_such_mailbox": 404}
_OF_ACCOUNT: Final = "/admin/accounts/{id}/mailboxes"
_ONE: Final = "/admin/mailboxes/{id}"
_ANSWER: Final[Schema] = MAILBOX

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        _OF_ACCOUNT,
        Scope.MESSAGES_READ,
        "List the mailboxes of an account, by name",
        list_,
        answer=_ANSWER,
        paged=True,
        position=(str,),
        codes={"no_such_account": 404},
    ),
    Endpoint(
        "POST",
        _OF_ACCOUNT,
        Scope.MESSAGES_WRITE,
        "Add a mailbox, and those above it that are missing",
        add,
        body=NEW_MAILBOX,
        answer=_ANSWER,
        status=201,
        codes={"no_such_account": 404, "mailbox_exists": 409, "cannot": 409, "limit_reached": 409},
    ),
    Endpoint("GET", _ONE, Scope.MESSAGES_READ, "Show a mailbox", show, answer=_ANSWER, codes=_UNKNOWN),
    Endpoint(
        "DELETE",
        _ONE,
        Scope.MESSAGES_WRITE,
        "Delete a mailbox with its messages",
        delete,
        status=204,
        codes={**_UNKNOWN, "cannot": 409},
        about="Its messages can be restored for [garbage] undelete_days. Mailboxes below it stay.",
    ),
)
