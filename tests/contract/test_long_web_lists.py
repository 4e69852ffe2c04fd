"""Lists of the web with very much in them: whichever page is asked for, the server works less than 200 ms for it.

On SQLite that includes the database, which works in the same process; what a MariaDB server works besides keeps to the
same bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lightmail.config import WebhookConfig
from lightmail.config.sections import ImapConfig
from tests.support import mariadb, visitors
from tests.support.apikit import Api, serve_api
from tests.support.browser import Browser
from tests.support.costs import Meter
from tests.support.directories import crowd, populate
from tests.support.seaweedfs import stored
from tests.support.storekit import fresh_config, open_store

COUNT = 10_000
PAGE_MS = 200.0

pytestmark = pytest.mark.heavy


@dataclass
class Long:
    """A store with very many accounts of two domains, and pages over it as administrators of the server and of the
    second domain see them."""

    api: Api
    domain: int
    account: int
    keepers: dict[str, Browser]
    meter: Meter


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.s3])])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    directory = tmp_path_factory.mktemp("rows")
    objects = (
        stored(request.getfixturevalue("s3_server"), f"long-{directory.name}") if request.param == "mariadb" else {}
    )
    hook = WebhookConfig(enabled=True, url="https://hooks.example.net/")
    with (
        fresh_config(request.param, directory) as config,
        open_store(config) as store,
        serve_api(store, pages=True, imap=ImapConfig(), webhook=hook, **objects) as api,
    ):
        populate(store, "first.example", COUNT)
        domain = populate(store, "second.example", COUNT)
        account = store.count("SELECT MAX(id) FROM accounts")
        crowd(store, domain, COUNT)
        pid = mariadb.server().pid if request.param == "mariadb" else None
        keepers = {"server": visitors.keeper(api), "domain": visitors.keeper(api, domain)}
        yield Long(api, domain, account, keepers, Meter(pid))


def pages(long: Long) -> list[str]:
    """Of each list the first page, one far behind, and what is searched for; and pages that sum lists up."""
    lists = {
        "/web/accounts": ("page=200", "search=user00500", "domain=second.example&page=199"),
        "/web/accounts/deleted": ("page=200", "domain=second.example"),
        "/web/aliases": ("page=200", "search=alias0099", "domain=second.example&page=199"),
        "/web/domains": ("page=20", "search=domain0009"),
        "/web/sessions": ("page=200", "protocol=imap", "account=user005000%40second.example"),
        "/web/jobs": ("page=200", "kind=verify&page=100"),
        "/web/audit": (
            "actor=keeper7",
            "actor=nobody",
            "action=account",
            "subject=user004711%40x.example",
            "before=500",
        ),
        "/web/tokens": ("page=20",),
        "/web/webhook": ("page=200",),
        "/web/": ("range=week",),
        f"/web/domains/{long.domain}": (),
        f"/web/accounts/{long.account}": (),
        f"/web/accounts/{long.account}/clients": (),
        f"/web/accounts/{long.account}/mailboxes": (),
        f"/web/accounts/{long.account}/deleted": (),
    }
    return [path if not query else f"{path}?{query}" for path, queries in lists.items() for query in ("", *queries)]


@pytest.mark.parametrize("who", ["server", "domain"])
def test_any_page_costs_less_than_two_hundred_milliseconds(long: Long, who: str) -> None:
    browser, over, shown = long.keepers[who], {}, 0
    for path in pages(long):
        if browser.request("GET", path).status != 200:
            assert who == "domain", path
            continue
        shown += 1
        own, server = long.meter.cost_ms(lambda path=path: browser.request("GET", path))
        print(f"{long.api.store.database.dialect:8} {who:6} {path:60} {own:6.1f} ms, database {server:6.1f} ms")
        if max(own, server) > PAGE_MS:
            over[path] = (own, server)
    assert not over
    assert shown > 20
