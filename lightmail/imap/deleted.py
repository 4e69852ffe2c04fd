"""The `Deleted` tree over IMAP: read-only mailboxes that show what was expunged, and from which COPY restores.

``Deleted/INBOX`` shows what was expunged from INBOX. The tree is there where ``[imap] deleted_tree`` says so and the
account has no mailbox of its own called `Deleted` or below that. It is listed to those who ask for it by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredLock

from lightmail.errors import Cannot, MailError, NoSuchMailbox
from lightmail.imap.mailbox import SelectedMailbox
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.view import View
from lightmail.model import SEEN, Mailbox, MailboxId
from lightmail.operations import deleted as operations
from lightmail.store.mailboxes import MailboxStatus
from lightmail.turns import Turn

if TYPE_CHECKING:
    from lightmail.imap.services import ImapServices
    from lightmail.model import Account
    from lightmail.notify.hints import Wake, Watch
    from lightmail.operations.copy import Copied
    from lightmail.operations.deleted import Seen

# No mailbox of the store has this id.
_NOWHERE: Final = MailboxId(0)
# Rows taken before other work gets its turn: about 2 ms.
_SLICE: Final = 4000
_WILDCARDS: Final = ("*", "%")


class ShownOnly(Cannot):
    """A change to the `Deleted` tree, which only shows what can be restored."""

    text = "Deleted only shows what was deleted. Copy a message to another mailbox to restore it."


class _Waker:
    """One who wants to hear of changes, until `close`."""

    def __init__(self, wakes: dict[_Waker, Wake], wake: Wake) -> None:
        self._wakes = wakes
        wakes[self] = wake

    def close(self) -> None:
        """Hear no more."""
        self._wakes.pop(self, None)


class DeletedMailbox:
    """The origin of an open mailbox of the tree: it has an index of its own, and watches the mailboxes behind it."""

    gives_up: Final = True

    def __init__(self, services: ImapServices, account: Account, name: str, seen: Seen) -> None:
        self.index: Final = MailboxIndex(account.id, _NOWHERE)
        self._services = services
        self._account = account
        self._name = name
        self._seen = seen
        self._watches: dict[MailboxId, Watch] = {}
        self._wakes: dict[_Waker, Wake] = {}
        self._lock = DeferredLock()
        self._released = False

    async def begin(self) -> None:
        """Fill the index."""
        await self._take(self._seen)

    async def refresh(self, *, force: bool) -> None:
        """Look again where a hint says so; with `force`, in any case. Raises NoSuchMailbox, Unavailable."""
        if not force and not self._behind():
            return
        await self._lock.acquire()
        try:
            # Whoever had the lock before may have seen it all.
            if force or self._behind():
                await self._take(
                    await operations.again(self._services.transactions, self._account, self._name, self._seen)
                )
        finally:
            self._lock.release()

    def watch(self, wake: Wake) -> _Waker:
        """Hints at any of the mailboxes behind it."""
        return _Waker(self._wakes, wake)

    async def transfer(self, uids: Sequence[int], destination: MailboxId, *, moving: bool) -> Copied:
        """Restore messages; they leave the tree."""
        return await operations.take_out(
            self._services.transactions, self._account, self._name, self._seen, uids, destination
        )

    def refusal(self) -> MailError:
        """Nothing can be changed here."""
        return ShownOnly()

    def release(self) -> None:
        """Watch no more."""
        self._released = True
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def _behind(self) -> bool:
        latest = self._services.notifier.latest
        return any(latest(mailbox) > modseq for mailbox, modseq in self._seen.sources.items())

    async def _take(self, seen: Seen) -> None:
        """Bring the index to what was seen, in slices that leave the reactor time for others."""
        rows, index = seen.snapshot.rows, self.index
        if seen.snapshot is not self._seen.snapshot or not index.uidvalidity:
            turn = Turn(self._services.database.reactor)
            for start in range(0, len(rows) - _SLICE, _SLICE):
                index.take(rows[start : start + _SLICE])
                await turn.offer()
            index.replace(seen.snapshot)
        self._seen = seen
        if self._released:
            return
        for mailbox in seen.sources.keys() - self._watches.keys():
            self._watches[mailbox] = self._services.notifier.watch(mailbox, self._woken)
        for mailbox in self._watches.keys() - seen.sources.keys():
            self._watches.pop(mailbox).close()

    def _woken(self) -> None:
        for wake in list(self._wakes.values()):
            wake()


async def open_mailbox(services: ImapServices, account: Account, name: str) -> SelectedMailbox:
    """Open a mailbox of the tree; whoever asked releases it. Raises NoSuchMailbox, Unavailable."""
    seen = await _look(services, account, name)
    behind = operations.shown(name) or ""
    origin = DeletedMailbox(services, account, behind, seen)
    await origin.begin()
    snapshot = seen.snapshot
    row = Mailbox(
        id=_NOWHERE,
        account=account.id,
        name=name,
        uidvalidity=snapshot.uidvalidity,
        uidnext=snapshot.uidnext,
        highest_modseq=snapshot.highest_modseq,
        forgotten_modseq=0,
        recent_uid=snapshot.recent_uid,
        special_use=None,
    )
    return SelectedMailbox(services, account, row, origin, View(origin.index), read_only=True)


async def status(services: ImapServices, account: Account, name: str) -> MailboxStatus:
    """What STATUS tells of a mailbox of the tree. Raises NoSuchMailbox, Unavailable."""
    snapshot = (await _look(services, account, name)).snapshot
    return MailboxStatus(
        messages=len(snapshot.rows),
        recent=0,
        unseen=sum(not row[3] & SEEN for row in snapshot.rows),
        uidnext=snapshot.uidnext,
        uidvalidity=snapshot.uidvalidity,
        highest_modseq=snapshot.highest_modseq,
        octets=sum(row[4] for row in snapshot.rows),
    )


async def _look(services: ImapServices, account: Account, name: str) -> Seen:
    behind = operations.shown(name)
    if behind is None or not await _is_there(services, account, name):
        raise NoSuchMailbox
    return await operations.see(services.transactions, account, behind)


async def _is_there(services: ImapServices, account: Account, name: str) -> bool:
    """Whether a name belongs to the tree, for this account."""
    if not services.config.deleted_tree or not operations.inside(name):
        return False
    return not await operations.hidden(services.transactions, account)


async def refuse(services: ImapServices, account: Account, *names: str) -> None:
    """Raise ShownOnly if any of the names, which a change is asked for, belongs to the tree."""
    for name in names:
        if await _is_there(services, account, name):
            raise ShownOnly


async def listed(services: ImapServices, account: Account, pattern: str) -> list[Mailbox]:
    """The mailboxes of the tree with something to restore, for a pattern that begins with its name; else none."""
    head = pattern[: min((at for at in map(pattern.find, _WILDCARDS) if at >= 0), default=len(pattern))]
    if not services.config.deleted_tree or not head.startswith(operations.ROOT):
        return []
    make = partial(Mailbox, _NOWHERE, account.id)
    return [make(name, 0, 1, 0, 0, 0, None) for name in await operations.names(services.transactions, account)]
