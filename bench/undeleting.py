"""What undeleting costs: ``python -m bench undelete`` expunges messages, looks at them and restores some.

``--count`` messages are expunged from one mailbox. Restoring and the tree touch rows alone: there are no objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.filling import rows
from bench.sites import Cost, Site
from lightmail.model import INBOX, Account
from lightmail.operations import deleted
from lightmail.operations.expunge import expunge
from lightmail.operations.undelete import plan, restore
from lightmail.store import undelete
from lightmail.store.undelete import Filters
from tests.support.actors import OPERATOR
from tests.support.reactor import run

_LISTED = 100
_RESTORED = 1000
_TIMES = 20


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of what an operator asks for, and of the tree that shows a user the same."""
    tx = site.store.tx
    account = site.store.account()
    mailbox = site.store.mailbox(account).id
    rows(site, account, mailbox, count)
    site.store.execute("UPDATE messages SET flags = 8 WHERE mailbox = %s", mailbox)
    run(expunge(tx, account, mailbox, None), 600)
    of = f"of {count:,}"
    yield site.measure(f"list {_LISTED} {of}", _TIMES, "lists", lambda: _list(site, account, Filters()))
    none = Filters(subject="that none has")
    yield site.measure(f"list by a subject, none {of}", _TIMES, "lists", lambda: _list(site, account, none))
    yield site.measure(f"first look at {deleted.ROOT}/INBOX", count, "messages", lambda: _see(site, account, 1))
    yield site.measure(f"open {deleted.ROOT}/INBOX again", count * _TIMES, "messages", lambda: _see(site, account))
    yield site.measure("look for changes there", _TIMES, "looks", lambda: _look(site, account))
    chosen = Filters(ids=tuple(_ids(site, account)[:_RESTORED]))
    yield site.measure("restore by id", len(chosen.ids), "messages", lambda: _restore(site, account, chosen))
    left = count - len(chosen.ids)
    if left:
        yield site.measure("restore the rest", left, "messages", lambda: _restore(site, account, Filters()))
    yield site.measure(f"open it after, {of} restored", _TIMES, "looks", lambda: _see(site, account))


async def _list(site: Site, account: Account, filters: Filters) -> None:
    for _ in range(_TIMES):
        database = site.store.database
        await database.read("undelete plan", undelete.origins_txn, account.id, filters)
        await database.read("undelete list", undelete.list_txn, account.id, filters, _LISTED)


def _ids(site: Site, account: Account) -> list[int]:
    found = run(site.store.database.read("bench", undelete.list_txn, account.id, Filters(), _RESTORED))
    return [message.id for message in found]


async def _restore(site: Site, account: Account, filters: Filters) -> None:
    tx = site.store.tx
    planned = await plan(tx, account, filters)
    outcome = await restore(tx, OPERATOR, account, filters, planned)
    assert outcome.messages == planned.messages


async def _see(site: Site, account: Account, times: int = _TIMES) -> None:
    for _ in range(times):
        await deleted.see(site.store.tx, account, INBOX)


async def _look(site: Site, account: Account) -> None:
    seen = await deleted.see(site.store.tx, account, INBOX)
    for _ in range(_TIMES):
        seen = await deleted.again(site.store.tx, account, INBOX, seen)
