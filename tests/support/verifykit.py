"""A store with real objects to break by hand, and verifying over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor

from lightmail.jobs.verify import Finding, Options, Report
from lightmail.model import INBOX, Account, BlobRef, MailboxId
from lightmail.objects.backends import ObjectStore
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.append import NewMessage, append
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import NOW_US, Store
from tests.support.verifying import findings

reactor: Any = installed_reactor

MESSAGE = b"From: ada@example.org\r\nSubject: octets\r\nMessage-ID: <%d@example.org>\r\n\r\nHello %d.\r\n"


@dataclass
class House:
    """Rows and objects; what is put in is as a server would have put it."""

    store: Store
    objects: ObjectStore
    pool: BoundedPool
    blobs: Blobs
    spools: Spools

    async def put_in(
        self, account: Account, mailbox: MailboxId, message: bytes, flags: Sequence[bytes] = (), date_us: int = NOW_US
    ) -> int:
        """Append a message; its UID."""
        spool = self.spools.new()
        try:
            for start in range(0, len(message), 1 << 16):
                spool.write(message[start : start + (1 << 16)])
                if spool.needs_flush:
                    await spool.flush()
            blob = await self.blobs.write(spool, internaldate_us=date_us, owners=[(account.uuid, mailbox)])
        finally:
            spool.close()
        stored = await append(self.store.tx, account, mailbox, [NewMessage(blob, tuple(flags), date_us)])
        return stored.uids[0]

    def fill(self, account: Account, name: str = INBOX, count: int = 3, octets: int = 0) -> MailboxId:
        """Append messages to a mailbox, with so many octets more; the mailbox."""
        mailbox = self.store.mailbox(account, name).id
        for number in range(count):
            run(self.put_in(account, mailbox, MESSAGE % (number, number) + noise(octets)))
        return mailbox

    def ref(self, mailbox: MailboxId, uid: int) -> tuple[int, BlobRef]:
        """The object of a message: its id and its row."""
        (row,) = self.store.rows(
            "SELECT o.id, o.object_key, o.octets, o.stored_octets, o.codec, o.sha256, o.frames"
            " FROM messages m JOIN objects o ON o.id = m.object WHERE m.mailbox = %s AND m.uid = %s",
            mailbox,
            uid,
        )
        return row[0], BlobRef(b"", row[1].decode(), row[2], row[3], row[4].decode(), row[5], row[6])

    def octets(self, key: str) -> bytes:
        """An object, whole."""
        return self.objects.read(key, 0, 1 << 30)

    def verify(self, **options: Any) -> tuple[Report, list[Finding]]:
        """What a run finds, begun anew."""
        return findings(self.store.tx, self.objects, options=Options(restart=True, **options))

    def kinds(self, **options: Any) -> set[str]:
        """The kinds of what a run finds."""
        report, found = self.verify(**options)
        assert set(report.counts) == {finding.kind for finding in found}
        return set(report.counts)


def noise(octets: int) -> bytes:
    """Lines of text that do not compress to nothing."""
    return b"".join(b"%064d line\r\n" % (number * number) for number in range(-(-octets // 71)))


@contextmanager
def open_house(store: Store, objects: ObjectStore, directory: Path) -> Iterator[House]:
    """A house over a store; its pool stops with it."""
    pool = BoundedPool("house", 4, 200, reactor=reactor)
    call(pool.start)
    try:
        yield House(store, objects, pool, Blobs(objects, pool), Spools(pool, str(directory)))
    finally:
        run(pool.stop())
