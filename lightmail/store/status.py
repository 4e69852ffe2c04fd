"""What an operator wants to know of the database as a whole: its server, its size, and how much stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.model import ObjectState
from lightmail.store.cursor import Cursor
from lightmail.store.migrations import version_txn

# By dialect: the server's version, and the octets that its data take.
_SERVER: Final[Mapping[str, tuple[str, str]]] = {
    "mysql": (
        "SELECT VERSION()",
        "SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables"
        " WHERE table_schema = DATABASE()",
    ),
    "sqlite": ("SELECT sqlite_version()", "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
}


@dataclass(frozen=True, slots=True)
class Server:
    """The database server's version, the schema's, and the octets that the tables take."""

    version: str
    schema_version: int
    octets: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is, of one domain or of all; what was deleted does not count."""

    domains: int
    accounts: int
    active_accounts: int
    aliases: int
    mailboxes: int
    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of messages: those that may be referred to, and those on their way out; octets as they are stored."""

    live: int
    live_octets: int
    leaving: int
    leaving_octets: int


def server_txn(cursor: Cursor, dialect: str) -> Server:
    """The server as it is."""
    version, octets = _SERVER[dialect]
    text = _value(cursor, version)
    size = int(_value(cursor, octets))
    return Server(text.decode() if isinstance(text, bytes) else str(text), version_txn(cursor), size)


_TOTALS: Final = (
    "SELECT (SELECT COUNT(*) FROM domains WHERE %s = 0 OR id = %s),"
    " (SELECT COUNT(*) FROM accounts WHERE deleted_at = 0 AND (%s = 0 OR domain = %s)),"
    " (SELECT COUNT(*) FROM accounts WHERE deleted_at = 0 AND active = 1 AND (%s = 0 OR domain = %s)),"
    " (SELECT COUNT(DISTINCT address) FROM aliases WHERE %s = 0 OR domain = %s),"
    " (SELECT COUNT(*) FROM mailboxes m JOIN accounts a ON a.id = m.account"
    " WHERE m.deleted_at = 0 AND a.deleted_at = 0 AND (%s = 0 OR a.domain = %s))"
)
_USED: Final = (
    "SELECT COALESCE(SUM(u.messages), 0), COALESCE(SUM(u.octets), 0) FROM account_usage u"
    " JOIN accounts a ON a.id = u.account WHERE a.deleted_at = 0 AND (%s = 0 OR a.domain = %s)"
)


def totals_txn(cursor: Cursor, domain: int | None) -> Totals:
    """How much there is of the domain of that id, or of all."""
    counted, used = cursor.script([(_TOTALS, (domain or 0,) * 10), (_USED, (domain or 0,) * 2)])
    return Totals(*(int(value) for value in (*counted.rows[0], *used.rows[0])))


def objects_txn(cursor: Cursor) -> Objects:
    """How many objects there are. It reads the whole table: seconds where there are tens of millions."""
    cursor.execute("SELECT state, COUNT(*), COALESCE(SUM(stored_octets), 0) FROM objects GROUP BY state")
    found = {int(row[0]): (int(row[1]), int(row[2])) for row in cursor.fetchall()}
    live = found.pop(ObjectState.LIVE.value, (0, 0))
    return Objects(*live, sum(count for count, _ in found.values()), sum(octets for _, octets in found.values()))


def _value(cursor: Cursor, sql: str) -> Any:
    cursor.execute(sql)
    row = cursor.fetchone()
    assert row is not None
    return row[0]
