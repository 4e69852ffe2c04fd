"""Keeping the journal from growing for ever: pictures of everything, and segments that they supersede.

Once the journal has grown by as much as its last pictures took (or 10,000 segments: a busy week), a *cycle* begins in
the next segment. It writes the directory, every account, and every mailbox whole, a piece each round, by ascending id.
When it is through, whatever there is stands in that segment or in later ones, and those before it may go. So writing
costs twice at most what the changes do, and the journal takes about three times what a picture does.

They go only after the end of the cycle is written down in the database, hence after all of its segments are durable;
and never while collection is frozen: a database that is not the one its bucket knows has no right to remove anything
there. A process that dies in between leaves the note behind, and the next round goes on. Mailboxes that are made
meanwhile are journalled whole when they are first seen, and one that is purged needs no picture.
"""

from __future__ import annotations

from typing import Final

from lightmail.jobs.journal.pulling import Pull, pull, pull_accounts, pull_directory
from lightmail.jobs.journal.segments import directory, first_key, number_of
from lightmail.jobs.journal.state import Cycle, State
from lightmail.jobs.journal.stream import Stream
from lightmail.objects.backends import ObjectStore
from lightmail.store import journal
from lightmail.threads import BoundedPool

# A journal below this is not worth a cycle, whatever its pictures take.
FLOOR_OCTETS: Final = 8 << 20
MOST_SEGMENTS: Final = 10_000
_MAILBOXES_AT_ONCE: Final = 32
_KEYS_AT_ONCE: Final = 1000


def is_due(state: State, most_segments: int) -> bool:
    """Whether a cycle should begin."""
    grown = state.octets >= max(FLOOR_OCTETS, state.picture_octets) or state.segments >= most_segments
    return state.cycle is None and grown


async def take_pictures(stream: Stream, bound: int, most_segments: int = MOST_SEGMENTS) -> None:
    """Begin a cycle if one is due, and go on with it, about `bound` changes at a time."""
    state = stream.state
    if is_due(state, most_segments):
        state.cycle = Cycle(first=stream.number)
        state.octets = state.segments = 0
        await pull_directory(stream, again=True)
    if state.cycle is None:
        return
    before = stream.octets
    cycle = state.cycle
    if cycle.accounts is not None:
        cycle.accounts = await pull_accounts(stream, cycle.accounts, every=True, bound=bound)
    is_done = cycle.accounts is None and await _picture_mailboxes(stream, cycle, bound)
    cycle.octets += stream.octets - before
    if is_done:
        state.superseded = cycle.first
        state.picture_octets = cycle.octets
        state.cycle = None


async def _picture_mailboxes(stream: Stream, cycle: Cycle, bound: int) -> bool:
    """True when there are no more."""
    taken = 0
    while taken < bound:
        listed = await stream.database.read("journal mailboxes", journal.after_txn, cycle.mailboxes, _MAILBOXES_AT_ONCE)
        if not listed:
            return True
        pulls = [Pull(mailbox, 0) for mailbox in listed]
        done = await pull(stream, pulls, bound - taken)
        cycle.mailboxes = listed[done - 1].id
        taken += done + sum(each.rows for each in pulls)
    return False


async def remove_superseded(store: ObjectStore, pool: BoundedPool, shard: int, before: int) -> int:
    """Delete the segments with numbers below `before`; how many. Doing it again does no harm. Raises Unavailable."""
    removed = 0
    after, end = "", first_key(shard, before)
    while True:
        keys = await pool.run(store.keys, directory(shard), after, _KEYS_AT_ONCE)
        old = [key for key in keys if key < end and number_of(key) is not None]
        if old:
            await pool.run(store.delete, old)
            removed += len(old)
        if len(keys) < _KEYS_AT_ONCE or keys[-1] >= end:
            return removed
        after = keys[-1]
