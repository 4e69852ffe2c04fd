"""A session's maildrop: INBOX as it was at login, under a lease that nobody else has meanwhile (RFC 1939 section 4)."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.failure import Failure
from zope.interface import implementer

from lightmail.errors import ExpungeIssued, MailError, NoSuchMailbox
from lightmail.model import INBOX, Account, BlobRef, Mailbox, ObjectId
from lightmail.operations import maildrop as operations
from lightmail.operations.leases import Lease
from lightmail.pop3.services import Pop3Services
from lightmail.pop3.stockfile import StockFile
from lightmail.store import blobs as store_blobs
from lightmail.store import mailboxes

log = Logger()

# A client that reads its messages in order gets the next small ones from memory: at most this many and this much.
_AHEAD_MESSAGES: Final = 32
_AHEAD_OCTETS: Final = 256 << 10
# How often a lease is offered to a database that did not take it back.
_RELEASE_SECONDS: Final = 3.0


@implementer(IMailboxPOP3)
class Maildrop:
    """The messages of one session, numbered from 0; open it with `open_maildrop`, and `close` it whatever happens.

    Messages that others expunge meanwhile keep their number and can be read as long as their objects are there.
    Twisted's stock POP3 server is served through IMailboxPOP3, ours through the rest.
    """

    def __init__(
        self,
        services: Pop3Services,
        account: Account,
        mailbox: Mailbox,
        lease: Lease,
        uids: array[int],
        sizes: array[int],
        objects: array[int],
    ) -> None:
        self.account = account
        self.sizes: Final = sizes
        self._services = services
        self._mailbox = mailbox
        self._lease = lease
        self._uids = uids
        self._objects = objects
        self._deleted: set[int] = set()
        self._refs: dict[int, BlobRef] = {}
        self._bodies: dict[int, bytes] = {}
        self._last_read = -1
        self._renewal = LoopingCall(self._renew)
        self._renewal.clock = services.reactor
        self._renewal.start(operations.RENEW_SECONDS, now=False)

    # What our server uses

    @property
    def count(self) -> int:
        """How many messages are not marked as deleted."""
        return len(self._uids) - len(self._deleted)

    @property
    def octets(self) -> int:
        """The sum of their sizes."""
        return sum(self.sizes) - sum(self.sizes[position] for position in self._deleted)

    def has(self, position: int) -> bool:
        """Whether there is a message at `position` that is not marked as deleted."""
        return 0 <= position < len(self._uids) and position not in self._deleted

    def positions(self) -> Iterator[int]:
        """The messages that are not marked as deleted."""
        return (position for position in range(len(self._uids)) if position not in self._deleted)

    async def chunks(self, position: int) -> AsyncGenerator[bytes, None]:
        """A message's octets. Raises MailError."""
        in_order, self._last_read = position == self._last_read + 1, position
        body = self._bodies.pop(position, None)
        if body is None and self.sizes[position] <= _AHEAD_OCTETS:
            body = await self._small(position, in_order)
        if body is not None:
            yield body
            return
        ref = await self._ref(position)
        async for chunk in self._services.blobs.chunks(ref):
            yield chunk

    async def update(self) -> None:
        """Expunge what is marked, all in one transaction, if the lease still holds. Raises MailError."""
        if not self._deleted:
            return
        uids = [self._uids[position] for position in sorted(self._deleted)]
        await operations.remove(self._services.transactions, self.account, self._mailbox.id, uids, self._lease)
        self._deleted.clear()

    async def close(self) -> None:
        """Give the lease back; nothing is removed. Closing again does nothing."""
        if not self._renewal.running:
            return
        self._renewal.stop()
        self._bodies.clear()
        self._refs.clear()
        try:
            await self._lease.release()
        except MailError as error:
            log.info("the lease of account {account} was not given back: {error}", account=self.account.id, error=error)
            Deferred.fromCoroutine(self._release_later()).addErrback(
                lambda failure: log.failure("the lease of account {account}", failure, account=self.account.id)
            )

    async def _release_later(self) -> None:
        """Give the lease back as soon as the database answers again, while it has not run out by itself."""
        reactor = self._services.reactor
        until = reactor.seconds() + operations.LEASE_SECONDS
        while reactor.seconds() < until:
            await deferLater(reactor, _RELEASE_SECONDS)
            with suppress(MailError):
                await self._lease.release()
                return

    # IMailboxPOP3, for Twisted's stock server

    def listMessages(self, i: int | None = None) -> int | list[int]:
        """The size of a message or of all, in octets; 0 for one that is marked as deleted."""
        if i is None:
            return [0 if p in self._deleted else size for p, size in enumerate(self.sizes)]
        self._check(i)
        return 0 if i in self._deleted else self.sizes[i]

    def getUidl(self, i: int) -> bytes:
        """The message's name for all time: a UID never comes back under one UIDVALIDITY."""
        self._check(i)
        return b"%d.%d" % (self._mailbox.uidvalidity, self._uids[i])

    def getMessage(self, i: int) -> Deferred[StockFile]:
        """A file of the message."""
        self._check(i)
        return Deferred.fromCoroutine(StockFile().fill(self.chunks(i)))

    def deleteMessage(self, i: int) -> None:
        """Mark a message."""
        self._check(i)
        self._deleted.add(i)

    def undeleteMessages(self) -> None:
        """Unmark all."""
        self._deleted.clear()

    def sync(self) -> Deferred[None]:
        """Expunge what is marked. The stock server does not wait for it, so a failure is logged here."""

        def failed(failure: Failure) -> None:
            log.failure("messages of account {account} were not removed", failure, account=self.account.id)

        return Deferred.fromCoroutine(self.update()).addErrback(failed)

    # Inside

    def _check(self, position: int) -> None:
        if not 0 <= position < len(self._uids):
            raise ValueError("no such message")

    async def _small(self, position: int, in_order: bool) -> bytes:
        """A small message, and into memory with it the small ones that a client reading in order asks for next."""
        wanted = [position]
        octets = self.sizes[position]
        if in_order:
            for after in range(position + 1, min(position + _AHEAD_MESSAGES, len(self._uids))):
                octets += self.sizes[after]
                if octets > _AHEAD_OCTETS:
                    break
                if after not in self._deleted:
                    wanted.append(after)
        await self._ref(position)  # looks up those behind it, too
        wanted = [each for each in wanted if each in self._refs]
        bodies = await self._services.blobs.read_many([(self._refs[each], 0, self.sizes[each]) for each in wanted])
        first, *others = bodies
        if isinstance(first, MailError):
            raise first
        self._bodies = {each: body for each, body in zip(wanted[1:], others, strict=True) if isinstance(body, bytes)}
        return first

    async def _ref(self, position: int) -> BlobRef:
        """Where a message is stored; those behind it are looked up along with it."""
        if position not in self._refs:
            positions = range(position, min(position + _AHEAD_MESSAGES, len(self._uids)))
            objects = [ObjectId(self._objects[p]) for p in positions]
            found = await self._services.database.read("refs", store_blobs.refs_txn, self.account, objects)
            self._refs = {p: found[ObjectId(self._objects[p])] for p in positions if self._objects[p] in found}
        if position not in self._refs:
            raise ExpungeIssued
        return self._refs[position]

    async def _renew(self) -> None:
        """Keep the lease. When it is lost the session may still read; its deletions will be refused."""
        try:
            if not await self._lease.renew():
                log.info("the lease of account {account} was lost", account=self.account.id)
        except MailError as error:
            log.info("the lease of account {account} was not renewed: {error}", account=self.account.id, error=error)
        except Exception:
            log.failure("the lease of account {account} was not renewed", account=self.account.id)


async def open_maildrop(services: Pop3Services, account: Account, owner: str) -> Maildrop:
    """Lock the account's maildrop for `owner` and take the snapshot. Raises InUse, Unavailable."""
    lease = await operations.lock(services.database, account, owner)
    try:
        mailbox = await services.database.read("inbox", mailboxes.by_name_txn, account.id, INBOX)
        if mailbox is None:
            raise NoSuchMailbox
        index = await services.indexes.acquire(account, mailbox)
        try:
            columns = index.columns
            uids, sizes, objects = columns.uids[:], columns.octets[:], columns.objects[:]
        finally:
            services.indexes.release(index)
    except BaseException:
        await lease.release()
        raise
    return Maildrop(services, account, mailbox, lease, uids, sizes, objects)
