"""How a process comes by an index that it does not have: from a snapshot and what changed since, or from all rows.

Either way the index is the same, level with the store. A snapshot only saves time, so nothing that is wrong with one,
and no store of objects that does not answer, is ever more than a reason to read the rows.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.snapshot import Damaged, Root, unpack
from lightmail.metrics import CACHE_HITS
from lightmail.model import Account, AccountId, Mailbox, MailboxId
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.store import epochs
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import Forgotten
from lightmail.store.messages import all_txn, changes_txn
from lightmail.store.snapshots import Pointer, standing_txn
from lightmail.threads import BoundedPool

log = Logger()

# A store of objects that takes longer costs more time than it saves, and is left alone for a while.
_READ_SECONDS: Final = 5.0
_AVOID_SECONDS: Final = 60.0


class RootReader(Protocol):
    """What reads roots. No mailbox with fewer than `messages` messages has a snapshot."""

    @property
    def messages(self) -> int: ...

    async def read(self, pointer: Pointer) -> Root | None:
        """The root that a row points to, None where it cannot be had."""


class Roots:
    """Reads roots from a store of objects, in its `pool`. Methods belong to the reactor's thread.

    No mailbox with fewer than `messages` messages has a snapshot: its rows are read sooner.
    """

    def __init__(self, store: ObjectStore, pool: BoundedPool, messages: int, *, reactor: Any) -> None:
        self.messages: Final = messages
        self._store = store
        self._pool = pool
        self._reactor = reactor
        self._avoided_until = 0.0

    async def read(self, pointer: Pointer) -> Root | None:
        """See `RootReader`."""
        if self._reactor.seconds() < self._avoided_until:
            return None
        try:
            reading = Deferred.fromCoroutine(self._pool.run(_read, self._store, pointer))
            root: Root = await reading.addTimeout(_READ_SECONDS, self._reactor)
        except ObjectMissing:
            result, why = "missing", "its object is not in the store"
        except Damaged as error:
            result, why = "damaged", str(error)
        except (MailError, WaitedTooLong):
            result, why = "unavailable", "the object store does not answer"
            self._avoided_until = self._reactor.seconds() + _AVOID_SECONDS
        else:
            return root
        CACHE_HITS.labels("snapshot", result).inc()
        log.info("snapshot {key} cannot be used: {why}", key=pointer.key, why=why)
        return None


def _read(store: ObjectStore, pointer: Pointer) -> Root:
    root = unpack(store.read(pointer.key, 0, pointer.octets), pointer.sha256)
    if (root.epoch, root.uidvalidity, root.modseq) != (pointer.epoch, pointer.uidvalidity, pointer.modseq):
        raise Damaged("it is not of the moment that its row names")
    return root


class Loader:
    """Loads indexes; without `roots`, from rows alone."""

    def __init__(self, database: Database, roots: RootReader | None = None) -> None:
        self._database = database
        self._roots = roots

    async def load(self, account: Account, mailbox: Mailbox) -> MailboxIndex:
        """The index of a mailbox as it is now. Raises NoSuchMailbox, Unavailable."""
        database, roots = self._database, self._roots
        # There were never enough messages for a snapshot where so few UIDs were given out.
        if roots is None or mailbox.uidnext <= roots.messages:
            return await epochs.read(database, "index", _whole_txn, account.id, mailbox.id)
        begun = await epochs.read(database, "index", _begin_txn, account.id, mailbox.id)
        if isinstance(begun, MailboxIndex):
            return begun
        root = await roots.read(begun)
        if root is None:
            return await epochs.read(database, "index", _whole_txn, account.id, mailbox.id)
        if (root.account, root.mailbox) != (account.uuid, mailbox.id):
            CACHE_HITS.labels("snapshot", "damaged").inc()
            log.error("snapshot {key} is not of the mailbox whose row names it", key=begun.key)
            return await epochs.read(database, "index", _whole_txn, account.id, mailbox.id)
        return await epochs.read(database, "index", _level_txn, account.id, root, begun.key)


def _whole_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> MailboxIndex:
    """A mailbox's index from its rows; it is built where it is read, in a thread."""
    index = MailboxIndex(account, mailbox)
    index.replace(all_txn(cursor, mailbox))
    return index


def _begin_txn(cursor: Cursor, account: AccountId, mailbox: MailboxId) -> Pointer | MailboxIndex:
    """The row of a snapshot that serves, or, where there is none, the index from its rows at once."""
    standing = standing_txn(cursor, account, mailbox)
    pointer = standing.pointer if standing is not None else None
    if standing is not None and pointer is not None and standing.serves(pointer):
        return pointer
    CACHE_HITS.labels("snapshot", "missing" if pointer is None else "stale").inc()
    return _whole_txn(cursor, account, mailbox)


def _level_txn(cursor: Cursor, account: AccountId, root: Root, key: str) -> MailboxIndex:
    """The index that a snapshot holds, level with the store; from its rows, where it cannot be made so."""
    index = MailboxIndex.restored(account, root, key)
    try:
        changes = changes_txn(cursor, root.mailbox, root.modseq, root.keyword_version)
    except Forgotten:
        changes = None
    # All that the row was judged by may be another by now.
    if (
        changes is None
        or (changes.epoch, changes.uidvalidity) != (root.epoch, root.uidvalidity)
        or changes.highest_modseq < root.modseq
    ):
        CACHE_HITS.labels("snapshot", "stale").inc()
        return _whole_txn(cursor, account, root.mailbox)
    CACHE_HITS.labels("snapshot", "hit").inc()
    index.apply(changes)
    return index
