r"""Keyword bits that no message has any more: named again, but not before everybody has forgotten the old name.

A flags column has 47 bits for keywords of a mailbox's own. A client that makes up many of them (a tag per project, say)
would fill it for good, so bits of a crowded mailbox come back. The danger is that a bit gets a second name while
somebody still goes by the first:

- *An index* reads names and rows together, and names whenever `keyword_version` moved; between two slices of one long
  reading (`index.registry`) it may show new rows under old names.
- *A session's view* compares bits to know what its client has been told. A message that lost bit 20 while that meant
  "old", and got it back while it meant "new", looks unchanged to a view that slept through both; the client would show
  "old" for good.
- *A restorable message* comes back with the bits that it had.

So a bit comes back in three steps, each under the mailbox's lock:

1. *Noted*: no message, live or restorable, has it, and it was the same at each look, a day apart, for `IDLE_DAYS`. That
   only keeps keywords that come and go from being retired, and costs nothing where it is wrong.
2. *Retired*: looked at once more under the lock, its name is taken from it. Bits are set by name alone (STORE, APPEND,
   COPY's translation read the names under the same lock; restoring can bring none back, for no restorable message has
   it), so from here on no message gets this bit. Who sets the keyword again gets another bit for it. `highest_modseq`
   and `keyword_version` rise, so every index pulls and drops the name.
3. *Free*, after `REST_DAYS` in which no row had it. Every view that lives has been brought level in these days:
   sessions are closed after half an hour of silence, and whatever a session sends is answered by a view brought level.
   An index that no session holds is brought level before it is given out. What is written down with bits elsewhere and
   kept longer than `REST_DAYS` must carry its names, too.
"""

from __future__ import annotations

from typing import Final

from lightmail.model import AccountId, MailboxId
from lightmail.operations.outcome import Changed, Nothing
from lightmail.operations.transactions import Transactions
from lightmail.store import keywords, mailboxes
from lightmail.store.cursor import Cursor, Statement

_DAY_US: Final = 86_400_000_000
IDLE_DAYS: Final = 30
REST_DAYS: Final = 30
# Of 47; a mailbox that has fewer keywords is in no need.
CROWDED: Final = 32
# A look at a mailbox reads all its rows.
LOOK_AGAIN_US: Final = _DAY_US


async def look(tx: Transactions, account: AccountId, mailbox: MailboxId, now_us: int) -> int:
    """Note which bits of a crowded mailbox are unused, and retire those that have been for long; how many of these.

    Raises Unavailable.
    """
    used = await tx.database.read("keyword-bits", keywords.used_bits_txn, mailbox)
    return await tx.commit("retire", _look_txn, account, mailbox, used, now_us, account=account, mailboxes=(mailbox,))


def _look_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId, used: set[int], now_us: int) -> Changed[int]:
    lock, named, noted = cursor.script(
        [
            *mailboxes.lock_statements(account, [mailbox]),
            keywords.keywords_statement(mailbox),
            keywords.unused_statement(mailbox),
        ]
    )
    held = mailboxes.locked(lock.rows).get(mailbox)
    if held is None:
        raise Nothing(0)
    unused = {bit for bit, name in keywords.read(named.rows) if name != keywords.RETIRED} - used
    since = {row[0]: row[1] for row in noted.rows}
    ripe = {bit for bit in unused & since.keys() if since[bit] <= now_us - IDLE_DAYS * _DAY_US}
    if ripe:
        # The first look was from before the lock.
        ripe -= keywords.used_bits_txn(cursor, mailbox)
    statements = keywords.note_statements(mailbox, unused - since.keys(), since.keys() - unused, now_us)
    if ripe:
        statements += keywords.retire_statements(mailbox, ripe, now_us)
    if not statements:
        raise Nothing(0)
    cursor.script(statements)
    return Changed(len(ripe), {mailbox: held.highest_modseq + 1} if ripe else {})


async def free(tx: Transactions, now_us: int, limit: int) -> int:
    """Let bits that have rested long enough have names again; how many. Raises Unavailable."""
    until_us = now_us - REST_DAYS * _DAY_US
    rested = await tx.database.read("rested-bits", keywords.rested_txn, until_us, limit)
    for (mailbox, account), bits in rested.items():
        statements = keywords.free_statements(mailbox, bits)
        await tx.commit("free-bits", _free_txn, account, mailbox, statements, account=account, mailboxes=(mailbox,))
    return sum(map(len, rested.values()))


def _free_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId, statements: list[Statement]) -> Changed[None]:
    (lock,) = cursor.script(mailboxes.lock_statements(account, [mailbox]))
    held = mailboxes.locked(lock.rows).get(mailbox)
    if held is None:
        raise Nothing(None)
    cursor.script(statements)
    return Changed(None, {mailbox: held.highest_modseq + 1})
