"""Clients that obey end with the server's state under every condition; sessions end and begin again meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.conditions import Condition, Site, open_site
from tests.support.scripts import ADDRESS, PASSWORD, RESTLESS_SCRIPTS, converge


@pytest.fixture(scope="module")
def site(condition: Condition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("imap")
    with open_site(condition, directory) as opened:
        opened.add_account(ADDRESS, PASSWORD)
        yield opened


_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(_unhurried, max_examples=15)
@given(RESTLESS_SCRIPTS)
def test_obedient_clients_end_with_the_servers_state(site: Site, script: list[tuple[object, ...]]) -> None:
    converge(site, script)


@pytest.mark.heavy
@settings(_unhurried, max_examples=300)
@given(RESTLESS_SCRIPTS)
def test_obedient_clients_end_with_the_servers_state_for_long(site: Site, script: list[tuple[object, ...]]) -> None:
    converge(site, script)
