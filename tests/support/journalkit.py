"""A store whose objects are real, its journal, and recoveries from its bucket into new databases."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet import reactor

from lightmail.config import StorageConfig
from lightmail.jobs.journal.segments import number_of, read_segment
from lightmail.jobs.journal.writer import Journal
from lightmail.jobs.recover.examine import Examiners
from lightmail.jobs.recover.run import Recovery, Report
from lightmail.jobs.recover.scratch import Scratch
from lightmail.model import FIXED_FLAGS, Account, MailboxId
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.writing import BlobWriter
from lightmail.operations.append import NewMessage, append
from lightmail.threads import BoundedPool
from tests.support import storekit
from tests.support.reactor import call, run
from tests.support.storekit import Store, fresh_config

# Of each account by its address: its own columns, its subscriptions, and each mailbox by its name.
Picture = dict[str, Any]


class Trouble:
    """An object store whose `put` calls `after` when the object is there: what it raises is what the caller sees."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.remote = store.remote
        self.after: Any = None

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self.store.put(key, body)
        if self.after is not None:
            self.after(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class Mailroom:
    """A store, its objects, and what makes journals and recoveries of them."""

    kind: str
    directory: Path
    store: Store
    objects: Trouble
    pool: BoundedPool
    stack: ExitStack
    accounts: list[Account] = field(default_factory=list)

    def journal(self, changes: int = 10_000, **more: int) -> Journal:
        """A writer of the journal, as another process would be."""
        make = partial(Journal, interval_seconds=60, changes=changes, **more)
        return call(make, self.store.database, self.objects, self.pool)

    def put(self, account: Account, mailbox: str, count: int = 1, flags: Sequence[bytes] = (), text: str = "") -> None:
        """Append messages to a mailbox, each with an object that names it."""
        box = self.store.mailbox(account, mailbox).id
        new = [NewMessage(self.blob(account, box, text), tuple(flags), storekit.NOW_US + n) for n in range(count)]
        run(append(self.store.tx, account, box, new))

    def blob(
        self,
        account: Account,
        mailbox: MailboxId,
        text: str = "",
        born_us: int | None = None,
        *,
        withheld: bool = False,
    ) -> Any:
        """An object for one message to that mailbox, and no row of it."""
        body = f"Subject: {os.urandom(4).hex()} {text}\r\n\r\n{text}\r\n".encode()
        writer = BlobWriter(self.objects, "zstd", 3, None)
        now_us = born_us or self.store.count("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")
        return writer.write(
            io.BytesIO(body),
            len(body),
            now_us=now_us,
            internaldate_us=7_000_000,
            owners=[(account.uuid, mailbox)],
            withheld=withheld,
        )

    def picture(self, store: Store | None = None) -> Picture:
        """What the rows of a store say, without ids, UIDVALIDITYs and MODSEQs."""
        return run((store or self.store).database.read("test", _picture))

    def segments(self) -> list[str]:
        """The keys of the journal's segments."""
        return [key for key in self.objects.keys("journal", "", 100_000) if number_of(key) is not None]

    def records(self) -> list[Any]:
        """All records of the journal, segment by segment."""
        return [list(read_segment(self.objects.read(key, 0, 1 << 30))) for key in self.segments()]

    def recover(self, **options: Any) -> tuple[Store, Report]:
        """Recover into a database of its own, which stays open until the test ends."""
        config = self.stack.enter_context(fresh_config(self.kind, self.directory))
        store = self.stack.enter_context(storekit.open_store(config))
        store.execute("DELETE FROM domains")
        return store, self.recover_into(store, **options)

    def recover_into(self, store: Store, **options: Any) -> Report:
        """Recover into that database."""
        scribe = BoundedPool("scratch", 1, 10, reactor=reactor)
        call(scribe.start)
        scratch = Scratch(str(self.directory))
        examiners = Examiners(StorageConfig(), None, self.objects, self.pool, 0)
        try:
            recovery = Recovery(self.objects, examiners, self.pool, scribe, scratch, _silent, **options)
            return run(recovery.run(store.tx))
        finally:
            examiners.close()
            run(scribe.stop())
            scratch.close()


def _silent(stage: str, done: int, total: int) -> None:
    pass


@contextmanager
def open_mailroom(kind: str, directory: Path, objects: ObjectStore | None = None) -> Iterator[Mailroom]:
    """A mailroom on a database of that kind; objects are in a directory unless others are given."""
    if objects is None:
        objects = open_store(StorageConfig(driver="directory", path=str(directory / "objects")), None)
    objects.check()
    pool = BoundedPool("objects", 4, 1000, reactor=reactor)
    call(pool.start)
    with ExitStack() as stack:
        config = stack.enter_context(fresh_config(kind, directory))
        store = stack.enter_context(storekit.open_store(config))
        try:
            yield Mailroom(kind, directory, store, Trouble(objects), pool, stack)
        finally:
            stack.close()
            run(pool.stop())


def _picture(cursor: Any) -> Picture:
    cursor.execute(
        "SELECT id, address, password_hash, active, quota_octets, quota_messages, deleted_at, uuid, full_name"
        " FROM accounts"
    )
    found: Picture = {}
    for id_, address, *columns in cursor.fetchall():
        cursor.execute("SELECT name FROM subscriptions WHERE account = %s ORDER BY name", (id_,))
        subscriptions = [row[0].decode() for row in cursor.fetchall()]
        cursor.execute(
            "SELECT name, secret_sha256, protocols, created_at FROM app_passwords WHERE account = %s ORDER BY name",
            (id_,),
        )
        subscriptions += [repr(row) for row in cursor.fetchall()]
        cursor.execute("SELECT octets, messages FROM account_usage WHERE account = %s", (id_,))
        usage = cursor.fetchone()
        cursor.execute("SELECT id, name, deleted_at, special_use, recent_uid FROM mailboxes WHERE account = %s", (id_,))
        boxes = {(row[1].decode(), row[2]): (row[0], row[3], *_messages(cursor, row[0])) for row in cursor.fetchall()}
        found[address.decode()] = (tuple(columns), subscriptions, tuple(usage), boxes)
    return found


def _messages(cursor: Any, mailbox: int) -> tuple[dict[int, Any], dict[int, Any]]:
    """The live messages of a mailbox, and those that can be undeleted, by UID."""
    cursor.execute("SELECT flag_bit, name FROM keywords WHERE mailbox = %s", (mailbox,))
    names = dict(enumerate(FIXED_FLAGS)) | dict(cursor.fetchall())
    cursor.execute(
        "SELECT m.uid, m.flags, m.internaldate_us, m.saved_us, m.octets, o.object_key, m.deleted_at FROM messages m"
        " JOIN objects o ON o.id = m.object WHERE m.mailbox = %s",
        (mailbox,),
    )
    live: dict[int, Any] = {}
    dead: dict[int, Any] = {}
    for uid, flags, *rest in cursor.fetchall():
        named = frozenset(names[bit].lower() for bit in names if flags >> bit & 1)
        (dead if rest[-1] else live)[uid] = (named, *rest)
    return live, dead
