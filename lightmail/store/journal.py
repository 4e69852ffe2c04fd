"""What the journal reads of the rows, and the marks of how far it came (`lightmail.jobs.journal` says why this way).

A mailbox has changed where ``highest_modseq`` is above its mark ``journal_modseq``; an account where ``meta_seq`` is
not the one in ``journal_marks``. A mark of 0, or none, asks for the whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.keywords import Keywords
from lightmail.store.recovery import MARKER
from lightmail.store.sqltext import NOW_US, padded, pieces, with_list

ALIASES_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Cut:
    """One look at the whole: the database's clock, the store's epoch, whether collection is frozen, whether a recovery
    is unfinished, and the highest mailbox id there is."""

    now_us: int
    epoch: int
    frozen: bool
    recovering: bool
    mailbox_ids: int


@dataclass(frozen=True, slots=True)
class JournalMailbox:
    """A mailbox as the journal writes it, deleted ones too; `owner` is the account's uuid."""

    id: MailboxId
    account: AccountId
    owner: bytes
    name: str
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    forgotten_modseq: int
    recent_uid: int
    special_use: str | None
    deleted_at: int
    journal_modseq: int


@dataclass(frozen=True, slots=True)
class JournalAccount:
    """An account as the journal writes it, deleted ones too, with the names it is subscribed to and its app passwords:
    (name, digest of the secret, protocols, when it was made) each."""

    id: AccountId
    uuid: bytes
    address: str
    password_hash: str
    active: bool
    quota_octets: int
    quota_messages: int
    next_uidvalidity: int
    meta_seq: int
    created_at: int
    deleted_at: int
    full_name: str
    subscriptions: tuple[str, ...]
    app_passwords: tuple[tuple[str, bytes, str, int], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The next rows of a mailbox that are wanted: `whole`, by ascending UID after `uid`; else those changed, by
    ascending (MODSEQ, UID) after (`modseq`, `uid`)."""

    mailbox: MailboxId
    whole: bool
    modseq: int
    uid: int


_CUT: Final = (
    f"SELECT {NOW_US}, s.epoch, c.frozen_at, (SELECT COUNT(*) FROM job_progress WHERE name = %s),"  # noqa: S608
    " (SELECT COALESCE(MAX(id), 0) FROM mailboxes) FROM store s, collection c WHERE s.id = 1 AND c.id = 1"
)


def cut_txn(cursor: Cursor) -> Cut:
    """The state of the whole, now."""
    cursor.execute(_CUT, (MARKER.encode(),))
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the table collection has lost its row")
    return Cut(int(row[0]), row[1], row[2] != 0, row[3] != 0, row[4])


_CHANGED: Final = (
    "SELECT id, account, highest_modseq - journal_modseq FROM mailboxes"
    " WHERE id > %s AND highest_modseq > journal_modseq ORDER BY id LIMIT %s"
)


def changed_txn(cursor: Cursor, after: int, limit: int) -> list[tuple[MailboxId, AccountId, int]]:
    """The mailboxes that changed, those with ids above `after`: (id, account, how many MODSEQs it is behind)."""
    cursor.execute(_CHANGED, (after, limit))
    return [(MailboxId(row[0]), AccountId(row[1]), row[2]) for row in cursor.fetchall()]


_OWNER: Final = "(SELECT a.uuid FROM accounts a WHERE a.id = b.account)"
_MAILBOX: Final = (
    f"SELECT b.id, b.account, {_OWNER}, b.name, b.uidvalidity, b.uidnext, b.highest_modseq, b.forgotten_modseq,"  # noqa: S608
    f" b.recent_uid, b.special_use, b.deleted_at, b.journal_modseq FROM mailboxes b WHERE {_OWNER} IS NOT NULL"
)
# No joins: MariaDB would begin with all accounts, and sort all mailboxes again for each page.
_OF_ACCOUNTS: Final = f"{_MAILBOX} AND b.account IN ({{list}}) AND b.highest_modseq > b.journal_modseq ORDER BY b.id"
_AFTER: Final = f"{_MAILBOX} AND b.id > %s ORDER BY b.id LIMIT %s"


def _mailbox(row: Row) -> JournalMailbox:
    special_use = row[9].decode() if row[9] is not None else None
    return JournalMailbox(
        MailboxId(row[0]),
        AccountId(row[1]),
        bytes(row[2]),
        row[3].decode(),
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        special_use,
        row[10],
        row[11],
    )


def of_accounts_txn(cursor: Cursor, accounts: Sequence[AccountId]) -> list[JournalMailbox]:
    """The changed mailboxes of at most LIST_BOUND accounts, all as of one moment."""
    ids = padded(accounts)
    cursor.execute(with_list(_OF_ACCOUNTS, len(ids)), ids)
    return [_mailbox(row) for row in cursor.fetchall()]


def after_txn(cursor: Cursor, after: int, limit: int) -> list[JournalMailbox]:
    """The next mailboxes by id, changed or not."""
    cursor.execute(_AFTER, (after, limit))
    return [_mailbox(row) for row in cursor.fetchall()]


_ROWS: Final = (
    "SELECT m.uid, m.modseq, m.flags, m.internaldate_us, m.saved_us, m.octets, m.deleted_at, m.fate, o.object_key"
    " FROM messages m LEFT JOIN objects o ON o.id = m.object WHERE m.mailbox = %s"
)
_WHOLE_ROWS: Final = f"{_ROWS} AND m.uid > %s ORDER BY m.uid LIMIT %s"
# A row that changes meanwhile moves up in this order, where it is read again: none is passed over.
_CHANGED_ROWS: Final = f"{_ROWS} AND m.modseq >= %s AND (m.modseq > %s OR m.uid > %s) ORDER BY m.modseq, m.uid LIMIT %s"
_KEYWORDS: Final = "SELECT mailbox, flag_bit, name FROM keywords WHERE mailbox IN ({list}) ORDER BY mailbox, flag_bit"


def _rows_statement(page: Page, limit: int) -> Statement:
    if page.whole:
        return _WHOLE_ROWS, (page.mailbox, page.uid, limit)
    return _CHANGED_ROWS, (page.mailbox, page.modseq, page.modseq, page.uid, limit)


def pages_txn(
    cursor: Cursor, pages: Sequence[Page], limit: int
) -> tuple[list[Sequence[Row]], Mapping[MailboxId, Keywords]]:
    """At most `limit` rows of each page, and the keywords of these mailboxes, read after the rows.

    Rows are (uid, modseq, flags, internaldate_us, saved_us, octets, deleted_at, fate, object key), the last two
    perhaps None.
    """
    ids = padded([page.mailbox for page in pages])
    results = cursor.script([*(_rows_statement(page, limit) for page in pages), (with_list(_KEYWORDS, len(ids)), ids)])
    names: defaultdict[MailboxId, Keywords] = defaultdict(list)
    for mailbox, bit, name in results[-1].rows:
        names[MailboxId(mailbox)].append((bit, bytes(name)))
    return [result.rows for result in results[:-1]], names


_ACCOUNTS: Final = (
    "SELECT a.id, a.uuid, a.address, a.password_hash, a.active, a.quota_octets, a.quota_messages, a.next_uidvalidity,"
    " a.meta_seq, a.created_at, a.deleted_at, a.full_name FROM accounts a LEFT JOIN journal_marks j ON j.account = a.id"
    " WHERE a.id > %s AND (%s = 1 OR j.meta_seq IS NULL OR j.meta_seq <> a.meta_seq) ORDER BY a.id LIMIT %s"
)
_SUBSCRIPTIONS: Final = "SELECT account, name FROM subscriptions WHERE account IN ({list}) ORDER BY account, name"
_APP_PASSWORDS: Final = (
    "SELECT account, name, secret_sha256, protocols, created_at FROM app_passwords WHERE account IN ({list})"
    " ORDER BY account, name"
)


def accounts_txn(cursor: Cursor, after: int, limit: int, *, every: bool) -> list[JournalAccount]:
    """The next accounts by id that changed, or `every` one; at most LIST_BOUND."""
    cursor.execute(_ACCOUNTS, (after, int(every), limit))
    # meta_seq before what belongs to the account: a change after it is told again.
    rows = cursor.fetchall()
    if not rows:
        return []
    ids = padded([row[0] for row in rows])
    subscribed, opening = cursor.script(
        [(with_list(_SUBSCRIPTIONS, len(ids)), ids), (with_list(_APP_PASSWORDS, len(ids)), ids)]
    )
    names: defaultdict[int, list[str]] = defaultdict(list)
    for account, name in subscribed.rows:
        names[account].append(name.decode())
    secrets: defaultdict[int, list[tuple[str, bytes, str, int]]] = defaultdict(list)
    for account, name, secret, protocols, created_at in opening.rows:
        secrets[account].append((name.decode(), bytes(secret), protocols.decode(), created_at))
    return [_account(row, names[row[0]], secrets[row[0]]) for row in rows]


def _account(
    row: Row, subscriptions: Sequence[str], app_passwords: Sequence[tuple[str, bytes, str, int]]
) -> JournalAccount:
    return JournalAccount(
        AccountId(row[0]),
        bytes(row[1]),
        row[2].decode(),
        row[3].decode(),
        bool(row[4]),
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11].decode(),
        tuple(subscriptions),
        tuple(app_passwords),
    )


def domains_txn(cursor: Cursor) -> list[tuple[str, int, int]]:
    """Every domain: name, when it was made, how many accounts it may have (0: any number)."""
    cursor.execute(
        "SELECT d.name, d.created_at, COALESCE(l.accounts, 0) FROM domains d"
        " LEFT JOIN domain_limits l ON l.domain = d.id ORDER BY d.name"
    )
    return [(row[0].decode(), row[1], row[2]) for row in cursor.fetchall()]


_ALIASES: Final = (
    "SELECT address, target FROM aliases WHERE address >= %s AND (address > %s OR target > %s)"
    " ORDER BY address, target LIMIT %s"
)


def aliases_txn(cursor: Cursor, address: str, target: str) -> list[tuple[str, str]]:
    """The next aliases after (`address`, `target`), at most ALIASES_AT_ONCE."""
    after = address.encode()
    cursor.execute(_ALIASES, (after, after, target.encode(), ALIASES_AT_ONCE))
    return [(row[0].decode(), row[1].decode()) for row in cursor.fetchall()]


def directory_digest_txn(cursor: Cursor) -> str:
    """What changes with the domains and aliases, hexadecimal; all of them are read, a page at a time."""
    digest = hashlib.sha256()
    for domain in domains_txn(cursor):
        digest.update(repr(domain).encode())
    address = target = ""
    while True:
        aliases = aliases_txn(cursor, address, target)
        for alias in aliases:
            digest.update(repr(alias).encode())
        if len(aliases) < ALIASES_AT_ONCE:
            return digest.hexdigest()[:32]
        address, target = aliases[-1]


# --- writes; the lease is locked ---

_ADVANCE: Final = "UPDATE mailboxes SET journal_modseq = %s WHERE id = %s AND journal_modseq < %s"
_MARK: Final = "UPDATE journal_marks SET meta_seq = %s WHERE account = %s"
_FIRST_MARK: Final = (
    "INSERT INTO journal_marks (account, meta_seq) SELECT %s, %s FROM store"
    " WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM journal_marks WHERE account = %s)"
)


def advance_statements(mailboxes: Mapping[MailboxId, int], accounts: Mapping[AccountId, int]) -> list[Statement]:
    """The statements that note how far mailboxes (MODSEQ) and accounts (meta_seq) are journalled."""
    statements: list[Statement] = []
    for mailbox in sorted(mailboxes):
        statements.append((_ADVANCE, (mailboxes[mailbox], mailbox, mailboxes[mailbox])))
    for account in sorted(accounts):
        statements.append((_MARK, (accounts[account], account)))
        statements.append((_FIRST_MARK, (account, accounts[account], account)))
    return statements


_MARKED: Final = "SELECT id FROM mailboxes WHERE id > %s AND journal_modseq > 0 ORDER BY id LIMIT %s"
_UNMARK: Final = "UPDATE mailboxes SET journal_modseq = 0 WHERE id IN ({list})"


def unmark_txn(cursor: Cursor, after: int, limit: int) -> int | None:
    """Ask for the whole of the next mailboxes by id; where to go on, or None at their end."""
    cursor.execute(_MARKED, (after, limit))
    ids = [row[0] for row in cursor.fetchall()]
    for piece in pieces(ids):
        listed = padded(piece)
        cursor.execute(with_list(_UNMARK, len(listed)), listed)
    if ids:
        return int(ids[-1])
    cursor.execute("DELETE FROM journal_marks")
    return None
