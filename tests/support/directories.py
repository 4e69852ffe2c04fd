"""Very many of what lists have, made by rows alone: for lists that must not cost more the more there are."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from lightmail.operations.domains import add_domain
from lightmail.store import sessions
from lightmail.store.cursor import Cursor
from lightmail.store.sqltext import pieces, with_rows
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store

_ACCOUNT = (
    "INSERT INTO accounts (uuid, address, domain, password_hash, active, quota_octets, quota_messages,"
    " next_uidvalidity, meta_seq, created_at, full_name) VALUES (%s, %s, %s, %s, 1, 0, 0, 1, 1, %s, %s)"
)
_USAGE = "INSERT INTO account_usage (account, octets, messages) SELECT id, 12345, 67 FROM accounts WHERE domain = %s"
_ALIAS = "INSERT INTO aliases (address, target, domain) VALUES (%s, %s, %s)"
_DOMAIN = "INSERT INTO domains (name, created_at) VALUES (%s, %s)"
_NOTED = (
    "INSERT INTO audit_log (happened_at, actor, action, subject, detail, origin, domain)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
_SESSION = (
    "INSERT INTO sessions (process, session, account, protocol, address, secure, client, opened_at)"
    " VALUES (%s, %s, %s, %s, %s, 1, %s, %s)"
)
_JOB = (
    "INSERT INTO jobs (reference, kind, domain, requested_by, origin, arguments, state, progress, result, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_EVENT = (
    "INSERT INTO webhook_queue (event_id, kind, payload, created_at, attempts, next_at, failed_at, last_error)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
_TOKEN = "INSERT INTO api_tokens (name, secret_sha256, scopes, domain, created_at) VALUES (%s, %s, %s, %s, %s)"


def populate(store: Store, domain: str, count: int) -> int:
    """Add a domain with accounts ``user000000`` and so on, without mailboxes, and as many aliases; the domain's id."""
    added = run(add_domain(store.tx, OPERATOR, domain))
    for numbers in pieces(range(count), 5000):
        run(store.database.run("test", _populate_txn, added, domain, numbers))
    store.execute(_USAGE, added)
    return added


def _populate_txn(cursor: Cursor, id_: int, domain: str, numbers: Sequence[int]) -> None:
    accounts = [
        (os.urandom(16), f"user{n:06}@{domain}".encode(), id_, b"hash", NOW_US, f"User \u2116 {n}".encode())
        for n in numbers
    ]
    aliases = [(f"alias{n:06}@{domain}".encode(), f"user{n:06}@{domain}".encode(), id_) for n in numbers]
    _insert(cursor, _ACCOUNT, accounts)
    _insert(cursor, _ALIAS, aliases)


def crowd(store: Store, domain: int, count: int) -> None:
    """Have as many sessions of the domain's accounts, events of the webhook, jobs and deleted accounts, ten times as
    many entries of the audit log, and a tenth of domains and tokens. Half of what may be somebody's is the domain's."""
    run(store.database.run("test", _crowd_txn, domain, count))
    store.execute(
        "UPDATE accounts SET deleted_at = %s WHERE domain = %s AND address LIKE %s",
        time.time_ns() // 1000, domain, b"gone%",
    )  # fmt: skip


def _crowd_txn(cursor: Cursor, domain: int, count: int) -> None:
    now_us, whose = time.time_ns() // 1000, (0, domain)
    process = sessions.Process(os.urandom(16), "mx1.example.org", 1, "1", now_us)
    sessions.beat_txn(cursor, process)
    cursor.execute("SELECT MIN(id) FROM accounts WHERE domain = %s", (domain,))
    row = cursor.fetchone()
    assert row is not None
    gone = [(os.urandom(16), b"gone%d@x.example" % n, domain, b"hash", now_us, b"") for n in range(count)]
    opened = [
        (process.id, b"%d" % n, row[0] + n, b"imap", b"192.0.2.1", b"Thunderbird 140", now_us) for n in range(count)
    ]
    noted = [
        (now_us, b"keeper%d" % (n % 9), (b"account.add", b"message.view")[n % 2], b"user%06d@x.example" % (n % count),
         b'{"mailbox":"INBOX","message":4711}', b"192.0.2.1", whose[n % 2])
        for n in range(10 * count)
    ]  # fmt: skip
    jobs = [
        (os.urandom(16), b"verify", whose[n % 2], b"root", b"192.0.2.1", b'{"repair":false}', b"done",
         b'{"percent":100}', b'{"findings":[]}', now_us)
        for n in range(count)
    ]  # fmt: skip
    events = [
        (os.urandom(16), b"message.delivered", b"{}", now_us, 9, now_us, now_us * (n % 2), b"it answers 500")
        for n in range(count)
    ]
    tokens = [(b"token%d" % n, os.urandom(32), b"status:read", whose[n % 2], now_us) for n in range(count // 10)]
    domains = [(b"domain%06d.example" % n, now_us) for n in range(count // 10)]
    for sql, rows in (
        (_ACCOUNT, gone), (_SESSION, opened), (_NOTED, noted), (_JOB, jobs), (_EVENT, events), (_TOKEN, tokens),
        (_DOMAIN, domains),
    ):  # fmt: skip
        _insert(cursor, sql, rows)


def _insert(cursor: Cursor, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for piece in pieces(rows, 500):
        cursor.execute(with_rows(sql, len(piece)), [value for row in piece for value in row])
