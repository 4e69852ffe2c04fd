"""What endpoints work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightmail.auth.login import Authenticator
from lightmail.config import Config
from lightmail.objects.backends import ObjectStore
from lightmail.objects.blobs import Blobs
from lightmail.operations.jobs import Desk
from lightmail.operations.transactions import Transactions
from lightmail.store.database import Database
from lightmail.threads import BoundedPool
from lightmail.web.api.figures import Figures
from lightmail.web.readiness import Readiness
from lightmail.webhooks import Receiver


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The parts of the server that endpoints call. `pool` has the threads for objects and files, `hashing` those for
    passwords. `receiver` is who is told of events. `started_us` is when the process started. `configuration` gives the
    configuration in force, which may change while the server runs. A page restores `at_once` messages while somebody
    waits for it, some seconds; a job restores more."""

    configuration: Callable[[], Config]
    database: Database
    transactions: Transactions
    objects: ObjectStore
    pool: BoundedPool
    hashing: BoundedPool
    blobs: Blobs
    authenticator: Authenticator
    readiness: Readiness
    figures: Figures
    desk: Desk
    receiver: Receiver
    started_us: int
    reactor: Any
    at_once: int = 2000

    @property
    def config(self) -> Config:
        """The configuration in force just now."""
        return self.configuration()
