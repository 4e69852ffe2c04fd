"""Keywords of a mailbox: the names of flag bits 16 to 62 (RFC 3501 section 2.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lightmail.errors import LimitReached
from lightmail.model import FIRST_KEYWORD_BIT, FIXED_FLAGS, LAST_KEYWORD_BIT, MailboxId
from lightmail.store.cursor import Cursor, Row, Statement

# 63 bits: all that a flags column can hold.
ALL_BITS: Final = (1 << 63) - 1
FIXED_MASK: Final = (1 << FIRST_KEYWORD_BIT) - 1
FIXED_BITS: Final = {name.lower(): 1 << bit for bit, name in enumerate(FIXED_FLAGS)}

Keywords = list[tuple[int, bytes]]


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
    # Bits are never given back, so the next free one is above all that were given.
    bit = max((bit for bit, _ in keywords), default=FIRST_KEYWORD_BIT - 1) + 1
    if bit > LAST_KEYWORD_BIT:
        raise LimitReached("The mailbox has no room for another keyword.")
    return bit


_INSERT: Final = "INSERT INTO keywords (mailbox, flag_bit, name, folded) VALUES (%s, %s, %s, %s)"
_NEW_VERSION: Final = "UPDATE mailboxes SET keyword_version = keyword_version + 1 WHERE id = %s"
