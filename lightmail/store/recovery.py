"""Rows that `lightmail recover` makes: with ids, UIDs, dates and MODSEQs as they were. For an empty database only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import ObjectId, StoredBlob
from lightmail.store import blobs, progress
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import padded, pieces, with_list, with_rows

# The job that stands in `job_progress` from the first row that a recovery writes until its last.
MARKER: Final = "recover"
_AT_ONCE: Final = 256
# A statement is about this long at most, far below what servers take.
_STATEMENT_OCTETS: Final = 2 << 20
_TABLES: Final = ("domains", "accounts", "aliases", "mailboxes", "objects", "messages")


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account to insert; `domain` is an id. Without `deleted_at` (0) it is alive. Its app passwords are
    (name, digest of the secret, protocols, when it was made) each."""

    uuid: bytes
    address: str
    domain: int
    password_hash: str
    active: bool
    quota_octets: int
    quota_messages: int
    next_uidvalidity: int
    meta_seq: int
    created_at: int
    deleted_at: int
    full_name: str
    app_passwords: Sequence[tuple[str, bytes, str, int]]


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox to insert, with its id and its keywords (bit, name)."""

    id: int
    account: int
    name: str
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    recent_uid: int
    special_use: str | None
    deleted_at: int
    keywords: Sequence[tuple[int, bytes]]


def rows_txn(cursor: Cursor) -> list[str]:
    """The tables that are not empty."""
    results = cursor.script([(f"SELECT 1 FROM {table} LIMIT 1", ()) for table in _TABLES])  # noqa: S608
    return [table for table, result in zip(_TABLES, results, strict=True) if result.rows]


def is_unfinished_txn(cursor: Cursor) -> bool:
    """Whether a recovery began on this database and did not come to its end."""
    return progress.read_txn(cursor, MARKER) is not None


def _inserts(sql: str, rows: Sequence[Row]) -> list[Statement]:
    return [(with_rows(sql, len(piece)), [value for row in piece for value in row]) for piece in pieces(rows, _AT_ONCE)]


_DOMAIN: Final = "INSERT INTO domains (name, created_at) VALUES (%s, %s)"
_LIMIT: Final = "INSERT INTO domain_limits (domain, accounts) SELECT id, %s FROM domains WHERE name = %s"


def insert_domains_txn(cursor: Cursor, domains: Sequence[tuple[str, int, int]]) -> dict[str, int]:
    """Insert domains (name, created_at, how many accounts they may have); their ids by name."""
    statements = _inserts(_DOMAIN, [(name.encode(), created_at) for name, created_at, _ in domains])
    statements += [(_LIMIT, (accounts, name.encode())) for name, _, accounts in domains if accounts]
    *_, found = cursor.script([*statements, ("SELECT name, id FROM domains", ())])
    return {row[0].decode(): row[1] for row in found.rows}


_ALIAS: Final = "INSERT INTO aliases (address, target, domain) VALUES (%s, %s, %s)"


def insert_aliases_txn(cursor: Cursor, aliases: Sequence[tuple[str, str, int]]) -> None:
    """Insert aliases (address, target, domain's id)."""
    if aliases:
        cursor.script(_inserts(_ALIAS, [(address.encode(), target.encode(), id_) for address, target, id_ in aliases]))


_ACCOUNT: Final = (
    "INSERT INTO accounts (uuid, address, domain, password_hash, active, quota_octets, quota_messages,"
    " next_uidvalidity, meta_seq, created_at, deleted_at, full_name)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_SUBSCRIPTION: Final = "INSERT INTO subscriptions (account, name) VALUES (%s, %s)"
_APP_PASSWORD: Final = (
    "INSERT INTO app_passwords (account, name, secret_sha256, protocols, created_at) VALUES (%s, %s, %s, %s, %s)"
)


def insert_accounts_txn(cursor: Cursor, accounts: Sequence[tuple[AccountRow, Sequence[str]]]) -> dict[bytes, int]:
    """Insert accounts, without usage, with their app passwords and what they are subscribed to; their ids by uuid."""
    rows = [
        (
            account.uuid,
            account.address.encode(),
            account.domain,
            account.password_hash.encode(),
            int(account.active),
            account.quota_octets,
            account.quota_messages,
            account.next_uidvalidity,
            account.meta_seq,
            account.created_at,
            account.deleted_at,
            account.full_name.encode(),
        )
        for account, _ in accounts
    ]
    uuids = padded([account.uuid for account, _ in accounts])
    *_, found = cursor.script(
        [
            *_inserts(_ACCOUNT, rows),
            (with_list("SELECT uuid, id FROM accounts WHERE uuid IN ({list})", len(uuids)), uuids),
        ]
    )
    ids = {bytes(row[0]): int(row[1]) for row in found.rows}
    names = [(ids[account.uuid], name.encode()) for account, subscriptions in accounts for name in subscriptions]
    secrets = [
        (ids[account.uuid], name.encode(), secret, protocols.encode(), created_at)
        for account, _ in accounts
        for name, secret, protocols, created_at in account.app_passwords
    ]
    statements = [*_inserts(_SUBSCRIPTION, names), *_inserts(_APP_PASSWORD, secrets)]
    if statements:
        cursor.script(statements)
    return ids


# What was told of a mailbox before can no longer be told one by one: forgotten_modseq is its highest.
_MAILBOX: Final = (
    "INSERT INTO mailboxes (id, account, name, uidvalidity, uidnext, highest_modseq, forgotten_modseq, recent_uid,"
    " special_use, epoch, deleted_at) SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, epoch, %s FROM store WHERE id = 1"
)
_KEYWORD: Final = "INSERT INTO keywords (mailbox, flag_bit, name, folded) VALUES (%s, %s, %s, %s)"


def insert_mailboxes_txn(cursor: Cursor, mailboxes: Sequence[MailboxRow]) -> None:
    """Insert mailboxes, at most some hundred."""
    statements: list[Statement] = []
    for mailbox in mailboxes:
        special_use = mailbox.special_use.encode() if mailbox.special_use is not None else None
        counters = (mailbox.uidvalidity, mailbox.uidnext, mailbox.highest_modseq, mailbox.highest_modseq)
        statements.append(
            (
                _MAILBOX,
                (
                    mailbox.id,
                    mailbox.account,
                    mailbox.name.encode(),
                    *counters,
                    mailbox.recent_uid,
                    special_use,
                    mailbox.deleted_at,
                ),
            )
        )
        keywords = [(mailbox.id, bit, name, name.lower()) for bit, name in mailbox.keywords]
        statements += _inserts(_KEYWORD, keywords)
    if statements:
        cursor.script(statements)


def insert_objects_txn(cursor: Cursor, stored: Sequence[StoredBlob]) -> dict[str, ObjectId]:
    """Insert objects with their renderings; their ids by key."""
    if not stored:
        return {}
    keys = padded([blob.key.encode() for blob in stored])
    *_, found = cursor.script(
        [
            *_inserts(blobs.INSERT_OBJECT, [blobs.object_row(blob) for blob in stored]),
            (with_list(blobs.IDS_OF_KEYS, len(keys)), keys),
        ]
    )
    ids = {row[0].decode(): ObjectId(row[1]) for row in found.rows}
    rows: list[Row] = []
    octets = 0
    for blob in stored:
        row = (ids[blob.key], *blobs.rendering_row(blob.rendering))
        size = sum(len(value) for value in row if isinstance(value, bytes))
        if rows and octets + size > _STATEMENT_OCTETS:
            cursor.script(_inserts(blobs.INSERT_RENDERING, rows))
            rows, octets = [], 0
        rows.append(row)
        octets += size
    cursor.script(_inserts(blobs.INSERT_RENDERING, rows))
    return ids


_MESSAGE: Final = (
    "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets,"
    " deleted_at, fate) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


def insert_messages_txn(cursor: Cursor, rows: Sequence[Row]) -> None:
    """Insert messages: (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets, deleted_at,
    fate or None)."""
    if rows:
        cursor.script(_inserts(_MESSAGE, rows))


_USAGE: Final = "INSERT INTO account_usage (account, octets, messages) VALUES (%s, %s, %s)"


def insert_usage_txn(cursor: Cursor, usage: Sequence[tuple[int, int, int]]) -> None:
    """Insert what accounts use: (account, octets, messages)."""
    if usage:
        cursor.script(_inserts(_USAGE, usage))


_RESERVE: Final = (
    "INSERT INTO mailboxes (id, account, name, uidvalidity, epoch, deleted_at) VALUES (%s, 0, %s, 1, 0, 1)"
)


def reserve_mailbox_ids_txn(cursor: Cursor, highest: int) -> None:
    """Never give a mailbox an id up to `highest`: objects in the store name mailboxes that had them."""
    # A row inserted there moves the counter of the table for good, in every dialect.
    cursor.execute("SELECT COALESCE(MAX(id), 0) FROM mailboxes")
    row = cursor.fetchone()
    if row is not None and row[0] < highest:
        cursor.execute(_RESERVE, (highest, b"\x00recover"))
        cursor.execute("DELETE FROM mailboxes WHERE id = %s AND account = 0", (highest,))
