"""A whole IMAP server in the test process: real SQLite, a memory object store, a loopback port of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bcrypt
from twisted.internet import reactor as installed_reactor

from lightmail.app.certificates import Certificates
from lightmail.auth.login import Authenticator
from lightmail.config import ClamavConfig, DatabaseConfig, ImapConfig, LimitsConfig, StorageConfig
from lightmail.imap.factory import ImapFactory
from lightmail.imap.services import ImapServices
from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.registry import Indexes
from lightmail.index.rendered import RenderedCache
from lightmail.model import Account, MailboxId
from lightmail.notify.hints import Notifier
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.cache import MemoryCache
from lightmail.objects.spool import Spools
from lightmail.operations.accounts import add_account
from lightmail.operations.domains import add_domain
from lightmail.operations.transactions import Transactions
from lightmail.scanning import Scanner
from lightmail.store import accounts, credentials, domains
from lightmail.store.database import Database, open_database
from lightmail.threads import BoundedPool
from tests.support import certificates
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run

reactor: Any = installed_reactor


@cache
def certificate() -> Certificates:
    """A self-signed certificate; making the key takes a moment, so it is made once."""
    with TemporaryDirectory() as directory:
        return certificates.certificate(Path(directory))


class _ToAll:
    """Hints reach every process of a site, as they would over a bus."""

    def __init__(self, hearers: Sequence[Notifier]) -> None:
        self._hearers = hearers

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        for each in self._hearers:
            each.changed(mailbox, modseq)


@dataclass(frozen=True)
class IndexParts:
    """What indexes, and those who write their snapshots, stand on; `octets` bounds the indexes that nobody holds."""

    database: Database
    notifier: Notifier
    octets: int
    transactions: Transactions
    store: ObjectStore
    pool: BoundedPool
    reader: ChunkReader


@dataclass
class ImapWorld:
    """A server and what it stands on. Make it with `open_world`; `close` stops all of it.

    ``port`` takes plain text; clients come from 127.0.0.1, and so may log in without TLS. Without ``rows`` there is a
    SQLite file in ``directory``. Worlds on the same rows and the same store are processes of one site: they share
    nothing else, but that a change is hinted at to all whose notifiers are in the same ``hearers``.
    """

    directory: Path
    config: ImapConfig = field(default_factory=ImapConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    clamav: ClamavConfig = field(default_factory=ClamavConfig)
    with_tls: bool = True
    store: ObjectStore = field(default_factory=lambda: open_store(StorageConfig(driver="memory"), None))
    rows: DatabaseConfig | None = None
    hearers: list[Notifier] = field(default_factory=list)
    port: int = 0
    # What the indexes read through, given the database.
    index_reads: Callable[[Database], Any] = lambda database: database
    # The indexes, given what they stand on.
    make_indexes: Callable[[IndexParts], Indexes] = lambda parts: Indexes(
        parts.database, parts.notifier, parts.octets, reactor=reactor
    )

    def open(self) -> ImapWorld:
        """Start everything."""
        run(self._open())
        return self

    def close(self) -> None:
        """Stop everything."""
        run(self._close())

    def add_account(self, address: str, password: str, quota_octets: int = 0) -> None:
        """Make an account with its usual mailboxes, and its domain where there is none."""
        # A cheap hash: what hashing costs is no part of these tests.
        run(self._add_account(address, bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode(), quota_octets))

    def account(self, address: str) -> Account:
        """The account of an address."""
        found = run(self.database.read("account", accounts.by_address_txn, address))
        assert found is not None
        return found[0]

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """The result of `fn`, called in the reactor's thread."""
        return call(fn, *args)

    def drain(self, seconds: float) -> None:
        """End all sessions, as a server that stops does."""
        run(self.factory.drain(seconds))

    async def _open(self) -> None:
        limits = self.limits
        rows = self.rows or DatabaseConfig(driver="sqlite", path=str(self.directory / "mail.sqlite"))
        self.database: Database = open_database(rows, reactor=reactor)
        await self.database.start()
        await self.database.migrate()
        self._pools = [BoundedPool(name, 4, 100, reactor=reactor) for name in ("objects", "passwords")]
        for pool in self._pools:
            pool.start()
        self.notifier = Notifier(reactor)
        self.hearers.append(self.notifier)
        self.transactions = Transactions(self.database, _ToAll(self.hearers), reactor=reactor)
        self.spools = Spools(self._pools[0], str(self.directory))
        reader = ChunkReader(self.store, self._pools[0], reactor=reactor)
        self.scanner = Scanner(self.clamav, reactor=reactor)
        await self.scanner.start()
        self.services = ImapServices(
            config=self.config,
            limits=limits,
            authenticator=Authenticator(
                lambda address, secret: self.database.read("login", credentials.find_txn, address, secret),
                self._pools[1],
                reactor=reactor,
            ),
            database=self.database,
            transactions=self.transactions,
            blobs=Blobs(self.store, self._pools[0], memory=MemoryCache(limits.body_octets)),
            spools=self.spools,
            scanner=self.scanner,
            indexes=self.make_indexes(
                IndexParts(
                    self.index_reads(self.database),
                    self.notifier,
                    limits.index_octets,
                    self.transactions,
                    self.store,
                    self._pools[0],
                    reader,
                )
            ),
            rendered=RenderedCache(self.database, limits.rendered_octets, reader),
            notifier=self.notifier,
            tls=certificate() if self.with_tls else None,
        )
        self.factory = ImapFactory(self.services)
        self._listener = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.port = self._listener.getHost().port

    async def _close(self) -> None:
        await self._listener.stopListening()
        await self.factory.drain(5)
        await self.scanner.stop()
        for pool in self._pools:
            await pool.stop()
        await self.database.stop()

    async def _add_account(self, address: str, password_hash: str, quota_octets: int) -> None:
        domain = address.rpartition("@")[2]
        if await self.database.read("domains", domains.by_name_txn, domain) is None:
            await add_domain(self.transactions, OPERATOR, domain)
        await add_account(self.transactions, OPERATOR, address, password_hash, quota_octets=quota_octets)
