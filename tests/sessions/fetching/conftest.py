"""A world whose objects can be in trouble, and a client in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmail.config import LimitsConfig
from tests.support.imapworld import ImapWorld
from tests.support.troubledstore import Client, TroubledStore


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


@pytest.fixture
def world(tmp_path: Path, store: TroubledStore) -> Iterator[ImapWorld]:
    # Without bodies in memory: each is read, for its command or ahead of it.
    world = ImapWorld(tmp_path, limits=LimitsConfig(body_octets=0), store=store, with_tls=False).open()
    try:
        world.add_account("alice@example.org", "secret")
        yield world
    finally:
        world.close()


@pytest.fixture
def client(world: ImapWorld) -> Iterator[Client]:
    client = Client(world)
    try:
        yield client
    finally:
        client.connection.close()
