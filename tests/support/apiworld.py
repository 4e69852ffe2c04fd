"""Domains that fill a store, each with everything that the API knows of, and with an administrator of its own."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightmail.model import AccountId
from lightmail.objects.spool import Spools
from lightmail.operations.append import NewMessage, append
from lightmail.store import accounts, sessions
from tests.support import icaltext
from tests.support.apikit import Api
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store


@dataclass(frozen=True)
class Realm:
    """A domain and what is in it, by the paths that lead there without their variable; `token` administers it alone."""

    name: str
    domain: int
    account: int
    mailbox: int
    message: int
    token: str
    things: Mapping[str, int | str]


def settle(api: Api, name: str) -> Realm:
    """Make the domain ``NAME.example`` and one of each thing in it."""
    host = f"{name}.example"
    domain = _made(api, "/admin/domains", {"name": host})
    account = _account(api, f"owner@{host}")
    mailbox = _made(api, f"/admin/accounts/{account}/mailboxes", {"name": f"{name} papers"})
    message = put_message(api, account, mailbox, f"Subject: {name} secret\r\n\r\n{name} text\r\n".encode())
    api.post("/admin/aliases", {"address": f"info@{host}", "target": f"owner@{host}"})
    gone = _account(api, f"gone@{host}")
    assert api.delete(f"/admin/accounts/{gone}").status == 204
    job = api.post("/admin/jobs/verify", {"account_id": account})
    assert job.status < 300, job
    calendar = _made(api, "/calendar", {"account_id": account, "name": f"{name} days"})
    event = icaltext.text(summary=f"{name} party").decode()
    things: dict[str, int | str] = {
        "/admin/domains": domain,
        "/admin/accounts": account,
        "/admin/deleted-accounts": gone,
        "/admin/aliases": f"info@{host}",
        "/admin/app-passwords": _made(api, f"/admin/accounts/{account}/app-passwords", {"name": f"{name} phone"}),
        "/admin/mailboxes": mailbox,
        "/admin/messages": message,
        "/admin/sessions": report_session(api.store, account, name),
        "/admin/jobs": job.json["id"],
        "/calendar": calendar,
        "/calendar/events": _made(api, "/calendar/event", {"calendar_id": calendar, "icalendar": event}),
        "/admin/tokens": _made(
            api, "/admin/tokens", {"name": f"{name} other", "scopes": ["status:read"], "domain_id": domain}
        ),
    }
    return Realm(name, domain, account, mailbox, message, api.token(domain=domain), things)


def put_message(api: Api, account: int, mailbox: int, text: bytes) -> int:
    """Append a message with an object; its id."""
    run(_put(api, AccountId(account), mailbox, text))
    return api.store.count("SELECT MAX(id) FROM messages WHERE mailbox = %s", mailbox)


async def _put(api: Api, account: AccountId, mailbox: Any, text: bytes) -> None:
    owner = await api.store.database.read("test", accounts.by_id_txn, account)
    assert owner is not None
    spool = Spools(api.services.pool, None).new()
    try:
        spool.write(text)
        stored = await api.services.blobs.write(spool, internaldate_us=NOW_US, owners=[(owner.uuid, mailbox)])
    finally:
        spool.close()
    await append(api.store.tx, owner, mailbox, [NewMessage(stored, (), NOW_US)])


def report_session(store: Store, account: int, client: str) -> int:
    """A session of the account, as a process would report it; its id."""
    process = sessions.Process(os.urandom(16), "mail.example", 1, "1", time.time_ns() // 1000)
    name = hashlib.sha256(process.id).hexdigest()[:16]
    report = sessions.Report(name, AccountId(account), "imap", "192.0.2.1", True, client, time.time_ns() // 1000)
    run(store.database.run("test", sessions.report_txn, process, [report], []))
    return store.count("SELECT id FROM sessions WHERE session = %s", name.encode())


def _account(api: Api, address: str) -> int:
    return _made(api, "/admin/accounts", {"address": address, "password": "correct horse battery"})


def _made(api: Api, path: str, body: Mapping[str, Any]) -> int:
    answer = api.post(path, body)
    assert answer.status == 201, answer
    return int(answer.json["id"])
