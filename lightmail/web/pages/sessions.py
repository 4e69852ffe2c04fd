"""Sessions: the connections of mail clients that have logged in, and of mail servers that deliver, and ending them."""

from __future__ import annotations

from typing import Final

from lightmail.errors import Invalid, NoSuchSession
from lightmail.model import AccountId
from lightmail.operations import sessions as operations
from lightmail.peers import ip_of
from lightmail.store import profiles, sessions
from lightmail.store.addresses import normalised
from lightmail.web.pages import accounts, domains, fields, lists
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/sessions"
_NAMES: Final = {"imap": "IMAP", "pop3": "POP3", "lmtp": "LMTP"}
_PROTOCOLS: Final = (("", "all"), ("imap", "IMAP"), ("pop3", "POP3"), ("lmtp", "LMTP, mail that comes in"))
_NOBODY: Final = AccountId(-1)


async def list_(visit: Visit) -> Answer:
    """The sessions of all server processes, the newest first, as they were some seconds ago."""
    chosen = await accounts.chosen_domain(visit)
    own = domains.administered(visit)
    protocol = visit.query.get("protocol", "")
    protocol = protocol if protocol in dict(_PROTOCOLS) else ""
    account, address = visit.query.get("account", "").strip(), visit.query.get("address", "").strip()
    found, total = await operations.listed(
        visit.services.database,
        visit.actor if chosen is None else visit.actor_of(chosen.id),
        account=await _account(visit, account) if account else None,
        protocol=protocol,
        address=str(ip_of(address) or address),
        limit=lists.LENGTH + 1,
        offset=lists.offset(visit),
    )
    asked = {
        "account": account,
        "protocol": protocol,
        "address": address,
        "domain": "" if chosen is None else chosen.name,
    }
    values = {
        "list": lists.listing(visit, _PATH, asked, found, total),
        "asked": asked,
        "protocols": _PROTOCOLS,
        "names": _NAMES,
        "choice": None if own is None else [name for _, name in own],
        "narrowed": bool(account or protocol or address or (chosen is not None and own is None)),
    }
    return Html("sessions.html", values)


async def end(visit: Visit) -> Answer:
    """Have a session ended; one that is another domain's is as good as gone."""
    id = fields.identifier(visit.path, NoSuchSession)
    found = await visit.services.database.read("session", sessions.find_txn, id)
    try:
        if found is None:
            raise NoSuchSession
        await operations.end_session(visit.services.transactions, visit.actor_of(found.domain), id)
    except NoSuchSession:
        return Redirect(_PATH, "session-gone")
    return Redirect(_PATH, "session-ended")


async def _account(visit: Visit, address: str) -> AccountId:
    """The account of an address; one that has no sessions where there is none, or it is not his to see."""
    try:
        known = normalised(address)
    except Invalid:
        return _NOBODY
    found = await visit.services.database.read("account", profiles.by_address_txn, known)
    if found is None or not visit.actor_of(found.domain).administers(found.domain):
        return _NOBODY
    return found.id


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, list_),
    View("POST", f"{_PATH}/{{id}}/end", Access.ADMINISTRATOR, end),
)
