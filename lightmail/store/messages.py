"""Messages: reading a mailbox whole and by changes, and the set-based writes of operations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.errors import NoSuchMailbox
from lightmail.model import Fate, MailboxId, ObjectId
from lightmail.store import keywords as keyword_table
from lightmail.store.cursor import Bulk, Cursor, Row, Statement
from lightmail.store.faults import Forgotten
from lightmail.store.keywords import Keywords
from lightmail.store.mailboxes import require_current
from lightmail.store.sqltext import NOT_DELETED, NOW_US, uid_conditions, with_uids
from lightmail.traces import MOST


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A mailbox whole. `rows` are (id, uid, modseq, flags, octets, internaldate_us, object) by ascending UID.

    `highest_modseq` was read first: it is the watermark for `changes_txn`, though rows may be newer.
    """

    highest_modseq: int
    uidvalidity: int
    uidnext: int
    recent_uid: int
    keyword_version: int
    keywords: Keywords
    rows: Sequence[Row]
    epoch: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a mailbox since a MODSEQ; `highest_modseq` is the new watermark, read before the rows.

    `rows` are live messages, new or changed, as in a Snapshot; `expunged` are UIDs, some perhaps never seen by the
    reader. `keywords` is None when the keyword table is still at the version the reader knows. `traces` are those under
    which messages were brought, by ascending UID: of the last `traces.MOST` of `rows`.
    """

    highest_modseq: int
    uidvalidity: int
    uidnext: int
    recent_uid: int
    keyword_version: int
    keywords: Keywords | None
    rows: Sequence[Row]
    expunged: list[int]
    epoch: int
    traces: Sequence[tuple[int, bytes]] = ()


@dataclass(frozen=True, slots=True)
class OwnChange:
    """What one transaction of this process did to a mailbox, all of it, and the MODSEQ that the mailbox got for it.

    Of `flagged` (ascending) it kept the bits `keep` of the flags and added `add`, where messages were alive; `changed`
    of them had other flags before. What it `expunged` (ascending) was alive until then. With neither, there is no more
    to be said than the MODSEQ.
    """

    modseq: int
    flagged: Sequence[int] = ()
    keep: int = 0
    add: int = 0
    changed: int = 0
    expunged: Sequence[int] = ()


_COUNTERS: Final = (
    "SELECT id, epoch < (SELECT epoch FROM store WHERE id = 1),"
    " epoch, highest_modseq, uidvalidity, uidnext, recent_uid, keyword_version FROM mailboxes"
    " WHERE id = %s AND deleted_at = 0"
)
_COLUMNS: Final = ("id", "uid", "modseq", "flags", "octets", "internaldate_us", "object")
_ALIVE: Final = "messages WHERE mailbox = %s AND deleted_at = 0"
_FORGOTTEN: Final = "SELECT forgotten_modseq FROM mailboxes WHERE id = %s"
_SINCE: Final = (
    "SELECT id, uid, modseq, flags, octets, internaldate_us, object, deleted_at, trace FROM messages"
    " WHERE mailbox = %s AND modseq > %s"
)


def all_txn(cursor: Cursor, mailbox: MailboxId) -> Snapshot:
    """The mailbox whole. Raises NoSuchMailbox, OlderEpoch."""
    # The order matters. Counters first: a change after them is told again by changes_txn. Keywords last: they name
    # every bit that the rows have, and a version older than they are only makes the reader read them again.
    alive = Bulk(_COLUMNS, _ALIVE, "uid", (mailbox,))
    counters, rows, keywords = cursor.script(
        [(_COUNTERS, (mailbox,)), alive, keyword_table.keywords_statement(mailbox)]
    )
    if not counters.rows:
        raise NoSuchMailbox
    require_current(counters.rows)
    epoch, highest_modseq, uidvalidity, uidnext, recent_uid, version = counters.rows[0][2:]
    names = keyword_table.read(keywords.rows)
    live = sorted(rows.rows, key=_uid)
    return Snapshot(highest_modseq, uidvalidity, uidnext, recent_uid, version, names, live, epoch)


def changes_txn(cursor: Cursor, mailbox: MailboxId, since: int, keyword_version: int = -1) -> Changes:
    """What changed after the MODSEQ `since`, a watermark of an earlier call. Telling a change twice is harmless.

    Raises NoSuchMailbox, OlderEpoch, or Forgotten when the tombstones of that time are gone.
    """
    # What is forgotten is read last: tombstones may go after the counters were read and before the rows are.
    counters, found, forgotten = cursor.script(
        [(_COUNTERS, (mailbox,)), (_SINCE, (mailbox, since)), (_FORGOTTEN, (mailbox,))]
    )
    if not counters.rows or not forgotten.rows:
        raise NoSuchMailbox
    require_current(counters.rows)
    epoch, highest_modseq, uidvalidity, uidnext, recent_uid, version = counters.rows[0][2:]
    if since < forgotten.rows[0][0]:
        raise Forgotten
    # The keywords after the rows, for the same reason as above.
    names = keyword_table.keywords_txn(cursor, mailbox) if version != keyword_version else None
    live = sorted((row for row in found.rows if not row[7]), key=_uid)
    rows = [row[:7] for row in live]
    expunged = sorted(row[1] for row in found.rows if row[7])
    brought = [(row[1], row[8]) for row in live[-MOST:] if row[8] is not None]
    return Changes(highest_modseq, uidvalidity, uidnext, recent_uid, version, names, rows, expunged, epoch, brought)


def _uid(row: Row) -> int:
    uid: int = row[1]
    return uid


def mailboxes_statement(object_: ObjectId) -> Statement:
    """The statement whose rows are the mailboxes that have messages of an object, ascending."""
    return "SELECT DISTINCT mailbox FROM messages WHERE object = %s ORDER BY mailbox", (object_,)


# --- writes; the mailbox's row is locked ---

# For `sqltext.with_rows`, at most INSERT_BOUND rows at once.
INSERT: Final = (
    "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, octets, trace, saved_us)"  # noqa: S608
    f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, {NOW_US})"
)
INSERT_BOUND: Final = 256


_MATCHING: Final = ("uid", "flags", "octets", "object")
_MATCHING_FROM: Final = "messages WHERE mailbox = %s AND deleted_at = 0 AND {uids}"
_MATCHING_DELETED_FROM: Final = _MATCHING_FROM.replace("{uids}", "(flags & 8) <> 0 AND {uids}")


def matching_statements(
    mailbox: MailboxId, uids: Sequence[int] | None, *, only_deleted: bool = False
) -> list[Statement | Bulk]:
    r"""The statements that find which of `uids` (ascending; None: all) are alive.

    Their rows are (uid, flags, octets, object), in no particular order. `only_deleted`: and have the flag \Deleted.
    """
    source = _MATCHING_DELETED_FROM if only_deleted else _MATCHING_FROM
    return [
        Bulk(_MATCHING, with_uids(source, condition), "uid", (mailbox, *params))
        for condition, params in uid_conditions(uids)
    ]


_MODSEQ_NOW: Final = "(SELECT highest_modseq FROM mailboxes WHERE id = %s)"
_CHANGE: Final = (
    f"UPDATE messages SET flags = (flags & %s) | %s, modseq = {_MODSEQ_NOW}"  # noqa: S608
    f" WHERE mailbox = %s AND {NOT_DELETED} AND ((flags & %s) | %s) <> flags AND {{uids}}"
)


def flag_statements(mailbox: MailboxId, uids: Sequence[int], keep: int, add: int) -> list[Statement]:
    """The statements that keep only the bits `keep` of flags and add `add`; they find the messages this changes.

    What changes gets the mailbox's MODSEQ as this transaction has raised it.
    """
    return [
        (with_uids(_CHANGE, condition), (keep, add, mailbox, mailbox, keep, add, *params))
        for condition, params in uid_conditions(uids)
    ]


_BURY: Final = (
    f"UPDATE messages SET deleted_at = {NOW_US}, fate = %s, modseq = {_MODSEQ_NOW}"  # noqa: S608
    f" WHERE mailbox = %s AND {NOT_DELETED} AND {{uids}}"
)
_BURY_AND_DROP: Final = (
    f"UPDATE messages SET deleted_at = {NOW_US}, fate = %s, modseq = {_MODSEQ_NOW}, object = NULL"  # noqa: S608
    f" WHERE mailbox = %s AND {NOT_DELETED} AND {{uids}}"
)


def bury_statements(mailbox: MailboxId, uids: Sequence[int], fate: Fate) -> list[Statement]:
    """The statements that turn messages into tombstones at the mailbox's MODSEQ as this transaction has raised it.

    Expunged and withheld messages keep their object, to be restored from; one that was moved lives on elsewhere.
    """
    sql = _BURY if fate.keeps_object else _BURY_AND_DROP
    return [
        (with_uids(sql, condition), (fate.value, mailbox, mailbox, *params))
        for condition, params in uid_conditions(uids)
    ]


_BURY_ALL: Final = (
    f"UPDATE messages SET deleted_at = (SELECT deleted_at FROM mailboxes WHERE id = %s), modseq = {_MODSEQ_NOW},"  # noqa: S608
    " fate = 1 WHERE mailbox = %s AND deleted_at = 0"
)


def bury_all_statement(mailbox: MailboxId) -> Statement:
    """The statement that expunges what a mailbox that was just deleted holds, at the very moment of its deletion.

    By that moment `undelete` tells these messages from those that were expunged before.
    """
    return _BURY_ALL, (mailbox, mailbox, mailbox)


_ALL_OCTETS: Final = "SELECT COALESCE(SUM(octets), 0), COUNT(*) FROM messages WHERE mailbox = %s AND deleted_at = 0"


def sum_statement(mailbox: MailboxId) -> Statement:
    """The statement that sums up what a mailbox holds: one row of octets and messages."""
    return _ALL_OCTETS, (mailbox,)


_TRANSFER: Final = (
    "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets, trace)"  # noqa: S608
    " SELECT account, %s, %s + ROW_NUMBER() OVER (ORDER BY uid), %s, object, (flags & %s){keywords},"
    f" internaldate_us, {NOW_US}, octets, %s FROM messages WHERE mailbox = %s AND deleted_at = 0 AND {{uids}}"
)
_ONE_KEYWORD: Final = " | (((flags >> %s) & 1) << %s)"


def transfer_statements(
    source: MailboxId,
    uids: Sequence[int],
    destination: MailboxId,
    first_uid: int,
    modseq: int,
    keywords: Sequence[tuple[int, int]],
    trace: bytes | None,
) -> list[Statement]:
    """The statements that copy messages, all of them alive, to UIDs from `first_uid` on, in the order of their UIDs.

    `keywords` says which bit of the source becomes which bit of the destination; other bits from 16 on are dropped.
    `trace` is that of whoever copies.
    """
    sql = _TRANSFER.replace("{keywords}", _ONE_KEYWORD * len(keywords))
    bits = [bit for pair in keywords for bit in pair]
    statements: list[Statement] = []
    done = 0
    for condition, params in uid_conditions(uids):
        # ROW_NUMBER counts from 1.
        before = first_uid - 1 + done
        fixed = (destination, before, modseq, keyword_table.FIXED_MASK, *bits, trace, source)
        statements.append((with_uids(sql, condition), (*fixed, *params)))
        done = bisect_right(uids, params[-1])
    return statements
