"""What must not change an answer: caches of nothing, indexes read from snapshots of every kind, several processes.

A condition is a configuration, a store of objects that wraps another, and a number of processes. The suites in
tests/conditions run the laws of other suites under each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from lightmail.config import DatabaseConfig, ImapConfig, LimitsConfig, StorageConfig
from lightmail.index.registry import Indexes
from lightmail.notify.hints import Notifier
from lightmail.objects import keys
from lightmail.objects.backends import ObjectStore, open_store
from tests.support import snapshotting, storekit
from tests.support.imapworld import ImapWorld, IndexParts

NO_CACHES: Mapping[str, int] = {"index_octets": 0, "rendered_octets": 0, "body_octets": 0}


@dataclass(frozen=True)
class Condition:
    """``limits`` are keys of [limits]. Of several ``processes`` each serves some of the connections.

    Where they are about snapshots, ``indexes`` makes those of a server in this process, which reads through a store
    that ``wrap`` has wrapped; around a real server, ``spoil`` is done to what it has written: None takes it away.
    """

    name: str
    limits: Mapping[str, int] = field(default_factory=dict)
    wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store
    indexes: Callable[[IndexParts], Indexes] | None = None
    spoil: Callable[[bytes], bytes | None] | None = None
    processes: int = 1


SMALLEST_CACHES = Condition("smallest-caches", limits=NO_CACHES)
TWO_PROCESSES = Condition("two-processes", processes=2)
# Indexes go with their last session, and each SELECT after that loads from a snapshot, or would.
WRITTEN_ALWAYS = Condition("snapshots-written-always", NO_CACHES, indexes=snapshotting.always)
STALE = Condition("snapshots-stale", NO_CACHES, indexes=snapshotting.once)
DAMAGED = Condition(
    "snapshots-damaged", NO_CACHES, snapshotting.Damaging, snapshotting.always, partial(snapshotting.flipped, at=0.5)
)
DAMAGED_CHUNKS = Condition(
    "chunks-damaged", NO_CACHES, partial(snapshotting.Damaging, suffix=keys.CHUNK), snapshotting.always
)
ABSENT = Condition("snapshots-absent", NO_CACHES, snapshotting.Refusing, snapshotting.always, lambda _: None)
CONDITIONS = (SMALLEST_CACHES, TWO_PROCESSES, WRITTEN_ALWAYS, STALE, DAMAGED, DAMAGED_CHUNKS, ABSENT)


class Site:
    """The processes of one site, as one server: a `tests.support.transcript.Server`."""

    def __init__(self, worlds: list[ImapWorld]) -> None:
        self._worlds = worlds
        self._turns = cycle(worlds)

    @property
    def port(self) -> int:
        """Where the next connection goes: they are dealt out in turn."""
        return next(self._turns).port

    def add_account(self, address: str, password: str, quota_octets: int = 0) -> None:
        """As `ImapWorld.add_account`."""
        self._worlds[0].add_account(address, password, quota_octets)


@contextmanager
def open_site(
    condition: Condition,
    directory: Path,
    *,
    config: ImapConfig | None = None,
    limits: Mapping[str, int] | None = None,
) -> Iterator[Site]:
    """IMAP servers under a condition, in this process; several stand on MariaDB, one on SQLite."""
    with ExitStack() as stack:
        rows: DatabaseConfig | None = None
        if condition.processes > 1:
            rows = stack.enter_context(storekit.fresh_config("mariadb", directory))
        shared: dict[str, Any] = {
            "config": config or ImapConfig(),
            "limits": replace(LimitsConfig(), **condition.limits, **(limits or {})),
            "store": condition.wrap(open_store(StorageConfig(driver="memory"), None)),
            "rows": rows,
        }
        if condition.indexes is not None:
            shared["make_indexes"] = condition.indexes
        hearers: list[Notifier] = []
        worlds: list[ImapWorld] = []
        for _ in range(condition.processes):
            world = ImapWorld(directory, hearers=hearers, **shared).open()
            stack.callback(world.close)
            worlds.append(world)
        yield Site(worlds)
