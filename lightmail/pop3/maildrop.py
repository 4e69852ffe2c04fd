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
from lightmail.objects.ahead import AHEAD_MESSAGES, SMALL_OCTETS
from lightmail.operations import maildrop as operations
from lightmail.operations.leases import Lease
from lightmail.pop3.services import Pop3Services
from lightmail.pop3.stockfile import StockFile
from lightmail.store import blobs as store_blobs
from lightmail.store import mailboxes

log = Logger()

# A client that reads its messages in order gets the next small ones from memory, so much of them.
_AHEAD_OCTETS: Final = 512 << 10
# Places of so many messages are asked for at once.
_LOOK_UP_MESSAGES: Final = 256
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
        self._ahead = services.blobs.ahead()
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

    async def whole(self, position: int, most: int) -> bytes | None:
        """A message's octets, where they are no more than `most` and SMALL_OCTETS; else None. Raises MailError."""
        if self.sizes[position] > min(most, SMALL_OCTETS):
            return None
        in_order, self._last_read = position == self._last_read + 1, position
        return await self._small(position, await self._ref(position), in_order)

    async def chunks(self, position: int) -> AsyncGenerator[bytes, None]:
        """A message's octets. Raises MailError."""
        in_order, self._last_read = position == self._last_read + 1, position
        ref = await self._ref(position)
        if ref.octets <= SMALL_OCTETS:
            yield await self._small(position, ref, in_order)
            return
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
        self._ahead.close()
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

    async def _small(self, position: int, ref: BlobRef, in_order: bool) -> bytes:
        """A small message; with it those are read that a client which goes on in order asks for next."""

        async def following() -> list[BlobRef]:
            with suppress(MailError):
                await self._look_up(position + 1)
            return self._next_refs(position + 1)

        (body,) = await self._services.blobs.read_many(
            [(ref, 0, ref.octets)], self._ahead, following if in_order else None
        )
        if isinstance(body, MailError):
            raise body
        return body

    def _next_refs(self, position: int) -> list[BlobRef]:
        """Messages from `position` on whose places are known, as many as are to be read ahead."""
        refs: list[BlobRef] = []
        left = _AHEAD_OCTETS
        for after in range(position, min(position + AHEAD_MESSAGES, len(self._uids))):
            left -= self.sizes[after]
            if left < 0:
                break
            if after in self._refs and after not in self._deleted:
                refs.append(self._refs[after])
        return refs

    async def _ref(self, position: int) -> BlobRef:
        """Where a message is stored."""
        if position not in self._refs:
            await self._look_up(position)
        if position not in self._refs:
            raise ExpungeIssued
        return self._refs[position]

    async def _look_up(self, position: int) -> None:
        """Look up where the messages from `position` on are stored, unless the next ones are known to be read ahead."""
        positions = range(position, min(position + AHEAD_MESSAGES, len(self._uids)))
        if not positions or (position in self._refs and positions[-1] in self._refs):
            return
        positions = range(position, min(position + _LOOK_UP_MESSAGES, len(self._uids)))
        objects = [ObjectId(self._objects[p]) for p in positions]
        found = await self._services.database.read("refs", store_blobs.refs_txn, self.account, objects)
        self._refs = {p: found[ObjectId(self._objects[p])] for p in positions if self._objects[p] in found}

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
