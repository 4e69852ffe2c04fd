"""Endpoints about sessions: the connections of clients that have logged in, and of mail servers that deliver."""

from __future__ import annotations

from typing import Any, Final

from lightmail.model import AccountId
from lightmail.operations import sessions as operations
from lightmail.peers import ip_of
from lightmail.store.sessions import Listed
from lightmail.web.api.endpoints import Call, Endpoint, Nothing, Page, Query
from lightmail.web.api.schemas import Boolean, Choice, Id, Integer, Moment, Nullable, Object, Text, moment_text
from lightmail.web.api.scopes import Scope

_PROTOCOL: Final = Choice(("imap", "pop3", "lmtp"))

SESSION: Final = Object(
    {
        "id": Id(),
        "session": Text(64, about="Its name in the log of its process."),
        "account_id": Nullable(Id(), about="null: a mail server, which does not log in."),
        "account": Nullable(Text(320), about="The account's address."),
        "protocol": _PROTOCOL,
        "address": Text(64, about="The client's IP address; empty over a Unix socket."),
        "tls": Boolean(),
        "client": Text(255, about="What the client calls itself, empty if it does not say."),
        "opened_at": Moment(),
        "hostname": Text(about="The host of the server process that has it."),
        "pid": Integer(),
    },
    name="Session",
)


def document(session: Listed) -> dict[str, Any]:
    """A session as JSON."""
    return {
        "id": session.id,
        "session": session.session,
        "account_id": session.account or None,
        "account": session.account_address or None,
        "protocol": session.protocol,
        "address": session.address,
        "tls": session.secure,
        "client": session.client,
        "opened_at": moment_text(session.opened_us),
        "hostname": session.hostname,
        "pid": session.pid,
    }


async def list_(call: Call) -> Page:
    """Sessions of all server processes, the newest first, as they were some seconds ago."""
    page, account, address = call.page, call.query["account_id"], call.query["address"] or ""
    found, total = await operations.listed(
        call.services.database,
        call.actor,
        account=None if account is None else AccountId(account),
        protocol=call.query["protocol"] or "",
        address=str(ip_of(address) or address),
        before=operations.NEWEST if page.after is None else int(page.after[0]),
        limit=page.limit + 1,
        offset=page.offset,
    )
    shown = found[: page.limit]
    following = (shown[-1].id,) if len(found) > page.limit else None
    return Page([document(session) for session in shown], following, total)


async def end(call: Call) -> Nothing:
    """The client is told, and disconnected within some seconds, once its running command has been answered."""
    await operations.end_session(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def end_all(call: Call) -> Nothing:
    """As one session. Clients that know the password will be back; disable the account first to keep them out."""
    await operations.end_account_sessions(call.services.transactions, call.actor, AccountId(call.path["id"]))
    return Nothing()


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/sessions",
        Scope.SESSIONS_READ,
        "List sessions, the newest first",
        list_,
        query=(
            Query("account_id", Id("Only this account's.")),
            Query("protocol", _PROTOCOL),
            Query("address", Text(64, minimum=1, about="Only those from this IP address.")),
        ),
        answer=SESSION,
        paged=True,
    ),
    Endpoint(
        "DELETE",
        "/admin/sessions/{id}",
        Scope.SESSIONS_WRITE,
        "End a session",
        end,
        status=204,
        codes={"no_such_session": 404},
    ),
    Endpoint(
        "DELETE",
        "/admin/accounts/{id}/sessions",
        Scope.SESSIONS_WRITE,
        "End all sessions of an account",
        end_all,
        status=204,
        codes={"no_such_account": 404},
    ),
)
