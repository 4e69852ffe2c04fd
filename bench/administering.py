"""What administering costs: ``python -m bench administer`` lists accounts by page, and changes some.

There are ``--count`` accounts and as many aliases in one domain, and as many in another.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.sites import Cost, Site
from lightmail.model import AccountId
from lightmail.operations.accounts import Change, add_account, change_account
from lightmail.operations.app_passwords import add_app_password
from lightmail.store import aliases, profiles
from lightmail.store.aliases import Chosen
from lightmail.store.ranges import NameRange, names_from
from tests.support.actors import OPERATOR
from tests.support.directories import populate
from tests.support.reactor import run

_PAGE = 50
_TIMES = 20


def costs(site: Site, count: int) -> Iterator[Cost]:
    """Of pages of lists, wherever they are, and of single changes."""
    domain = populate(site.store, "bench.example", count)
    populate(site.store, "other.example", count)
    of, every = f"of {2 * count:,}", names_from()
    middle = names_from("", f"user{count // 2:06}@bench.example")
    pages = {
        f"first {_PAGE} accounts {of}, counted": lambda: _accounts(site, None, every, 0, counting=True),
        f"{_PAGE} accounts {of}, by cursor": lambda: _accounts(site, None, middle, 0),
        f"last {_PAGE} accounts {of}, by offset": lambda: _accounts(site, None, every, max(0, 2 * count - _PAGE)),
        f"{_PAGE} accounts of a domain, by cursor": lambda: _accounts(site, domain, middle, 0),
        "accounts by a prefix, none": lambda: _accounts(site, None, names_from("nobody"), 0),
        f"first {_PAGE} aliases {of}, counted": lambda: _aliases(site),
    }
    for step, ask in pages.items():
        yield site.measure(step, _TIMES, "pages", ask)
    yield site.measure("add an account", _TIMES, "accounts", lambda: _add(site))
    account = run(add_account(site.store.tx, OPERATOR, "one@bench.example", "hash")).id
    yield site.measure("change an account", _TIMES, "changes", lambda: _change(site, account))
    yield site.measure("make an app password", _TIMES, "app passwords", lambda: _issue(site, account))


async def _accounts(site: Site, domain: int | None, names: NameRange, offset: int, *, counting: bool = False) -> None:
    database = site.store.database
    for _ in range(_TIMES):
        await database.read("accounts", profiles.listed_txn, domain, names, _PAGE, offset, counting=counting)


async def _aliases(site: Site) -> None:
    chosen = Chosen(names_from())
    for _ in range(_TIMES):
        await site.store.database.read("aliases", aliases.listed_txn, chosen, None, _PAGE, counting=True)


async def _add(site: Site) -> None:
    for number in range(_TIMES):
        await add_account(site.store.tx, OPERATOR, f"new{number}@bench.example", "hash")


async def _change(site: Site, account: AccountId) -> None:
    for number in range(_TIMES):
        await change_account(site.store.tx, OPERATOR, account, Change(quota_octets=number))


async def _issue(site: Site, account: AccountId) -> None:
    for number in range(_TIMES):
        await add_app_password(site.store.tx, OPERATOR, account, f"client {number}")
