"""What epochs cost: ``python -m bench epochs`` counts passes, and has mailboxes jump after the store's epoch rose.

``--count`` is the number of mailboxes, one message in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.filling import many
from bench.sites import Cost, Site
from lightmail.jobs.epochs import Epochs
from lightmail.model import MailboxId
from lightmail.store import epochs, messages
from tests.support.reactor import call, run

_TIMES = 50


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of what is done all the time, and of what follows a restored database."""
    mailboxes = many(site, count)
    jobs = call(Epochs, site.store.database, site.objects, site.pool)
    assert run(jobs.begin_pass())
    yield site.measure("begin_pass", _TIMES, "passes", lambda: _pass(jobs))
    yield site.measure("compare, once a minute", _TIMES, "looks", lambda: _compare(jobs))
    yield site.measure("read a mailbox, for comparison", count, "mailboxes", lambda: _read(site, mailboxes))
    epoch = run(site.store.database.read("bench", epochs.read_txn)).store_epoch
    yield site.measure("lost tail: the store's epoch rises", 1, "time", lambda: jobs.lost_marks(epoch))
    assert run(jobs.status()).epoch == epoch + 1
    yield site.measure("read a mailbox, which jumps", count, "mailboxes", lambda: _read(site, mailboxes))
    yield site.measure("unfreeze", 1, "time", jobs.unfreeze)


async def _pass(jobs: Epochs) -> None:
    for _ in range(_TIMES):
        assert await jobs.begin_pass()


async def _compare(jobs: Epochs) -> None:
    for _ in range(_TIMES):
        await jobs.compare()


async def _read(site: Site, mailboxes: Sequence[MailboxId]) -> None:
    """As an index that has nothing of them is filled."""
    for mailbox in mailboxes:
        await epochs.read(site.store.database, "index", messages.all_txn, mailbox)
