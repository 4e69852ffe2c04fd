"""What every protocol of a running server stands on."""

from __future__ import annotations

from dataclasses import dataclass

from lightmail.auth.login import Authenticator
from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.loading import Roots
from lightmail.index.registry import Indexes
from lightmail.jobs.epochs import Epochs
from lightmail.jobs.journal.service import CountedHints
from lightmail.notify.hints import Notifier
from lightmail.objects.backends import ObjectStore
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.jobs import Desk
from lightmail.operations.transactions import Transactions
from lightmail.scanning import Scanner
from lightmail.store.database import Database
from lightmail.store.sessions import Process
from lightmail.threads import BoundedPool
from lightmail.web.readiness import Readiness
from lightmail.webhooks import Receiver


@dataclass(frozen=True, slots=True)
class Backends:
    """The backends, open. `pool` has the threads for objects and files, `hashing` those for passwords. `process`
    is this server among those of the store, `receiver` who is told of events."""

    database: Database
    transactions: Transactions
    epochs: Epochs
    notifier: Notifier
    indexes: Indexes
    roots: Roots | None
    reader: ChunkReader
    hints: CountedHints
    objects: ObjectStore
    pool: BoundedPool
    blobs: Blobs
    spools: Spools
    scanner: Scanner
    hashing: BoundedPool
    authenticator: Authenticator
    readiness: Readiness
    process: Process
    desk: Desk
    receiver: Receiver
