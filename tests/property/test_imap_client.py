"""A client that obeys every untagged response ends with the server's state, whatever several sessions do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.imapworld import ImapWorld
from tests.support.scripts import ADDRESS, PASSWORD, SCRIPTS, converge


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    directory: Path = tmp_path_factory.mktemp("imap")
    world = ImapWorld(directory).open()
    world.add_account(ADDRESS, PASSWORD)
    yield world
    world.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCRIPTS)
def test_obedient_clients_end_with_the_servers_state(world: ImapWorld, script: list[tuple[object, ...]]) -> None:
    converge(world, script)
