"""An account as Twisted's IMAP contracts see it: ``IAccount`` and ``INamespacePresenter``.

The stock ``IMAP4Server`` can be given one (see :mod:`lightmail.imap.mailbox` for what that is good for); our own
server keeps it as the avatar of a session, and calls the operations by itself.

Methods answer Deferreds where the contract allows it. What fails does so with Twisted's exceptions. Names are taken as
text, or as modified UTF-7 octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.mail import imap4
from zope.interface import implementer

from lightmail.errors import NoSuchMailbox
from lightmail.imap import deleted, mutf7
from lightmail.imap.contracts import deferred
from lightmail.imap.mailbox import SelectedMailbox
from lightmail.imap.origins import StoreMailbox
from lightmail.imap.patterns import NamePattern, read_pattern
from lightmail.imap.tokens import mailbox_name
from lightmail.index.view import View
from lightmail.model import HIERARCHY_DELIMITER, Account, Mailbox
from lightmail.operations import mailboxes as operations
from lightmail.operations.select import claim_recent, first_recent
from lightmail.store import mailboxes as stored

if TYPE_CHECKING:
    from lightmail.imap.services import ImapServices


def _name(name: str | bytes) -> str:
    """A mailbox name of the contracts as the store spells it."""
    return mailbox_name(name if isinstance(name, bytes) else mutf7.encode(name))


@implementer(imap4.IMailboxInfo)
class MailboxInfo:
    """What LIST says of a mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def getFlags(self) -> list[str]:
        """The mailbox's attributes."""
        return [self._mailbox.special_use] if self._mailbox.special_use else []

    def getHierarchicalDelimiter(self) -> str:
        """The character between the levels of a name."""
        return HIERARCHY_DELIMITER


@implementer(imap4.IAccount, imap4.INamespacePresenter)
class MailAccount:
    """A logged-in account: ``owner`` is whose mail it is."""

    def __init__(self, services: ImapServices, owner: Account) -> None:
        self.owner = owner
        self._services = services
        self._subscribed: frozenset[str] | None = None
        self._opened: list[SelectedMailbox] = []

    async def open(self, name: str, read_only: bool) -> SelectedMailbox:
        """Open a mailbox, or one of the `Deleted` tree; whoever asked releases it. NoSuchMailbox."""
        services, owner = self._services, self.owner
        mailbox = await services.database.read("select", stored.by_name_txn, owner.id, name)
        if mailbox is None:
            return await deleted.open_mailbox(services, owner, name)
        recent = first_recent(mailbox)
        if recent and not read_only:
            recent = await claim_recent(services.transactions, owner, mailbox)
        index = await services.indexes.acquire(owner, mailbox)
        origin = StoreMailbox(services, owner, index)
        return SelectedMailbox(services, owner, mailbox, origin, View(index, recent), read_only)

    def logout(self) -> None:
        """Release every mailbox that `select` opened: the stock server closes but the last one, and not at its end."""
        while self._opened:
            self._opened.pop().release()

    # IAccount

    @deferred
    async def select(self, name: str | bytes, rw: bool = True) -> SelectedMailbox | None:
        """A mailbox, open until it is closed or the account logs out; None if there is none of that name."""
        try:
            mailbox = await self.open(_name(name), read_only=not rw)
        except NoSuchMailbox:
            return None
        self._opened = [other for other in self._opened if not other.released]
        self._opened.append(mailbox)
        return mailbox

    @deferred
    async def addMailbox(self, name: str | bytes, mbox: object = None) -> bool:
        """Make an empty mailbox; there is no way to bring one's own."""
        if mbox is not None:
            raise imap4.MailboxException("A mailbox cannot be brought in.")
        await operations.create(self._services.transactions, self.owner, _name(name))
        return True

    @deferred
    async def create(self, pathspec: str | bytes) -> bool:
        """Make a mailbox, and those above it."""
        name = _name(pathspec).removesuffix(HIERARCHY_DELIMITER)
        await operations.create(self._services.transactions, self.owner, name)
        return True

    @deferred
    async def delete(self, name: str | bytes) -> bool:
        """Delete a mailbox and the messages in it."""
        await operations.delete(self._services.transactions, self.owner, _name(name))
        return True

    @deferred
    async def rename(self, oldname: str | bytes, newname: str | bytes) -> bool:
        """Give a mailbox, and those below it, another name."""
        await operations.rename(self._services.transactions, self.owner, _name(oldname), _name(newname))
        return True

    @deferred
    async def subscribe(self, name: str | bytes) -> bool:
        """Put a name on the list of subscriptions."""
        self._subscribed = None
        await operations.subscribe(self._services.transactions, self.owner, _name(name))
        return True

    @deferred
    async def unsubscribe(self, name: str | bytes) -> bool:
        """Take a name off the list of subscriptions."""
        self._subscribed = None
        await operations.unsubscribe(self._services.transactions, self.owner, _name(name))
        return True

    def isSubscribed(self, name: str | bytes) -> bool | Deferred[bool]:
        """Whether a name is on the list, at once after `listMailboxes`: the stock LSUB takes a Deferred for yes."""
        if self._subscribed is not None:
            return _name(name) in self._subscribed
        return self._ask_subscribed(name)

    @deferred
    async def _ask_subscribed(self, name: str | bytes) -> bool:
        await self._read_subscriptions()
        return _name(name) in (self._subscribed or ())

    async def _read_subscriptions(self) -> None:
        names = await self._services.database.read("subscriptions", stored.subscriptions_txn, self.owner.id)
        self._subscribed = frozenset(names)

    @deferred
    async def listMailboxes(self, ref: str | bytes, wildcard: str | bytes) -> list[tuple[str, MailboxInfo]]:
        """(name, what LIST says of it) of each mailbox that matches."""
        pattern = read_pattern(_wire(ref), _wire(wildcard))
        if pattern is None:
            return []
        await self._read_subscriptions()
        mailboxes = await self._services.database.read("list", stored.list_txn, self.owner.id)
        wanted = NamePattern(pattern)
        return [(mailbox.name, MailboxInfo(mailbox)) for mailbox in mailboxes if wanted.matches(mailbox.name)]

    # INamespacePresenter

    def getPersonalNamespaces(self) -> list[list[bytes]]:
        """All of the account's mailboxes are in one namespace."""
        return [[b"", HIERARCHY_DELIMITER.encode("ascii")]]

    def getSharedNamespaces(self) -> None:
        """None are shared."""

    def getUserNamespaces(self) -> None:
        """Nobody else's are seen."""


def _wire(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else mutf7.encode(name)
