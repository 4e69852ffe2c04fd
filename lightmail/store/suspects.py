"""Rows that contradict one another, found by sets: what `lightmail verify` asks the database.

A survey is one statement per range of rows. A statement sees the rows of one moment, and every transaction leaves them
in agreement at its COMMIT, so that writers at work make nothing look wrong. Tables are walked by the first column of
their key, `messages` by (mailbox, uid); a range is bounded in rows whatever the ids are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Params, Row, Statement
from lightmail.store.sqltext import FATES, FATES_WITH_OBJECT, FATES_WITHOUT_OBJECT


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row that fails the check `kind`; `row` has the columns that name it."""

    kind: str
    row: tuple[tuple[str, Any], ...]

    def get(self, column: str) -> Any:
        """The value of a column, None where the row has no such."""
        return dict(self.row).get(column)


class Range(NamedTuple):
    """A part of a table as a condition with its parameters; `last` is where the next one begins, None: nowhere."""

    condition: str
    params: Params
    last: Any


@dataclass(frozen=True)
class Survey:
    """The checks that one statement makes on the rows of one table.

    `columns` name a row in findings. `conditions` hold for rows that fail, by the name of the check. `key` is what the
    table is walked by, from `first` on. `of_account` restricts the rows to one account's; without it the table is not
    looked at when one account is verified. `wide`: walking it reads much more than ids.
    """

    table: str
    key: str
    columns: Mapping[str, str]
    conditions: Mapping[str, str]
    joins: str = ""
    first: int | bytes = 0
    of_account: str | None = None
    wide: bool = False

    @cached_property
    def name(self) -> str:
        """The table's name."""
        return self.table.split()[0]

    @cached_property
    def search(self) -> str:
        """The statement that finds the rows that fail, with its marker ``{range}``."""
        verdicts = [f"CASE WHEN {condition} THEN 1 ELSE 0 END" for condition in self.conditions.values()]
        chosen = ", ".join([*self.columns.values(), *verdicts])
        any_of = " OR ".join(f"({condition})" for condition in self.conditions.values())
        return f"SELECT {chosen} FROM {self.table} {self.joins} WHERE {{range}} AND ({any_of})"  # noqa: S608

    @cached_property
    def count(self) -> str:
        """The statement that counts the rows of a range, with its marker ``{range}``."""
        return f"SELECT COUNT(*) FROM {self.table} WHERE {{range}}"  # noqa: S608

    @cached_property
    def bound(self) -> str:
        """The statement that finds where a range of so many rows ends."""
        return f"SELECT {self.key} FROM {self.table} WHERE {self.key} > %s ORDER BY {self.key} LIMIT 1 OFFSET %s"  # noqa: S608


class Look(NamedTuple):
    """What was seen of a range: the rows that fail, and how many rows it has."""

    part: Range
    found: list[Suspect]
    rows: int


def search_txn(cursor: Cursor, survey: Survey, part: Range) -> list[Suspect]:
    """The rows of a range that fail, one Suspect for each check that they fail."""
    cursor.execute(*_in_range(survey.search, part))
    return _suspects(survey, cursor.fetchall())


def look_txn(cursor: Cursor, survey: Survey, part: Range) -> Look:
    """As `search_txn`, with the number of rows."""
    found, count = cursor.script([_in_range(survey.search, part), _in_range(survey.count, part)])
    return Look(part, _suspects(survey, found.rows), int(count.rows[0][0]))


def _in_range(sql: str, part: Range) -> Statement:
    return sql.replace("{range}", part.condition), part.params


def _suspects(survey: Survey, rows: Sequence[Row]) -> list[Suspect]:
    names, width = tuple(survey.columns), len(survey.columns)
    return [
        Suspect(kind, tuple(zip(names, row[:width], strict=True)))
        for row in rows
        for kind, failed in zip(survey.conditions, row[width:], strict=True)
        if failed
    ]


def look_on_txn(cursor: Cursor, survey: Survey, after: Any, size: int, account: AccountId | None) -> Look:
    """Look at the next range of a table after `after`."""
    return look_txn(cursor, survey, next_range_txn(cursor, survey, after, size, account))


def look_on_messages_txn(cursor: Cursor, after: tuple[int, int], size: int, account: AccountId | None) -> Look | None:
    """Look at the next range of messages after a position; None when none are left."""
    part = next_messages_txn(cursor, after, size, account)
    return None if part is None else look_txn(cursor, MESSAGES, part)


def next_range_txn(cursor: Cursor, survey: Survey, after: Any, size: int, account: AccountId | None) -> Range:
    """The range of about `size` rows of a table after `after`; of one account it is all that it has."""
    if account is not None and survey.of_account is not None:
        return Range(survey.of_account, (account,), None)
    cursor.execute(survey.bound, (after, size - 1))
    row = cursor.fetchone()
    if row is None:
        return Range(f"{survey.key} > %s", (after,), None)
    return Range(f"{survey.key} > %s AND {survey.key} <= %s", (after, row[0]), row[0])


_LARGEST: Final = {
    table: f"SELECT COALESCE(MAX(id), 0) FROM {table}"  # noqa: S608
    for table in ("mailboxes", "accounts", "objects")
}


def largest_txn(cursor: Cursor, table: str) -> int:
    """The largest id of a table: how far a walk has to go."""
    return _number_of(cursor, _LARGEST[table], ()) or 0


# --- messages ---

_NAMED_BITS: Final = "COALESCE((SELECT SUM(1 << k.flag_bit) FROM keywords k WHERE k.mailbox = m.mailbox), 0)"
# Bits 16 to 62.
_KEYWORD_BITS: Final = "(m.flags & 9223372036854710272)"

MESSAGES: Final = Survey(
    table="messages m",
    key="m.mailbox",
    columns={"account": "m.account", "mailbox": "m.mailbox", "uid": "m.uid", "id": "m.id", "object": "m.object"},
    joins="LEFT JOIN mailboxes b ON b.id = m.mailbox LEFT JOIN objects o ON o.id = m.object",
    conditions={
        "message-without-mailbox": "b.id IS NULL",
        "message-of-other-account": "m.account <> b.account",
        "uid-twice": "EXISTS (SELECT 1 FROM messages x WHERE x.mailbox = m.mailbox AND x.uid = m.uid AND x.id < m.id)",
        "uid-not-below-uidnext": "m.uid >= b.uidnext",
        "modseq-above-mailbox": "m.modseq > b.highest_modseq",
        "message-without-object": "m.deleted_at = 0 AND o.id IS NULL",
        "tombstone-without-object": "m.deleted_at <> 0 AND m.object IS NOT NULL AND o.id IS NULL",
        "object-not-live": f"o.state <> 1 AND (m.deleted_at = 0 OR m.fate IN {FATES_WITH_OBJECT})",
        "octets-differ": "m.deleted_at = 0 AND m.octets <> o.octets",
        "fate-impossible": (
            "(m.deleted_at = 0 AND m.fate IS NOT NULL)"
            f" OR (m.deleted_at <> 0 AND (m.fate IS NULL OR m.fate NOT IN {FATES}))"
        ),
        "moved-with-object": f"m.deleted_at <> 0 AND m.fate IN {FATES_WITHOUT_OBJECT} AND m.object IS NOT NULL",
        "flag-without-name": (
            "m.deleted_at = 0 AND (m.flags < 0 OR (m.flags >= 65536 AND"
            f" {_KEYWORD_BITS} <> ({_KEYWORD_BITS} & {_NAMED_BITS})))"
        ),
    },
)

_NEXT_MAILBOX: Final = "SELECT MIN(mailbox) FROM messages WHERE mailbox > %s"
_NEXT_OF_ACCOUNT: Final = "SELECT MIN(id) FROM mailboxes WHERE account = %s AND id > %s"
_BOUND_ACROSS: Final = "SELECT mailbox, uid FROM messages WHERE mailbox > %s ORDER BY mailbox, uid LIMIT 1 OFFSET %s"
_BOUND_WITHIN: Final = "SELECT uid FROM messages WHERE mailbox = %s AND uid > %s ORDER BY uid LIMIT 1 OFFSET %s"


def next_messages_txn(cursor: Cursor, after: tuple[int, int], size: int, account: AccountId | None) -> Range | None:
    """The range of at most `size` messages after the position `after`; None when none are left.

    A position (mailbox, uid) has all of the mailboxes before that one behind it, and that one up to the UID; UID 0
    stands for all of it. (0, 0) is the beginning.
    """
    mailbox, uid = after
    if uid:
        return _within(cursor, mailbox, uid, size)
    if account is not None:
        cursor.execute(_NEXT_OF_ACCOUNT, (account, mailbox))
        own = _number(cursor)
        return None if own is None else _within(cursor, own, 0, size)
    first = _number_of(cursor, _NEXT_MAILBOX, (mailbox,))
    if first is None:
        return None
    cursor.execute(_BOUND_ACROSS, (mailbox, size))
    row = cursor.fetchone()
    if row is None:
        return Range("m.mailbox > %s", (mailbox,), (_LAST_ID, 0))
    if row[0] > first:
        return Range("m.mailbox > %s AND m.mailbox < %s", (mailbox, row[0]), (row[0] - 1, 0))
    return _within(cursor, first, 0, size)


_LAST_ID: Final = (1 << 63) - 1


def _within(cursor: Cursor, mailbox: int, uid: int, size: int) -> Range:
    """The next range of one mailbox."""
    bound = _number_of(cursor, _BOUND_WITHIN, (mailbox, uid, size - 1))
    if bound is None:
        return Range("m.mailbox = %s AND m.uid > %s", (mailbox, uid), (mailbox, 0))
    return Range("m.mailbox = %s AND m.uid > %s AND m.uid <= %s", (mailbox, uid, bound), (mailbox, bound))


def _number_of(cursor: Cursor, sql: str, params: Params) -> int | None:
    cursor.execute(sql, params)
    return _number(cursor)


def _number(cursor: Cursor) -> int | None:
    row = cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])


# --- everything else ---

MAILBOXES: Final = Survey(
    table="mailboxes b",
    key="b.id",
    columns={"account": "b.account", "mailbox": "b.id"},
    joins="JOIN store s ON s.id = 1 LEFT JOIN accounts a ON a.id = b.account",
    of_account="b.account = %s",
    conditions={
        "mailbox-without-account": "a.id IS NULL",
        "mailbox-of-deleted-account": "a.deleted_at <> 0 AND b.deleted_at = 0",
        "forgotten-above-highest": "b.forgotten_modseq > b.highest_modseq",
        "recent-not-below-uidnext": "b.recent_uid >= b.uidnext",
        "journal-above-highest": "b.journal_modseq > b.highest_modseq",
        "epoch-above-store": "b.epoch > s.epoch",
        "uidvalidity-not-below-next": "b.uidvalidity >= a.next_uidvalidity",
        "mailbox-name-twice": (
            "b.deleted_at = 0 AND EXISTS (SELECT 1 FROM mailboxes x WHERE x.account = b.account AND x.name = b.name"
            " AND x.deleted_at = 0 AND x.id < b.id)"
        ),
    },
)

# A literal of octets in every dialect; text would equal no name to SQLite.
_INBOX: Final = "x'494E424F58'"

ACCOUNTS: Final = Survey(
    table="accounts a",
    key="a.id",
    columns={"account": "a.id"},
    joins="LEFT JOIN account_usage u ON u.account = a.id LEFT JOIN domains d ON d.id = a.domain",
    of_account="a.id = %s",
    conditions={
        "account-without-domain": "a.deleted_at = 0 AND d.id IS NULL",
        "account-without-inbox": (
            "a.deleted_at = 0 AND NOT EXISTS (SELECT 1 FROM mailboxes b WHERE b.account = a.id"  # noqa: S608
            f" AND b.name = {_INBOX}"
            " AND b.deleted_at = 0)"
        ),
        "usage-missing": "a.deleted_at = 0 AND u.account IS NULL",
    },
)

OBJECTS: Final = Survey(
    table="objects o",
    key="o.id",
    columns={"object": "o.id", "key": "o.object_key"},
    joins="LEFT JOIN condemned c ON c.object = o.id",
    conditions={
        "object-without-mark": "o.state <> 1 AND c.object IS NULL",
        "object-live-but-marked": "o.state = 1 AND c.object IS NOT NULL",
    },
)


def _dangling(
    kind: str, table: str, own: str, parent: str, *more: str, account: bool = False, wide: bool = False
) -> Survey:
    """The survey of rows whose `own` column (the first of their key) names no row of `parent`."""
    columns = {own: f"t.{own}", **{column: f"t.{column}" for column in more}}
    return Survey(
        table=f"{table} t",
        key=f"t.{own}",
        columns=columns,
        joins=f"LEFT JOIN {parent} p ON p.id = t.{own}",
        conditions={kind: "p.id IS NULL"},
        of_account=f"t.{own} = %s" if account else None,
        wide=wide,
    )


DANGLING: Final[tuple[Survey, ...]] = (
    _dangling("mark-without-object", "condemned", "object", "objects"),
    _dangling("rendering-without-object", "renderings", "object", "objects", wide=True),
    _dangling("keyword-without-mailbox", "keywords", "mailbox", "mailboxes", "flag_bit"),
    _dangling("unused-keyword-without-mailbox", "unused_keywords", "mailbox", "mailboxes", "flag_bit"),
    _dangling("subscription-without-account", "subscriptions", "account", "accounts", "name", account=True),
    _dangling("former-name-without-account", "former_names", "account", "accounts", "name", account=True),
    _dangling("usage-without-account", "account_usage", "account", "accounts", account=True),
    _dangling("journal-mark-without-account", "journal_marks", "account", "accounts", account=True),
    _dangling("quota-warning-without-account", "quota_warnings", "account", "accounts", "kind", account=True),
    _dangling("app-password-without-account", "app_passwords", "account", "accounts", "name", account=True),
    _dangling("domain-limit-without-domain", "domain_limits", "domain", "domains"),
    _dangling("deleted-view-without-account", "deleted_views", "account", "accounts", "name", account=True),
    Survey(
        table="deleted_uids t",
        key="t.deleted_view",
        columns={
            "deleted_view": "t.deleted_view",
            "deleted_uid": "t.deleted_uid",
            "mailbox": "t.mailbox",
            "uid": "t.uid",
        },
        joins=(
            "LEFT JOIN messages p ON p.mailbox = t.mailbox AND p.uid = t.uid"
            " LEFT JOIN deleted_views v ON v.id = t.deleted_view"
        ),
        conditions={"deleted-uid-without-message": "p.uid IS NULL OR v.id IS NULL"},
    ),
    _dangling("calendar-without-account", "calendars", "account", "accounts", "id", account=True),
    Survey(
        table="calendar_events t",
        key="t.id",
        columns={"account": "t.account", "calendar": "t.calendar", "id": "t.id", "key": "t.object_key"},
        joins=(
            "LEFT JOIN calendars p ON p.id = t.calendar LEFT JOIN calendar_objects o ON o.object_key = t.object_key"
        ),
        of_account="t.account = %s",
        conditions={
            "event-without-calendar": "p.id IS NULL",
            "event-object-not-kept": "p.id IS NOT NULL AND (o.object_key IS NULL OR o.dropped_at <> 0)",
        },
    ),
    Survey(
        table="aliases t",
        key="t.address",
        columns={"address": "t.address", "target": "t.target", "domain": "t.domain"},
        joins="LEFT JOIN domains p ON p.id = t.domain",
        conditions={"alias-without-domain": "p.id IS NULL"},
        first=b"",
    ),
)

# Walked in this order, after `messages`: a repair there may bring a mailbox back.
TABLES: Final[tuple[Survey, ...]] = (MAILBOXES, ACCOUNTS, OBJECTS, *DANGLING)


# --- what accounts use ---

_USAGES: Final = "SELECT account, messages FROM account_usage WHERE account > %s ORDER BY account LIMIT %s"
_SUMS: Final = (
    "SELECT u.account FROM account_usage u JOIN accounts a ON a.id = u.account AND a.deleted_at = 0"
    " LEFT JOIN (SELECT b.account AS account, SUM(m.octets) AS octets, COUNT(*) AS messages"
    " FROM mailboxes b JOIN messages m ON m.mailbox = b.id AND m.deleted_at + 0 = 0"
    " WHERE b.account > %s AND b.account <= %s GROUP BY b.account) t ON t.account = u.account"
    " WHERE u.account > %s AND u.account <= %s"
    " AND (u.octets <> COALESCE(t.octets, 0) OR u.messages <> COALESCE(t.messages, 0))"
)
_ACCOUNTS_AT_ONCE: Final = 200


def next_usages_txn(cursor: Cursor, after: int, size: int) -> tuple[int, int] | None:
    """The last account of a range after `after` that has about `size` messages, and how many accounts these are; None
    when there is none left."""
    cursor.execute(_USAGES, (after, _ACCOUNTS_AT_ONCE))
    last, accounts, messages = None, 0, 0
    for account, count in cursor.fetchall():
        if last is not None and messages + count > size:
            break
        last, accounts, messages = int(account), accounts + 1, messages + count
    return None if last is None else (last, accounts)


def wrong_usages_txn(cursor: Cursor, after: int, last: int) -> list[Suspect]:
    """The accounts above `after` up to `last` whose usage is not the sum of their live messages, in one moment."""
    cursor.execute(_SUMS, (after, last, after, last))
    return [Suspect("usage-differs", (("account", row[0]),)) for row in cursor.fetchall()]
