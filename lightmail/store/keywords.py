"""Keywords of a mailbox: the names of flag bits 16 to 62 (RFC 3501 section 2.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lightmail.errors import LimitReached
from lightmail.model import FIRST_KEYWORD_BIT, FIXED_FLAGS, LAST_KEYWORD_BIT, AccountId, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement

# 63 bits: all that a flags column can hold.
ALL_BITS: Final = (1 << 63) - 1
FIXED_MASK: Final = (1 << FIRST_KEYWORD_BIT) - 1
FIXED_BITS: Final = {name.lower(): 1 << bit for bit, name in enumerate(FIXED_FLAGS)}

# Bits with their names; a bit that rests before it may get another (`operations.retire`) has the name RETIRED.
Keywords = list[tuple[int, bytes]]
RETIRED: Final = b""


def keywords_statement(mailbox: MailboxId) -> Statement:
    """The statement that reads a mailbox's keywords, for a script; rows (bit, name)."""
    return "SELECT flag_bit, name FROM keywords WHERE mailbox = %s ORDER BY flag_bit", (mailbox,)


def read(rows: Sequence[Row]) -> Keywords:
    """What `keywords_statement` returned."""
    return [(row[0], row[1]) for row in rows]


def keywords_txn(cursor: Cursor, mailbox: MailboxId) -> Keywords:
    """The mailbox's keywords: (bit, name), by bit."""
    cursor.execute(*keywords_statement(mailbox))
    return read(cursor.fetchall())


def fixed_bits(flags: Iterable[bytes]) -> int | None:
    """The bits of flags that mean the same in every mailbox; None when one is a keyword of the mailbox's own."""
    bits = 0
    for flag in flags:
        bit = FIXED_BITS.get(flag.lower())
        if bit is None:
            return None
        bits |= bit
    return bits


def known_bits(flags: Iterable[bytes], keywords: Keywords) -> int:
    """The bits of flags that the mailbox knows; others mean no message has them."""
    own = {name.lower(): 1 << bit for bit, name in keywords}
    bits = 0
    for flag in flags:
        folded = flag.lower()
        bits |= FIXED_BITS.get(folded, 0) or own.get(folded, 0)
    return bits


def allocate_txn(cursor: Cursor, mailbox: MailboxId, flags: Iterable[bytes], keywords: Keywords) -> int:
    """The bits of `flags`, new keywords named on the way; the mailbox's row is locked. `keywords` grows with them.

    Raises LimitReached when the mailbox has no bit left.
    """
    own = {name.lower(): bit for bit, name in keywords}
    bits = 0
    added: list[Statement] = []
    for flag in flags:
        folded = flag.lower()
        if folded in FIXED_BITS:
            bits |= FIXED_BITS[folded]
            continue
        if folded not in own:
            bit = _free_bit(keywords)
            own[folded] = bit
            keywords.append((bit, flag))
            added.append((_INSERT, (mailbox, bit, flag, folded)))
        bits |= 1 << own[folded]
    if added:
        cursor.script([*added, (_NEW_VERSION, (mailbox,))])
    return bits


def _free_bit(keywords: Keywords) -> int:
    # Retired bits have rows, too: they are not free before `operations.retire` removes these.
    taken = {bit for bit, _ in keywords}
    for bit in range(FIRST_KEYWORD_BIT, LAST_KEYWORD_BIT + 1):
        if bit not in taken:
            return bit
    raise LimitReached("The mailbox has no room for another keyword.")


_INSERT: Final = "INSERT INTO keywords (mailbox, flag_bit, name, folded) VALUES (%s, %s, %s, %s)"
_NEW_VERSION: Final = "UPDATE mailboxes SET keyword_version = keyword_version + 1 WHERE id = %s"


# --- bits that nothing uses (`operations.retire`) ---

_SLICE_END: Final = (
    "SELECT MAX(mailbox) FROM (SELECT mailbox FROM keywords WHERE mailbox > %s ORDER BY mailbox LIMIT %s) s"
)
_CROWDED: Final = (
    "SELECT k.mailbox, m.account FROM keywords k JOIN mailboxes m ON m.id = k.mailbox AND m.deleted_at = 0"
    " WHERE k.mailbox > %s AND k.mailbox <= %s GROUP BY k.mailbox, m.account HAVING COUNT(*) >= %s ORDER BY k.mailbox"
)


def crowded_txn(
    cursor: Cursor, after: int, limit: int, named: int
) -> tuple[int | None, list[tuple[MailboxId, AccountId]]]:
    """Look at the next `limit` keywords after a mailbox: where that ends (None: there are no more), and the mailboxes
    among them that have `named` or more."""
    cursor.execute(_SLICE_END, (after, limit))
    row = cursor.fetchone()
    if row is None or row[0] is None:
        return None, []
    cursor.execute(_CROWDED, (after, row[0], named))
    return int(row[0]), [(MailboxId(found[0]), AccountId(found[1])) for found in cursor.fetchall()]


_USED: Final = (
    "SELECT "  # noqa: S608
    + ", ".join(f"MAX((flags >> {bit}) & 1)" for bit in range(FIRST_KEYWORD_BIT, LAST_KEYWORD_BIT + 1))
    + " FROM messages WHERE mailbox = %s AND (deleted_at = 0 OR object IS NOT NULL)"
)


def used_bits_txn(cursor: Cursor, mailbox: MailboxId) -> set[int]:
    """The bits from 16 on that a message has, live or restorable. Reads the whole mailbox."""
    cursor.execute(_USED, (mailbox,))
    row = cursor.fetchone() or ()
    return {bit for bit, used in enumerate(row, FIRST_KEYWORD_BIT) if used}


def unused_statement(mailbox: MailboxId) -> Statement:
    """The statement that reads which bits were noted as unused: rows (bit, since_us), without those retired already."""
    return "SELECT flag_bit, since_us FROM unused_keywords WHERE mailbox = %s AND retired = 0", (mailbox,)


def note_statements(mailbox: MailboxId, unused: Iterable[int], used: Iterable[int], now_us: int) -> list[Statement]:
    """The statements that note bits as unused from now on, and others as used."""
    insert = "INSERT INTO unused_keywords (mailbox, flag_bit, since_us, retired) VALUES (%s, %s, %s, 0)"
    delete = "DELETE FROM unused_keywords WHERE mailbox = %s AND flag_bit = %s AND retired = 0"
    return [
        *((insert, (mailbox, bit, now_us)) for bit in sorted(unused)),
        *((delete, (mailbox, bit)) for bit in sorted(used)),
    ]


_CHANGED: Final = (
    "UPDATE mailboxes SET highest_modseq = highest_modseq + 1, keyword_version = keyword_version + 1 WHERE id = %s"
)


def retire_statements(mailbox: MailboxId, bits: Iterable[int], now_us: int) -> list[Statement]:
    """The statements that take bits their names. The mailbox's MODSEQ rises, so that indexes read the names anew."""
    # No keyword has a space in it.
    unname = "UPDATE keywords SET name = %s, folded = %s WHERE mailbox = %s AND flag_bit = %s"
    note = "UPDATE unused_keywords SET retired = 1, since_us = %s WHERE mailbox = %s AND flag_bit = %s"
    statements: list[Statement] = []
    for bit in sorted(bits):
        statements += [(unname, (RETIRED, b" %d" % bit, mailbox, bit)), (note, (now_us, mailbox, bit))]
    return [*statements, (_CHANGED, (mailbox,))]


_RESTED: Final = (
    "SELECT u.mailbox, m.account, u.flag_bit FROM unused_keywords u"
    " JOIN mailboxes m ON m.id = u.mailbox AND m.deleted_at = 0"
    " WHERE u.retired = 1 AND u.since_us <= %s ORDER BY u.since_us LIMIT %s"
)


def rested_txn(cursor: Cursor, until_us: int, limit: int) -> dict[tuple[MailboxId, AccountId], list[int]]:
    """Bits that have rested since `until_us` or longer, by mailbox."""
    cursor.execute(_RESTED, (until_us, limit))
    found: dict[tuple[MailboxId, AccountId], list[int]] = {}
    for mailbox, account, bit in cursor.fetchall():
        found.setdefault((MailboxId(mailbox), AccountId(account)), []).append(bit)
    return found


def free_statements(mailbox: MailboxId, bits: Sequence[int]) -> list[Statement]:
    """The statements that let bits have names again."""
    free = "DELETE FROM keywords WHERE mailbox = %s AND flag_bit = %s AND name = %s"
    unnote = "DELETE FROM unused_keywords WHERE mailbox = %s AND flag_bit = %s"
    statements: list[Statement] = []
    for bit in sorted(bits):
        statements += [(free, (mailbox, bit, RETIRED)), (unnote, (mailbox, bit))]
    return [*statements, (_CHANGED, (mailbox,))]
