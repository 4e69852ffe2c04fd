"""The store under test: a database of each kind, operations on it, and blobs that need no object store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, gatherResults

from lightmail.config import DatabaseConfig
from lightmail.errors import AlreadyExists
from lightmail.model import FIXED_FLAGS, Account, Mailbox, MailboxId, Rendering, StoredBlob
from lightmail.operations.accounts import add_account
from lightmail.operations.append import NewMessage, append
from lightmail.operations.domains import add_domain
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, mailboxes, messages
from lightmail.store.database import Database, open_database
from lightmail.store.messages import Snapshot
from tests.support import mariadb
from tests.support.actors import OPERATOR
from tests.support.reactor import run

T = TypeVar("T")

NOW_US = 1_700_000_000_000_000
_serial = count(1)

BACKENDS = [
    "sqlite",
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    *(["dsn"] if os.environ.get("LIGHTMAIL_TEST_DSN") else []),
]


class Heard:
    """Hints, as they came."""

    def __init__(self) -> None:
        self.hints: list[tuple[MailboxId, int]] = []

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        self.hints.append((mailbox, modseq))


def blob(octets: int = 1000, header: bytes = b"Subject: x\r\n\r\n", born_us: int | None = None) -> StoredBlob:
    """A blob as the object store would have returned it just now."""
    key = f"emails/ab/{next(_serial):08d}-{os.urandom(8).hex()}.eml.zst"
    born = time.time_ns() // 1000 if born_us is None else born_us
    rendering = Rendering(
        1, b"(NIL)", b'("TEXT")', header, b"\x00\x01", b"\x02", NOW_US, "x", "x", "a\udc80", "b", "", "", "<i@x>", ""
    )
    return StoredBlob(key, born, octets, octets // 2, "zstd", os.urandom(32), b"", rendering)


@dataclass
class Store:
    """One database with its operations."""

    database: Database
    tx: Transactions
    heard: Heard = field(default_factory=Heard)

    def account(self, quota_octets: int = 0, quota_messages: int = 0) -> Account:
        """A new account."""
        address = f"user{next(_serial)}@example.org"
        return run(add_account(self.tx, OPERATOR, address, "hash", quota_octets, quota_messages))

    def mailbox(self, account: Account, name: str = "INBOX") -> Mailbox:
        """A mailbox as it stands now."""
        found = run(self.database.read("test", mailboxes.by_name_txn, account.id, name))
        assert found is not None
        return found

    def names(self, account: Account) -> list[str]:
        return [mailbox.name for mailbox in run(self.database.read("test", mailboxes.list_txn, account.id))]

    def fill(self, account: Account, name: str, flags: Sequence[tuple[bytes, ...]], octets: int = 1000) -> MailboxId:
        """Append a message for each tuple of flags, in one go; the mailbox."""
        mailbox = self.mailbox(account, name).id
        new = [NewMessage(blob(octets), names, NOW_US) for names in flags]
        run(append(self.tx, account, mailbox, new))
        return mailbox

    def snapshot(self, mailbox: MailboxId) -> Snapshot:
        return run(self.database.read("test", messages.all_txn, mailbox))

    def uids(self, mailbox: MailboxId) -> list[int]:
        return [row[1] for row in self.snapshot(mailbox).rows]

    def flags(self, mailbox: MailboxId) -> dict[int, set[bytes]]:
        """Each message's flags by name."""
        found = self.snapshot(mailbox)
        names = dict(found.keywords) | dict(enumerate(FIXED_FLAGS))
        return {row[1]: {names[bit] for bit in names if row[3] >> bit & 1} for row in found.rows}

    def usage(self, account: Account) -> tuple[int, int]:
        found = run(self.database.read("test", accounts.usage_txn, account.id))
        return found.octets, found.messages

    def count(self, sql: str, *params: Any) -> int:
        """One number that a statement returns."""

        def read(cursor: Any) -> int:
            cursor.execute(sql, params)
            return int(cursor.fetchone()[0])

        return run(self.database.read("test", read))

    def rows(self, sql: str, *params: Any) -> Sequence[tuple[Any, ...]]:
        """What a statement returns."""

        def read(cursor: Any) -> Sequence[tuple[Any, ...]]:
            cursor.execute(sql, params)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return found

        return run(self.database.read("test", read))

    def execute(self, sql: str, *params: Any) -> None:
        """Change rows behind the operations' back."""
        run(self.database.run("test", lambda cursor: cursor.execute(sql, params)))

    def trips(self, name: str) -> int:
        """Round trips of the calls of that name so far."""
        return self.database.round_trips[name]


def together(*coroutines: Coroutine[Deferred[Any], Any, T]) -> list[T | BaseException]:
    """What each coroutine gave or raised, all of them begun in the same turn of the reactor."""

    async def begin() -> list[T | BaseException]:
        def caught(failure: Any) -> BaseException:
            error: BaseException = failure.value
            return error

        return list(await gatherResults([Deferred.fromCoroutine(each).addErrback(caught) for each in coroutines]))

    return run(begin())


@contextmanager
def open_store(
    config: DatabaseConfig, wrap: Callable[[Database], Database] = lambda database: database
) -> Iterator[Store]:
    """A store on a migrated database; `wrap` may put trouble between it and the operations."""
    database = open_database(config)

    async def begin() -> Transactions:
        await database.start()
        await database.migrate()
        await database.check()
        return Transactions(wrap(database), heard)

    heard = Heard()
    tx = run(begin())
    with suppress(AlreadyExists):
        run(add_domain(tx, OPERATOR, "example.org"))
    try:
        yield Store(database, tx, heard)
    finally:
        run(database.stop())


@contextmanager
def fresh_config(kind: str, directory: Path, **changes: Any) -> Iterator[DatabaseConfig]:
    """A database of that kind with nothing in it."""
    if kind == "sqlite":
        settings = {"driver": "sqlite", "path": str(directory / f"{next(_serial)}.sqlite"), "pool_size": 8}
        yield DatabaseConfig(**{**settings, **changes})
        return
    if kind == "mariadb" and not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    server = mariadb.server() if kind == "mariadb" else mariadb.other()
    assert server is not None
    name = server.fresh_database()
    try:
        yield server.config(name, **changes)
    finally:
        server.drop(name)
