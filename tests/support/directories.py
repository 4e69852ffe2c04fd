"""Very many accounts and aliases, made by rows alone: for lists that must not cost more the more there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lightmail.operations.domains import add_domain
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


def _insert(cursor: Cursor, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for piece in pieces(rows, 500):
        cursor.execute(with_rows(sql, len(piece)), [value for row in piece for value in row])
