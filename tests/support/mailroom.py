"""LMTP and POP3 servers in the test process: real SQLite, a memory object store that can fail, loopback ports."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import bcrypt
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from lightmail.app.certificates import Certificates
from lightmail.auth.login import Authenticator
from lightmail.config import ClamavConfig, DatabaseConfig, LimitsConfig, LmtpConfig, Pop3Config, StorageConfig
from lightmail.errors import Unavailable
from lightmail.index.registry import Indexes
from lightmail.lmtp.factory import LmtpFactory
from lightmail.lmtp.services import LmtpServices
from lightmail.model import INBOX, Account, ObjectId
from lightmail.notify.hints import Notifier
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.accounts import Change, add_account, change_account
from lightmail.operations.aliases import add_alias
from lightmail.operations.domains import add_domain
from lightmail.operations.mailboxes import create
from lightmail.operations.transactions import Transactions
from lightmail.pop3.factory import Pop3Factory
from lightmail.pop3.services import Pop3Services
from lightmail.scanning import Scanner
from lightmail.store import accounts, blobs, credentials, domains, mailboxes, messages
from lightmail.store.database import Database, open_database
from lightmail.threads import BoundedPool
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run

T = TypeVar("T")

reactor: Any = installed_reactor


class FailingStore:
    """An object store in memory; while `failing`, whatever it is asked ends in Unavailable."""

    def __init__(self) -> None:
        self.inner: ObjectStore = open_store(StorageConfig(driver="memory"), None)
        self.remote = self.inner.remote
        self.failing = False

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self._check()
        self.inner.put(key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        self._check()
        return self.inner.read(key, start, stop)

    def size(self, key: str) -> int | None:
        return self.inner.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        self.inner.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        return self.inner.keys(prefix, after, limit)

    def check(self) -> None:
        self.inner.check()

    def _check(self) -> None:
        if self.failing:
            raise Unavailable


@dataclass
class Mailroom:
    """Servers and what they stand on. `open` starts all, `close` stops all."""

    directory: Path
    lmtp: LmtpConfig = field(default_factory=LmtpConfig)
    pop3: Pop3Config = field(default_factory=Pop3Config)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    clamav: ClamavConfig = field(default_factory=ClamavConfig)
    tls: Certificates | None = None
    spool_octets: int = 2 << 30

    def open(self) -> Mailroom:
        """Start everything."""
        run(self._open())
        return self

    def close(self) -> None:
        """Stop everything."""
        run(self._close())

    # What is put in

    def add_account(self, address: str, password: str, quota_octets: int = 0) -> None:
        """Make an account with its usual mailboxes, and its domain where there is none."""
        # A cheap hash: what hashing costs is no part of these tests.
        cheap = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        run(self._add_account(address, cheap, quota_octets))

    def add_alias(self, address: str, target: str) -> None:
        """Let an address lead to another."""
        run(add_alias(self.transactions, OPERATOR, address, target))

    def disable(self, address: str) -> None:
        """Disable an account."""
        run(change_account(self.transactions, OPERATOR, self.account(address).id, Change(active=False)))

    def create(self, address: str, mailbox: str) -> None:
        """Make a mailbox."""
        run(create(self.transactions, self.account(address), mailbox))

    # What is found

    def account(self, address: str) -> Account:
        """The account of an address."""
        found = run(self.database.read("account", accounts.by_address_txn, address))
        assert found is not None
        return found[0]

    def mail(self, address: str, mailbox: str = INBOX) -> list[bytes]:
        """The messages in a mailbox, by UID, as they are stored."""
        return run(self._mail(address, mailbox))

    def objects(self) -> list[str]:
        """The keys of all objects."""
        return self.store.keys("emails")

    def begin(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """A coroutine begun in the reactor's thread; its Deferred belongs there."""
        # Within a list, or `call` would wait for its result.
        return call(lambda: [Deferred.fromCoroutine(coroutine)])[0]

    def spooled_octets(self) -> int:
        """What spools hold just now."""
        return call(lambda: self.spools._taken)

    # Inside

    async def _open(self) -> None:
        self.database: Database = open_database(
            DatabaseConfig(driver="sqlite", path=str(self.directory / "mail.sqlite")), reactor=reactor
        )
        await self.database.start()
        await self.database.migrate()
        self._pools = [BoundedPool(name, 4, 100, reactor=reactor) for name in ("objects", "passwords")]
        for pool in self._pools:
            pool.start()
        self.store = FailingStore()
        self.spools = Spools(self._pools[0], str(self.directory), total_octets=self.spool_octets)
        self.blobs = Blobs(self.store, self._pools[0])
        notifier = Notifier(reactor)
        self.transactions = Transactions(self.database, notifier, reactor=reactor)
        self.authenticator = Authenticator(
            lambda address, secret: self.database.read("login", credentials.find_txn, address, secret),
            self._pools[1],
            reactor=reactor,
        )
        self.scanner = Scanner(self.clamav, reactor=reactor)
        await self.scanner.start()
        self.lmtp_services = LmtpServices(
            "mx.example.org",
            self.lmtp,
            self.limits,
            self.database,
            self.transactions,
            self.blobs,
            self.spools,
            self.scanner,
            reactor,
        )
        self.pop3_services = Pop3Services(
            self.pop3,
            self.limits,
            self.authenticator,
            self.database,
            self.transactions,
            self.blobs,
            Indexes(self.database, notifier, 1 << 24, reactor=reactor),
            reactor,
            self.tls,
        )
        self.lmtp_factory = LmtpFactory(self.lmtp_services)
        self.pop3_factory = Pop3Factory(self.pop3_services)
        factories = (self.lmtp_factory, self.pop3_factory)
        self._listeners = [reactor.listenTCP(0, factory, interface="127.0.0.1") for factory in factories]
        self.lmtp_port, self.pop3_port = (listener.getHost().port for listener in self._listeners)

    async def _close(self) -> None:
        for listener in self._listeners:
            await listener.stopListening()
        await self.lmtp_factory.drain(5)
        await self.pop3_factory.drain(5)
        await self.scanner.stop()
        for pool in self._pools:
            await pool.stop()
        await self.database.stop()

    async def _add_account(self, address: str, password_hash: str, quota_octets: int) -> None:
        domain = address.rpartition("@")[2]
        if await self.database.read("domains", domains.by_name_txn, domain) is None:
            await add_domain(self.transactions, OPERATOR, domain)
        await add_account(self.transactions, OPERATOR, address, password_hash, quota_octets=quota_octets)

    async def _mail(self, address: str, name: str) -> list[bytes]:
        found = await self.database.read("account", accounts.by_address_txn, address)
        assert found is not None
        account = found[0]
        mailbox = await self.database.read("mailbox", mailboxes.by_name_txn, account.id, name)
        assert mailbox is not None
        rows = (await self.database.read("messages", messages.all_txn, mailbox.id)).rows
        refs = await self.database.read("refs", blobs.refs_txn, account, [ObjectId(row[6]) for row in rows])
        return [await self.blobs.read(refs[ObjectId(row[6])]) for row in rows]


@dataclass(frozen=True)
class Door:
    """One of the ports, for transcripts."""

    room: Mailroom
    port: int

    def add_account(self, address: str, password: str, quota_octets: int = 0) -> None:
        """Make an account."""
        self.room.add_account(address, password, quota_octets)
