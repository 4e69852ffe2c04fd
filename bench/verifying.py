"""What verifying costs: ``python -m bench verify`` fills a store with messages and looks at all of it, quick and deep.

Each object has ten messages that refer to it, so that the rows of a large store fit beside the objects of a small one.
The pauses between steps are part of the time.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.filling import fill
from bench.sites import Cost, Site
from lightmail.jobs.verify import Hands, Options, Report, verify
from lightmail.model import Account, MailboxId
from lightmail.operations.copy import copy
from lightmail.operations.mailboxes import create
from tests.support.reactor import run

_COPIES = ("Sent", "Drafts", "Trash", "Junk", "Archive", "Older", "Oldest", "Lists", "Reports")


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of looking at a store with so many objects, and ten messages for each, quick and deep."""
    account = site.store.account()
    inbox = site.store.mailbox(account).id
    fill(site, account, inbox, count)
    for name in _COPIES:
        _copy(site, account, inbox, name, count)
    rows = count * (1 + len(_COPIES))

    async def look(deep: bool) -> Report:
        report = await verify(Hands(site.store.tx, site.objects, site.pool), Options(deep=deep, restart=True))
        assert report.clean, report.counts
        return report

    yield site.measure("quick", rows, "messages", lambda: look(False))
    yield site.measure("deep", count, "objects", lambda: look(True))


def _copy(site: Site, account: Account, inbox: MailboxId, name: str, count: int) -> None:
    if name not in site.store.names(account):
        run(create(site.store.tx, account, name))
    destination = site.store.mailbox(account, name).id
    for start in range(1, count + 1, 2000):
        uids = range(start, min(start + 2000, count + 1))
        run(copy(site.store.tx, account, inbox, uids, destination))
