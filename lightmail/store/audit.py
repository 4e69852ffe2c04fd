"""The audit log: what administrators did, and who looked at whose mail (table `audit_log`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US

_ACTOR_OCTETS: Final = 320
_SUBJECT_OCTETS: Final = 1000
_ORIGIN_OCTETS: Final = 64
_INSERT: Final = (
    "INSERT INTO audit_log (happened_at, actor, action, subject, detail, origin, domain)"  # noqa: S608
    f" VALUES ({NOW_US}, %s, %s, %s, %s, %s, %s)"
)
_PAGE: Final = (
    "SELECT a.id, a.happened_at, a.actor, a.origin, a.action, a.subject, a.detail, a.domain, d.name FROM audit_log a"
    " LEFT JOIN domains d ON d.id = a.domain WHERE {conditions} ORDER BY a.id DESC LIMIT %s"
)
_NEWER: Final = _PAGE.replace("a.id DESC", "a.id")


def record_statement(
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    *,
    origin: str = "console",
    domain: int = 0,
) -> Statement:
    """The statement that notes that `actor` did `action` to `subject`, an address, in the transaction that does it.

    `detail` is what JSON can hold. `origin` is the IP address it was asked from; `domain` the id of the domain that
    it is about, 0 for the server as a whole.
    """
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True).encode("ascii")
    names = (actor.encode("utf-8", "replace")[:_ACTOR_OCTETS], action.encode(), subject.encode()[:_SUBJECT_OCTETS])
    return _INSERT, (*names, text, origin.encode("ascii", "replace")[:_ORIGIN_OCTETS], domain)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are meant; None is for any. `domain` is an id, 0 for what concerned the server as a whole.

    `action` is one such as ``account.add``, or a family of them, ``account``. `until_us` is exclusive.
    """

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    origin: str | None = None
    domain: int | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done. `domain` is 0 for the server as a whole; `domain_name` is None then, and where it was deleted."""

    id: int
    happened_us: int
    actor: str
    origin: str
    action: str
    subject: str
    detail: Any
    domain: int
    domain_name: str | None


def page_txn(cursor: Cursor, filters: Filters, before: int | None, limit: int) -> list[Entry]:
    """Up to `limit` entries, the newest first, of those with an id below `before`."""
    return _page(cursor, _PAGE, filters, "a.id < %s", before, limit)


def newer_txn(cursor: Cursor, filters: Filters, after: int, limit: int) -> list[Entry]:
    """Up to `limit` entries, the newest first, of those with an id above `after`: the oldest of them."""
    return _page(cursor, _NEWER, filters, "a.id > %s", after, limit)[::-1]


def _page(cursor: Cursor, sql: str, filters: Filters, bound: str, place: int | None, limit: int) -> list[Entry]:
    conditions, params = _conditions(filters)
    if place is not None:
        conditions.append(bound)
        params.append(place)
    cursor.execute(sql.replace("{conditions}", " AND ".join(conditions) or "1 = 1"), (*params, limit))
    return [_entry(row) for row in cursor.fetchall()]


def _conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    """Constant conditions, and their parameters, for the filters that are given."""
    conditions: list[str] = []
    params: list[Any] = []
    for condition, values in (
        ("a.actor = %s", _octets(filters.actor)),
        ("a.subject = %s", _octets(filters.subject)),
        ("a.origin = %s", _octets(filters.origin)),
        ("(a.action = %s OR (a.action > %s AND a.action < %s))", _family(filters.action)),
        ("a.domain = %s", None if filters.domain is None else (filters.domain,)),
        ("a.happened_at >= %s", None if filters.since_us is None else (filters.since_us,)),
        ("a.happened_at < %s", None if filters.until_us is None else (filters.until_us,)),
    ):
        if values is not None:
            conditions.append(condition)
            params += values
    return conditions, params


def _octets(text: str | None) -> tuple[bytes] | None:
    return None if text is None else (text.encode(),)


def _family(action: str | None) -> tuple[bytes, bytes, bytes] | None:
    """An action itself, and the range of those below it: what begins with it and a full stop."""
    if action is None:
        return None
    octets = action.encode()
    return octets, octets + b".", octets + b"/"


def _entry(row: Row) -> Entry:
    actor, origin, action, subject = (each.decode("utf-8", "replace") for each in row[2:6])
    domain_name = row[8].decode() if row[8] else None
    return Entry(row[0], row[1], actor, origin, action, subject, json.loads(row[6]), row[7], domain_name)
