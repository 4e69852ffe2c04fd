"""Pages of the audit log: the same entries, whichever way one goes through them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lightmail.operations.domains import add_domain
from lightmail.store import audit
from lightmail.store.audit import Entry, Filters
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

ALL = 9


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path) as config, open_store(config) as opened:
        yield opened


def older(store: Store, filters: Filters, before: int | None, limit: int) -> list[Entry]:
    return run(store.database.read("test", audit.page_txn, filters, before, limit))


def newer(store: Store, filters: Filters, after: int, limit: int) -> list[Entry]:
    return run(store.database.read("test", audit.newer_txn, filters, after, limit))


def test_pages_are_the_same_from_either_end(store: Store) -> None:
    for number in range(ALL):
        run(add_domain(store.tx, OPERATOR, f"d{number}.example"))
    for filters in (Filters(), Filters(action="domain", actor=OPERATOR.name)):
        known = older(store, filters, None, 100)
        assert len(known) >= ALL
        assert all(one.id > other.id for one, other in pairwise(known))
        for place, entry in enumerate(known):
            assert older(store, filters, entry.id, 3) == known[place + 1 : place + 4]
            assert newer(store, filters, entry.id, 3) == known[max(place - 3, 0) : place]
    assert newer(store, Filters(actor="nobody"), 0, 3) == []
