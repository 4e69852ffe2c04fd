"""The audit log's endpoint: who did what, when, from where."""

from __future__ import annotations

from typing import Any, Final

from lightmail.store import audit
from lightmail.store.audit import Entry, Filters
from lightmail.web.api.endpoints import Call, Endpoint, Page, Query
from lightmail.web.api.schemas import Anything, Id, Integer, Moment, Nullable, Object, Text, moment_text
from lightmail.web.api.scopes import Scope

_ACTION: Final = r"[a-z][a-z_-]*(?:\.[a-z_-]+)*"
_ENTRY: Final = Object(
    {
        "id": Id(),
        "happened_at": Moment(),
        "actor": Text(320, about="A token, an administrator, or the system user at the console."),
        "origin": Text(64, about="The IP address it was asked from, or `console`."),
        "action": Text(64, about="What was done, such as `account.add`."),
        "subject": Text(1000, about="To what: an address, a name."),
        "detail": Anything(about="What else is known of it; never a password, never what a message says."),
        "domain_id": Nullable(Id(), about="The domain it concerned; null for the server as a whole."),
        "domain": Nullable(Text(), about="The domain's name, where it still exists."),
    },
    name="AuditEntry",
)


async def list_(call: Call) -> Page:
    """A page of the audit log, the newest entry first; of one domain for who administers that alone."""
    query, page = call.query, call.page
    domain = query["domain_id"]
    if call.actor.domain is not None:
        if domain not in (None, call.actor.domain):
            return Page([])
        domain = call.actor.domain
    filters = Filters(
        actor=query["actor"],
        action=query["action"],
        subject=query["subject"],
        origin=query["origin"],
        domain=domain,
        since_us=query["since"],
        until_us=query["until"],
    )
    before = int(page.after[0]) if page.after else None
    found = await call.services.database.read("audit", audit.page_txn, filters, before, page.limit + 1)
    shown = found[: page.limit]
    return Page([_shown(each) for each in shown], (shown[-1].id,) if len(found) > page.limit else None)


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "happened_at": moment_text(entry.happened_us),
        "actor": entry.actor,
        "origin": entry.origin,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
        "domain_id": entry.domain or None,
        "domain": entry.domain_name,
    }


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/audit",
        Scope.AUDIT_READ,
        "List what was done",
        list_,
        query=(
            Query("actor", Text(320, about="What one actor did.")),
            Query("action", Text(64, pattern=_ACTION, about="One action, `account.add`, or a family, `account`.")),
            Query("subject", Text(1000, about="What was done to one address or name.")),
            Query("origin", Text(64, about="What was asked from one IP address, or at the `console`.")),
            Query("domain_id", Integer(about="What concerned one domain; 0 for the server as a whole.")),
            Query("since", Moment(about="What was done then or later.")),
            Query("until", Moment(about="What was done before that.")),
        ),
        answer=_ENTRY,
        paged=True,
        offset=False,
        about="The newest entry comes first.",
    ),
)
