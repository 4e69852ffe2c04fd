"""The conditions are what they say: SELECT finds snapshots that are fresh, stale, damaged, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.conditions import ABSENT, DAMAGED, DAMAGED_CHUNKS, STALE, WRITTEN_ALWAYS, Condition, Site, open_site
from tests.support.obedient import ObedientClient
from tests.support.scripts import ADDRESS, PASSWORD
from tests.support.snapshotkit import lookups

RESULTS = ("hit", "stale", "damaged", "missing")


@pytest.mark.parametrize(
    ("condition", "found"),
    [(WRITTEN_ALWAYS, "hit"), (STALE, "hit"), (DAMAGED, "damaged"), (DAMAGED_CHUNKS, "hit"), (ABSENT, "missing")],
)
def test_each_select_meets_the_condition(condition: Condition, found: str, tmp_path: Path) -> None:
    with open_site(condition, tmp_path) as site:
        site.add_account(ADDRESS, PASSWORD)
        visit(site)
        before = {result: lookups(result) for result in RESULTS}
        visits = 20
        for _ in range(visits):
            visit(site)
        grown = {result: lookups(result) - before[result] for result in RESULTS}
    # A damaged one is read once more before another takes its place.
    assert grown == {**dict.fromkeys(RESULTS, 0), found: visits * (2 if condition is DAMAGED else 1)}


def visit(site: Site) -> None:
    """A session that leaves a message more."""
    client = ObedientClient(site.port, ADDRESS, PASSWORD, b"INBOX")
    try:
        client.must(b"APPEND INBOX {16+}\r\nSubject: hello\r\n")
        client.must(b"LOGOUT")
    finally:
        client.close()
