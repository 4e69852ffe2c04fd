"""The mailboxes of the `Deleted` tree: for each name, what was expunged from the mailboxes that have or had it.

They have UIDs and a UIDVALIDITY of their own. A UID is given when a message is first seen there, under the locks of the
account and of the mailboxes it was expunged from, and goes with what can be restored; none is given twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.store import keywords as keyword_table
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import padded, pieces, with_list


@dataclass(frozen=True, slots=True)
class View:
    """A mailbox of the tree, as it was opened last; `epoch` is that of its UIDs."""

    id: int
    uidvalidity: int
    uidnext: int
    epoch: int


_VIEW: Final = "SELECT id, uidvalidity, uidnext, epoch FROM deleted_views WHERE account = %s AND name = %s"
_EPOCH: Final = "SELECT epoch FROM store WHERE id = 1"
_SOURCES: Final = "SELECT id, deleted_at, highest_modseq FROM mailboxes WHERE account = %s AND name = %s ORDER BY id"
_LOCK: Final = "SELECT id, deleted_at, highest_modseq FROM mailboxes WHERE id IN ({list}) ORDER BY id FOR UPDATE"


def view_txn(cursor: Cursor, account: AccountId, name: str) -> tuple[View | None, int]:
    """What is known of the tree's mailbox for a name, None before it was first opened; and the store's epoch."""
    found, epoch = cursor.script([(_VIEW, (account, name.encode())), (_EPOCH, ())])
    return (View(*found.rows[0]) if found.rows else None), int(epoch.rows[0][0])


def lock_sources_txn(cursor: Cursor, account: AccountId, name: str) -> tuple[dict[MailboxId, int], bool]:
    """Lock the mailboxes that have or had a name, by ascending id: the MODSEQ of each, and whether one is not deleted.

    The account's row is locked, so that no name changes.
    """
    cursor.execute(_SOURCES, (account, name.encode()))
    ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return {}, False
    listed = padded(ids)
    cursor.execute(with_list(_LOCK, len(listed)), listed)
    rows = cursor.fetchall()
    return {MailboxId(row[0]): row[2] for row in rows}, any(not row[1] for row in rows)


def begin_txn(cursor: Cursor, account: AccountId, name: str, uidvalidity: int, epoch: int) -> View:
    """Begin the tree's mailbox for a name, or begin it anew under another UIDVALIDITY; the account's row is locked."""
    view, _ = view_txn(cursor, account, name)
    if view is None:
        cursor.execute(
            "INSERT INTO deleted_views (account, name, uidvalidity, uidnext, epoch) VALUES (%s, %s, %s, 1, %s)",
            (account, name.encode(), uidvalidity, epoch),
        )
    else:
        cursor.script(
            [
                ("DELETE FROM deleted_uids WHERE deleted_view = %s", (view.id,)),
                (
                    "UPDATE deleted_views SET uidvalidity = %s, uidnext = 1, epoch = %s WHERE id = %s",
                    (uidvalidity, epoch, view.id),
                ),
            ]
        )
    begun, _ = view_txn(cursor, account, name)
    if begun is None:
        raise LookupError("the view that was just inserted is not there")
    return begun


_LEAVE: Final = "DELETE FROM deleted_uids WHERE deleted_view = %s AND mailbox NOT IN ({list})"
_ASSIGN: Final = (
    "INSERT INTO deleted_uids (deleted_view, deleted_uid, mailbox, uid)"
    " SELECT %s, %s + ROW_NUMBER() OVER (ORDER BY m.deleted_at, m.uid), m.mailbox, m.uid FROM messages m"
    " LEFT JOIN deleted_uids d ON d.deleted_view = %s AND d.mailbox = m.mailbox AND d.uid = m.uid"
    " WHERE m.mailbox = %s AND m.modseq > %s AND m.deleted_at > 0 AND m.fate = 1 AND m.object IS NOT NULL"
    " AND d.uid IS NULL"
)


def assign_txn(cursor: Cursor, view: View, sources: Mapping[MailboxId, int]) -> tuple[int, bool]:
    """Give UIDs to what was expunged from `sources` after the MODSEQs they are mapped to, and take out what belongs to
    other mailboxes: the next UID, and whether anything changed. The sources are locked."""
    ids = padded(sorted(sources) or [0])
    left = cursor.execute(with_list(_LEAVE, len(ids)), [view.id, *ids])
    uidnext = view.uidnext
    for mailbox in sorted(sources):
        # ROW_NUMBER counts from 1.
        uidnext += cursor.execute(_ASSIGN, (view.id, uidnext - 1, view.id, mailbox, sources[mailbox]))
    if uidnext > view.uidnext:
        cursor.execute("UPDATE deleted_views SET uidnext = %s WHERE id = %s", (uidnext, view.id))
    return uidnext, left > 0 or uidnext > view.uidnext


_CONTENT: Final = (
    "SELECT m.id, d.deleted_uid, m.flags, m.octets, m.internaldate_us, m.object, m.mailbox"
    " FROM deleted_uids d JOIN messages m ON m.mailbox = d.mailbox AND m.uid = d.uid"
    " WHERE d.deleted_view = %s AND m.deleted_at > 0 AND m.fate = 1 AND m.object IS NOT NULL ORDER BY d.deleted_uid"
)


def content_txn(
    cursor: Cursor, view: View, sources: Sequence[MailboxId]
) -> tuple[Sequence[Row], dict[MailboxId, keyword_table.Keywords]]:
    """What the tree's mailbox shows, and the keywords of the mailboxes it comes from.

    Rows are (id, UID in the tree, flags, octets, internaldate_us, object, mailbox), by ascending UID.
    """
    content, *names = cursor.script(
        [(_CONTENT, (view.id,)), *(keyword_table.keywords_statement(mailbox) for mailbox in sources)]
    )
    keywords = {mailbox: keyword_table.read(result.rows) for mailbox, result in zip(sources, names, strict=True)}
    return content.rows, keywords


_COUNT: Final = (
    "SELECT COUNT(*) FROM deleted_uids WHERE deleted_view ="
    " (SELECT id FROM deleted_views WHERE account = %s AND name = %s AND uidvalidity = %s)"
)
_CHANGED: Final = "SELECT COUNT(*) FROM messages WHERE mailbox = %s AND modseq > %s AND deleted_at > 0"


def compare_txn(
    cursor: Cursor, account: AccountId, name: str, uidvalidity: int, known: Mapping[MailboxId, int]
) -> tuple[dict[MailboxId, int], int, bool]:
    """What has become of a name: its mailboxes with their MODSEQs, how many messages have UIDs in the tree, and whether
    anything was deleted or restored in the `known` mailboxes after the MODSEQs they are mapped to."""
    key = (account, name.encode())
    changed: list[Statement] = [(_CHANGED, (mailbox, modseq)) for mailbox, modseq in sorted(known.items())]
    # The MODSEQs first: what changes after they were read is seen the next time.
    sources, count, *changes = cursor.script([(_SOURCES, key), (_COUNT, (*key, uidvalidity)), *changed])
    modseqs = {MailboxId(row[0]): row[2] for row in sources.rows}
    return modseqs, int(count.rows[0][0]), any(result.rows[0][0] for result in changes)


_MESSAGES: Final = (
    "SELECT deleted_uid, mailbox, uid FROM deleted_uids WHERE deleted_view = %s AND deleted_uid IN ({list})"
)


def messages_txn(cursor: Cursor, view: View, uids: Sequence[int]) -> dict[int, tuple[MailboxId, int]]:
    """For UIDs of the tree's mailbox, ascending: the mailbox that each message was in, and its UID there."""
    found: dict[int, tuple[MailboxId, int]] = {}
    for piece in pieces(uids):
        values = padded(piece)
        cursor.execute(with_list(_MESSAGES, len(values)), [view.id, *values])
        found.update((row[0], (MailboxId(row[1]), row[2])) for row in sorted(cursor.fetchall()))
    return found


_NAMES: Final = (
    "SELECT DISTINCT b.name FROM mailboxes b WHERE b.account = %s AND EXISTS (SELECT 1 FROM messages m"
    " WHERE m.mailbox = b.id AND m.deleted_at > 0 AND m.fate = 1 AND m.object IS NOT NULL)"
)


def names_txn(cursor: Cursor, account: AccountId) -> list[str]:
    """The names of mailboxes, there or deleted, that have something to restore."""
    cursor.execute(_NAMES, (account,))
    return sorted(row[0].decode() for row in cursor.fetchall())


_SHADOW: Final = (
    "SELECT 1 FROM mailboxes WHERE account = %s AND deleted_at = 0"
    " AND (name = %s OR (name >= %s AND name < %s)) LIMIT 1"
)


def shadowed_txn(cursor: Cursor, account: AccountId, root: str) -> bool:
    """Whether the account has a mailbox called `root`, or one below that name."""
    # The character after the delimiter ends the range of names that begin with `root` and the delimiter.
    cursor.execute(_SHADOW, (account, root.encode(), f"{root}/".encode(), f"{root}0".encode()))
    return cursor.fetchone() is not None
