"""One transaction that restores expunged messages: as new messages of a mailbox, with flags and dates as they were.

The row a message was expunged in becomes RESTORED and gives its object up in the same transaction, under the lock of
its mailbox: whoever comes second finds nothing left to restore, and no purge comes between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TypeAlias

from lightmail import traces
from lightmail.errors import Corruption, LimitReached, NoSuchDestination, OverQuota
from lightmail.model import DELETED, FIRST_KEYWORD_BIT, AccountId, MailboxId, ObjectId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.store import accounts, blobs, mailboxes, messages, undelete
from lightmail.store import keywords as keyword_table
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Bulk, Cursor, Row, Statement
from lightmail.store.faults import Conflict
from lightmail.store.keywords import Keywords
from lightmail.store.mailboxes import Locked
from lightmail.store.sqltext import pieces, with_rows

# An expunged message: the mailbox it was in, deleted itself or not, and its UID there.
Source: TypeAlias = tuple[MailboxId, int]
# What notes in the audit log how many messages were restored.
Record: TypeAlias = Callable[[int], Statement]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: `uids[n]` in the destination is what `sources[n]` was. `octets` is what they sum up to."""

    uidvalidity: int
    sources: list[Source]
    uids: list[int]
    octets: int


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the first round trip found, all mailboxes locked. Rows are (uid, flags, octets, internaldate_us, object)."""

    into: Locked
    live: dict[MailboxId, Locked]
    keywords: dict[MailboxId, Keywords]
    quota: Quota
    found: dict[Source, Row]


def restore_txn(
    cursor: Cursor, account: AccountId, wanted: Sequence[Source], destination: MailboxId, record: Record | None = None
) -> Changed[Restored]:
    r"""The transaction: those of `wanted` that can still be restored get the next UIDs of `destination`, in that order.

    \Deleted goes, keywords are translated by their names; those that the destination has no room for stay behind.
    `record` makes the entry of the audit log. Three round trips, and one or two more for keywords that are new there.
    Raises NoSuchDestination, OverQuota, Corruption.
    """
    opened = _open(cursor, account, wanted, destination)
    into = opened.into
    sources = [source for source in wanted if source in opened.found]
    if not sources:
        raise Nothing(Restored(into.uidvalidity, [], [], 0))
    rows = _rows(cursor, account, opened, sources)
    octets = sum(opened.found[source][2] for source in sources)
    locks = blobs.lock_statements(sorted({ObjectId(opened.found[source][4]) for source in sources}))
    by_mailbox = _by_mailbox(sources)
    advances, read = _advances(account, opened, set(by_mailbox), len(sources))
    retired = [each for box, uids in by_mailbox.items() for each in undelete.retire_statements(box, uids)]
    results = cursor.script(
        [
            *locks,
            *advances,
            read,
            *_inserts(rows),
            *retired,
            *(each for box, uids in by_mailbox.items() for each in undelete.forget_statements(box, uids)),
            *([record(len(sources))] if record is not None else []),
            accounts.charge_statement(account, octets, len(sources), opened.quota),
        ]
    )
    alive = {row[0] for result in results[: len(locks)] for row in result.rows}
    if len(alive) < len({opened.found[source][4] for source in sources}):
        raise Corruption
    first = len(locks) + len(advances) + 1 + len(_inserts(rows))
    if sum(result.rowcount for result in results[first : first + len(retired)]) != len(sources):
        raise Conflict("restore")  # which the locks do not allow
    if results[-1].rowcount == 0:
        raise OverQuota
    modseqs = {MailboxId(row[0]): int(row[1]) for row in results[len(locks) + len(advances)].rows}
    uids = list(range(into.uidnext, into.uidnext + len(sources)))
    return Changed(Restored(into.uidvalidity, sources, uids, octets), modseqs)


def _by_mailbox(sources: Sequence[Source]) -> dict[MailboxId, list[int]]:
    """The UIDs of each mailbox, both ascending."""
    by_mailbox: dict[MailboxId, list[int]] = {}
    for mailbox, uid in sorted(sources):
        by_mailbox.setdefault(mailbox, []).append(uid)
    return by_mailbox


def _open(cursor: Cursor, account: AccountId, wanted: Sequence[Source], destination: MailboxId) -> _Opened:
    """The first round trip: lock all mailboxes, by ascending id, and read what there is to restore."""
    by_mailbox = _by_mailbox(wanted)
    boxes = sorted({*by_mailbox, destination})
    # A mailbox is one or the other; one of the two statements finds it.
    locks = [
        each
        for box in boxes
        for each in (*mailboxes.lock_statements(account, [box]), undelete.lock_deleted_statement(account, box))
    ]
    reads = [(box, each) for box, uids in by_mailbox.items() for each in undelete.expunged_statements(box, uids)]
    results = cursor.script(
        [
            *locks,
            accounts.quotas_statement([account]),
            *(keyword_table.keywords_statement(box) for box in boxes),
            *(statement for _, statement in reads),
        ]
    )
    live = mailboxes.locked(row for result in results[: len(locks) : 2] for row in result.rows)
    held = {*live, *(MailboxId(row[0]) for result in results[1 : len(locks) : 2] for row in result.rows)}
    quotas, *others = results[len(locks) :]
    quota = accounts.quotas(quotas.rows).get(account)
    if destination not in live or quota is None:
        raise NoSuchDestination
    names = {box: keyword_table.read(result.rows) for box, result in zip(boxes, others, strict=False)}
    found = {
        (box, row[0]): row
        for (box, _), result in zip(reads, others[len(boxes) :], strict=True)
        if box in held
        for row in result.rows
    }
    return _Opened(live[destination], live, names, quota, found)


def _rows(cursor: Cursor, account: AccountId, opened: _Opened, sources: Sequence[Source]) -> list[Row]:
    """The new rows, for `messages.INSERT`."""
    into = opened.into
    bits = {
        box: _keyword_bits(cursor, opened, box, [opened.found[source][1] for source in sources if source[0] == box])
        for box in sorted({source[0] for source in sources})
    }
    trace = traces.kept(traces.CURRENT.get())
    rows: list[Row] = []
    for uid, source in enumerate(sources, into.uidnext):
        _, flags, octets, internaldate_us, object_ = opened.found[source]
        kept = flags & keyword_table.FIXED_MASK & ~DELETED
        for old, new in bits[source[0]].items():
            kept |= (flags >> old & 1) << new
        rows.append((account, into.id, uid, into.highest_modseq + 1, object_, kept, internaldate_us, octets, trace))
    return rows


def _keyword_bits(cursor: Cursor, opened: _Opened, source: MailboxId, flags: Sequence[int]) -> Mapping[int, int]:
    """Which bit of the source is which bit of the destination, for the keywords that the messages have."""
    used = reduce(or_, flags) >> FIRST_KEYWORD_BIT << FIRST_KEYWORD_BIT
    named = [(bit, name) for bit, name in opened.keywords[source] if name and used >> bit & 1]
    if source == opened.into.id:
        return {bit: bit for bit, _ in named}
    bits: dict[int, int] = {}
    for bit, name in named:
        with suppress(LimitReached):
            there = keyword_table.allocate_txn(cursor, opened.into.id, (name,), opened.keywords[opened.into.id])
            bits[bit] = there.bit_length() - 1
    return bits


def _advances(
    account: AccountId, opened: _Opened, sources: set[MailboxId], count: int
) -> tuple[list[Statement | Bulk], Statement]:
    """The statements that take UIDs and raise the MODSEQs of all mailboxes, and the one that reads these back.

    The sources change, too: sessions that look at what was deleted there must hear of it.
    """
    advance = {(box, account): 0 for box in sources if box in opened.live}
    advance[opened.into.id, account] = count
    deleted = sorted(box for box in sources if box not in opened.live)
    statements = [
        *mailboxes.advance_statements(advance),
        *(undelete.advance_deleted_statement(box) for box in deleted),
    ]
    return statements, undelete.modseqs_statement({*sources, opened.into.id})


def _inserts(rows: Sequence[Row]) -> list[Statement]:
    return [
        (with_rows(messages.INSERT, len(piece)), [value for row in piece for value in row])
        for piece in pieces(rows, messages.INSERT_BOUND)
    ]
