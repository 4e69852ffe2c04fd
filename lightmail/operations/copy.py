"""COPY and MOVE (RFC 3501 section 6.4.7, RFC 6851): all or nothing (P7), as statements over sets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from lightmail import traces
from lightmail.errors import Corruption, LimitReached, NoSuchDestination, NoSuchMailbox, OverQuota
from lightmail.model import FIRST_KEYWORD_BIT, Account, AccountId, Fate, MailboxId, ObjectId
from lightmail.operations import quotas
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, blobs, mailboxes, messages
from lightmail.store import keywords as keyword_table
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.keywords import Keywords
from lightmail.store.mailboxes import Locked
from lightmail.store.messages import OwnChange


@dataclass(frozen=True, slots=True)
class Copied:
    """What COPYUID tells (RFC 4315 section 3): `uids[n]` in the destination is the copy of `source_uids[n]`.

    `gone_modseq`: where they were moved, the MODSEQ of the source at which they went.
    """

    uidvalidity: int
    source_uids: list[int]
    uids: list[int]
    gone_modseq: int = field(default=0, compare=False)

    @property
    def change(self) -> OwnChange:
        """What a move to another mailbox did to the source."""
        return OwnChange(self.gone_modseq, expunged=self.source_uids)


async def copy(
    tx: Transactions, account: Account, source: MailboxId, uids: Sequence[int], destination: MailboxId
) -> Copied:
    """Copy the messages that are still there, with flags, keywords and INTERNALDATE.

    Keywords that the destination has no room for stay behind: a message must not be kept from the trash by a tag.

    Raises NoSuchMailbox, NoSuchDestination, OverQuota, Unavailable.
    """
    return await _transfer(tx, "copy", account, source, uids, destination, False)


async def move(
    tx: Transactions, account: Account, source: MailboxId, uids: Sequence[int], destination: MailboxId
) -> Copied:
    """Copy the messages and remove them from the source, in one step that no session sees half of. Raises as `copy`."""
    return await _transfer(tx, "move", account, source, uids, destination, True)


async def _transfer(
    tx: Transactions,
    name: str,
    account: Account,
    source: MailboxId,
    uids: Sequence[int],
    destination: MailboxId,
    moving: bool,
) -> Copied:
    if not uids:
        return Copied(0, [], [])
    try:
        return await tx.commit(
            name,
            transfer_txn,
            account.id,
            source,
            sorted(uids),
            destination,
            moving,
            account=account.id,
            mailboxes={source, destination},
        )
    except OverQuota:
        await quotas.refused(tx, "copy", [account.id])
        raise


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the first round trip found, both mailboxes locked."""

    source: Locked
    destination: Locked
    source_keywords: Keywords
    destination_keywords: Keywords
    quota: Quota | None
    found: list[Row]


def transfer_txn(
    cursor: Cursor,
    account: AccountId,
    source: MailboxId,
    uids: Sequence[int] | None,
    destination: MailboxId,
    moving: bool,
) -> Changed[Copied]:
    """The transaction, three round trips and one or two more when keywords are new to the destination.

    `uids` None: all there are.
    """
    opened = _open(cursor, account, source, uids, destination)
    into = opened.destination
    if not opened.found:
        raise Nothing(Copied(into.uidvalidity, [], []))
    live = [row[0] for row in opened.found]
    octets = sum(row[2] for row in opened.found)
    pairs = _keyword_pairs(cursor, opened)
    modseqs = {destination: into.highest_modseq + 1, source: opened.source.highest_modseq + 1}
    if not moving and source != destination:
        del modseqs[source]
    taken = {(mailbox, account): len(live) if mailbox == destination else 0 for mailbox in modseqs}
    trace = traces.kept(traces.CURRENT.get())
    modseq = modseqs[destination]
    inserts = messages.transfer_statements(source, live, destination, into.uidnext, modseq, pairs, trace)
    objects = sorted({ObjectId(row[3]) for row in opened.found})
    locks = blobs.lock_statements(objects)
    last: list[Statement]
    if moving:
        last = messages.bury_statements(source, live, Fate.MOVED)
    else:
        last = [accounts.charge_statement(account, octets, len(live), _quota(opened))]
    results = cursor.script([*locks, *mailboxes.advance_statements(taken), *inserts, *last])
    if sum(len(result.rows) for result in results[: len(locks)]) < len(objects):
        raise Corruption
    if not moving and results[-1].rowcount == 0:
        raise OverQuota
    new = list(range(into.uidnext, into.uidnext + len(live)))
    gone_modseq = modseqs[source] if moving and source != destination else 0
    return Changed(Copied(into.uidvalidity, live, new, gone_modseq), modseqs)


def _open(
    cursor: Cursor, account: AccountId, source: MailboxId, uids: Sequence[int] | None, destination: MailboxId
) -> _Opened:
    """The first round trip: lock both mailboxes, by ascending id, and read what there is to copy."""
    locks = mailboxes.lock_statements(account, {source, destination})
    results = cursor.script(
        [
            *locks,
            keyword_table.keywords_statement(source),
            keyword_table.keywords_statement(destination),
            accounts.quotas_statement([account]),
            *messages.matching_statements(source, uids),
        ]
    )
    held = mailboxes.locked(row for result in results[: len(locks)] for row in result.rows)
    of_source, of_destination, quotas, *matching = results[len(locks) :]
    if source not in held:
        raise NoSuchMailbox
    if destination not in held:
        raise NoSuchDestination
    return _Opened(
        held[source],
        held[destination],
        keyword_table.read(of_source.rows),
        keyword_table.read(of_destination.rows),
        accounts.quotas(quotas.rows).get(account),
        sorted(row for result in matching for row in result.rows),
    )


def _quota(opened: _Opened) -> Quota:
    if opened.quota is None:
        raise NoSuchMailbox
    return opened.quota


def _keyword_pairs(cursor: Cursor, opened: _Opened) -> list[tuple[int, int]]:
    """Which bit of the source is which bit of the destination, for the keywords that the messages have."""
    if opened.source.id == opened.destination.id:
        return [(bit, bit) for bit, _ in opened.source_keywords]
    used = reduce(or_, {row[1] for row in opened.found}) >> FIRST_KEYWORD_BIT << FIRST_KEYWORD_BIT
    pairs: list[tuple[int, int]] = []
    for bit, name in opened.source_keywords:
        if used >> bit & 1:
            with suppress(LimitReached):
                there = keyword_table.allocate_txn(cursor, opened.destination.id, (name,), opened.destination_keywords)
                pairs.append((bit, there.bit_length() - 1))
    return pairs
