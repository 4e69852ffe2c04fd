"""What the journal costs: ``python -m bench journal`` has rounds after which nothing, some or all has changed.

``--count`` is the number of mailboxes, five to an account and one message in each, and then the number of messages in
one mailbox. The pauses between rounds are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.filling import many, rows, touch
from bench.sites import Cost, Site
from lightmail.jobs.journal.state import State, lease_name
from lightmail.jobs.journal.writer import SHARD, Journal
from lightmail.model import FlagMode
from lightmail.operations.flags import store_flags
from lightmail.store import progress
from tests.support.reactor import call, run

_IDLE = 50
_CHANGES = 10_000


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of rounds of the journal, and of a compaction: the cycle that writes everything anew, and deletes the old."""
    many(site, count)
    journal = journal_of(site)
    yield site.measure("first round, all whole", count, "mailboxes", journal.round)

    async def idle() -> None:
        for _ in range(_IDLE):
            await journal.round()

    yield site.measure(f"idle round, {count:,} mailboxes", _IDLE, "rounds", idle)
    touch(site, -(-count // 100))
    yield site.measure("1 % of the mailboxes changed", -(-count // 100), "mailboxes", journal.round)
    touch(site, count)
    yield site.measure("all mailboxes changed", count, "mailboxes", journal.round)
    account = site.store.account()
    mailbox = site.store.mailbox(account).id
    rows(site, account, mailbox, count)
    yield site.measure("messages appended to one mailbox", count, "messages", journal.round)
    run(store_flags(site.store.tx, account, mailbox, range(1, count + 1), FlagMode.ADD, [rb"\Seen"]))
    yield site.measure("flags changed in one mailbox", count, "messages", journal.round)
    run(journal.close())
    again = journal_of(site, most_segments=1)
    yield site.measure("compaction, all rounds of it", 2 * count, "messages", lambda: _compact(site, again))


def journal_of(site: Site, **settings: int) -> Journal:
    """A writer of the site's journal."""

    def make() -> Journal:
        database = site.store.database
        return Journal(database, site.objects, site.pool, interval_seconds=60, changes=_CHANGES, **settings)

    return call(make)


async def _compact(site: Site, journal: Journal) -> None:
    """A cycle from the round that begins it to the one that ends it and deletes what it supersedes."""
    while True:
        await journal.round()
        state = State.of(await site.store.database.read("bench", progress.read_txn, lease_name(SHARD)))
        if state.cycle is None:
            return
