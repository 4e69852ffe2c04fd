r"""An open mailbox: what a session has selected, and Twisted's mailbox contracts on it.

Our own server uses the attributes and `rows`; its FETCH, STORE and SEARCH do not pass through the contracts. Those are
a compatibility face, with which Twisted's stock ``IMAP4Server`` serves the same mail: ``IMailbox``, ``IMessageCopier``,
``ICloseableMailbox`` and ``ISearchableMailbox``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from time import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.mail import imap4
from zope.interface import implementer

from lightmail.errors import ExpungeIssued, MailError
from lightmail.imap import responses
from lightmail.imap.contracts import deferred
from lightmail.imap.fetch.upcoming import Trail
from lightmail.imap.flags import settable
from lightmail.imap.message import LastRead, StoredMessage
from lightmail.imap.search import find, read_search
from lightmail.imap.sequences import STAR, SequenceSet
from lightmail.imap.tokens import Bad, Tokens
from lightmail.mime.dates import parse_internaldate
from lightmail.model import HIERARCHY_DELIMITER, FlagMode
from lightmail.operations.append import NewMessage
from lightmail.operations.append import append as append_messages
from lightmail.operations.expunge import expunge as expunge_messages
from lightmail.operations.flags import store_flags
from lightmail.turns import Turn

if TYPE_CHECKING:
    from lightmail.imap.origins import Origin, Watching
    from lightmail.imap.services import ImapServices
    from lightmail.index.columns import Rows
    from lightmail.index.view import Updates, View
    from lightmail.model import Account, BlobRef, Mailbox, MailboxId, ObjectId
    from lightmail.notify.hints import Wake
    from lightmail.operations.copy import Copied
    from lightmail.store.messages import OwnChange

log = Logger()

_REFS_AT_ONCE: Final = 500
_SPOOL_OCTETS: Final = 1 << 16
_SEQUENCE_SET: Final = re.compile(rb"[0-9*:,]+")
# Twisted's modes of IMailbox.store.
_MODES: Final = {1: FlagMode.ADD, -1: FlagMode.REMOVE, 0: FlagMode.REPLACE}


@implementer(imap4.IMailbox, imap4.IMessageCopier, imap4.ICloseableMailbox, imap4.ISearchableMailbox)
class SelectedMailbox:
    """A mailbox that one session has open.

    ``account`` owns it, ``mailbox`` is its row as it was opened, ``index`` what the process knows of its messages,
    ``view`` the session's numbering of them; ``read_only`` says that it was opened by EXAMINE, or never can be changed.
    ``gives_up``: copying a message takes it out. ``trail`` is where it has read octets, ``ahead`` holds some that were
    read for commands to come.
    """

    def __init__(
        self,
        services: ImapServices,
        account: Account,
        mailbox: Mailbox,
        origin: Origin,
        view: View,
        read_only: bool,
    ) -> None:
        self.account: Final = account
        self.mailbox: Final = mailbox
        self.index: Final = origin.index
        self.gives_up: Final = origin.gives_up
        self.view: Final = view
        self.read_only: Final = read_only
        self.released = False
        self.trail: Final = Trail()
        self.ahead: Final = services.blobs.ahead()
        self._services = services
        self._origin = origin
        self._listeners: list[Any] = []
        self._watch: Watching | None = None

    def rows(self, numbers: SequenceSet, by_uid: bool) -> Rows:
        """What the index knows of the messages that a set names, ascending by number.

        UIDs that no message has are passed over (RFC 3501 section 6.4.8); Bad for sequence numbers that no message
        has, but for ranges that end in ``*``, by which clients ask for whatever is new.
        """
        if not by_uid and any(STAR not in pair and pair[1] > self.view.exists for pair in numbers.ranges):
            raise Bad("No such message")
        return self.view.rows(numbers.ranges, by_uid)

    async def refresh(self, *, force: bool = False) -> None:
        """Bring the index up to date; the view tells of it when it is asked for updates.

        With `force` the store is asked even where no hint came: what another process committed a moment ago shows.
        """
        await self._origin.refresh(force=force)

    def applied(self, change: OwnChange) -> bool:
        """Take over what an operation here has just changed, without reading it back; whether that could be."""
        return self._services.indexes.applied(self.index, change)

    def watch(self, wake: Wake) -> Watching:
        """Call `wake` when there may be something new, until the watch is closed."""
        return self._origin.watch(wake)

    def check_writable(self) -> None:
        """Raise the MailError that says why nothing can be changed, where that is so."""
        if self.read_only:
            raise self._origin.refusal()

    async def transfer(self, uids: Sequence[int], destination: MailboxId, *, moving: bool) -> Copied:
        """COPY or MOVE messages; those that are gone count for nothing. Raises MailError."""
        return await self._origin.transfer(uids, destination, moving=moving)

    def release(self) -> None:
        """Let go of the index, once."""
        if self.released:
            return
        self.released = True
        self.ahead.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._origin.release()

    # IMailbox: what it is

    def getFlags(self) -> list[str]:
        """The flags that messages here can have."""
        return [name.decode("ascii") for name in self.index.keywords.names]

    def getHierarchicalDelimiter(self) -> str:
        """The character between the levels of a mailbox name."""
        return HIERARCHY_DELIMITER

    def getUIDValidity(self) -> int:
        """While it is the same, UIDs mean the same messages."""
        return self.index.uidvalidity

    def getUIDNext(self) -> int:
        """The UID that the next message will have, or a lower one."""
        return self.index.uidnext

    def getUID(self, message: int) -> int:
        """The UID of a sequence number."""
        return self.view.uid_at(message)

    def getMessageCount(self) -> int:
        """How many messages there are."""
        return self.view.exists

    def getRecentCount(self) -> int:
        r"""How many messages are \Recent."""
        return self.view.recent

    def getUnseenCount(self) -> int:
        r"""How many messages are not \Seen."""
        return self.index.unseen

    def isWriteable(self) -> bool:
        """Whether it can be changed through this session."""
        return not self.read_only

    def requestStatus(self, names: Iterable[str]) -> dict[str, int]:
        """The STATUS items `names`."""
        return cast("dict[str, int]", imap4.statusRequestHelper(self, names))

    def destroy(self) -> None:
        """Nothing is to be cleaned up before a mailbox is deleted: ``IAccount.delete`` does it whole."""

    def close(self) -> None:
        """ICloseableMailbox: the session leaves it."""
        self.release()

    # IMailbox: listeners

    def addListener(self, listener: Any) -> None:
        """Tell an ``IMailboxListener`` of new messages and changed flags from now on."""
        self._listeners.append(listener)
        if self._watch is None and not self.released:
            self._watch = self.watch(self._woken)

    def removeListener(self, listener: Any) -> None:
        """Tell it no more; ValueError if it was not listening."""
        self._listeners.remove(listener)

    def _woken(self) -> None:
        Deferred.fromCoroutine(self._pull()).addErrback(
            lambda failure: log.failure("mailbox {mailbox} cannot be watched", failure, mailbox=self.mailbox.id)
        )

    async def _pull(self) -> None:
        """Tell the listeners what has changed; expunges wait, for they may not come outside a command."""
        try:
            await self.refresh()
        except MailError:
            return  # the next hint, or the poll, asks again
        if not self.released:
            self._tell(self.view.updates(may_expunge=False))

    def _tell(self, updates: Updates) -> None:
        for listener in list(self._listeners):
            if updates.exists is not None or updates.recent is not None:
                listener.newMessages(updates.exists, updates.recent)
            if updates.flags:
                listener.flagsChanged({seq: self._flag_names(bits) for seq, _, bits in updates.flags})

    def _flag_names(self, bits: int) -> list[str]:
        return self.index.flag_names(bits).decode("ascii").split()

    # IMailbox: messages

    def _rows(self, messages: imap4.MessageSet, uid: bool) -> Rows:
        """The messages of one of Twisted's sets, in which None stands for ``*``."""
        ranges = [tuple(STAR if number is None else number for number in pair) for pair in messages.ranges]
        return self.view.rows(cast("Sequence[tuple[int, int]]", ranges), bool(uid))

    @deferred
    async def fetch(self, messages: imap4.MessageSet, uid: bool) -> list[tuple[int, StoredMessage]]:
        """(sequence number, message) of each message in the set; their octets are read when they are asked for."""
        rows = self._rows(messages, uid)
        refs: dict[ObjectId, BlobRef] = {}
        for start in range(0, len(rows), _REFS_AT_ONCE):
            wanted = rows.objects[start : start + _REFS_AT_ONCE]
            refs.update(await self._services.rendered.refs(self.account, wanted))
        reader = LastRead(self._services.blobs)
        return [
            (rows.seqs[at], StoredMessage(self, rows.part(at, at + 1), refs[of], reader))
            for at, of in enumerate(rows.objects)
            if of in refs
        ]

    @deferred
    async def store(
        self, messages: imap4.MessageSet, flags: Iterable[str], mode: int, uid: bool
    ) -> dict[int, list[str]]:
        """Change flags (mode 1 adds, -1 removes, 0 replaces); sequence number to flags of each message in the set."""
        self.check_writable()
        names = settable(flag.encode("ascii", "replace") for flag in flags)
        rows = self._rows(messages, uid)
        if rows.uids:
            change = await store_flags(
                self._services.transactions, self.account, self.mailbox.id, rows.uids, _MODES[mode], names
            )
            self.applied(change)
            await self.refresh()
        now = self._rows(messages, uid)
        return {seq: self._flag_names(bits) for seq, bits in zip(now.seqs, now.flags, strict=True)}

    @deferred
    async def expunge(self) -> list[int]:
        r"""Remove the messages that are \Deleted; their sequence numbers, in the order to send them."""
        self.check_writable()
        gone = await expunge_messages(self._services.transactions, self.account, self.mailbox.id, None)
        self.applied(gone.change)
        await self.refresh()
        updates = self.view.updates(may_expunge=True)
        self._tell(updates)
        return list(updates.expunged)

    @deferred
    async def addMessage(self, message: BinaryIO, flags: Iterable[str | bytes] = (), date: bytes | None = None) -> int:
        """Append what `message`, a file, holds; its UID. `date` is an INTERNALDATE, None for now."""
        services = self._services
        names = settable(flag.encode("ascii", "replace") if isinstance(flag, str) else flag for flag in flags)
        moment_us = _moment_us(date)
        spool = services.spools.new()
        try:
            while octets := message.read(_SPOOL_OCTETS):
                spool.write(octets)
                if spool.needs_flush:
                    await spool.flush()
            owners = [(self.account.uuid, self.mailbox.id)]
            blob = await services.blobs.write(spool, internaldate_us=moment_us, owners=owners)
        finally:
            spool.close()
        new = NewMessage(blob, names, moment_us)
        appended = await append_messages(services.transactions, self.account, self.mailbox.id, [new])
        await self.refresh()
        self._tell(self.view.updates(may_expunge=False))
        return appended.uids[0]

    # IMessageCopier

    @deferred
    async def copy(self, messageObject: StoredMessage) -> int:
        """Copy a message that came from `fetch` of some mailbox of the same account into this one; its UID here."""
        source, uid = messageObject.mailbox, messageObject.getUID()
        copied = await source.transfer([uid], self.mailbox.id, moving=False)
        if not copied.uids:
            raise ExpungeIssued
        return copied.uids[0]

    # ISearchableMailbox

    @deferred
    async def search(self, query: Sequence[Any], uid: bool) -> list[int]:
        """Sequence numbers of the messages that match keys as the stock server parsed them; it makes UIDs of them."""
        criteria = read_search(Tokens([b" " + written(query)])).criteria
        if criteria is None:
            raise Bad("Unknown charset")
        turn = Turn(self._services.database.reactor)
        return await find(self._services, self, criteria, by_uid=False, turn=turn)


def _moment_us(date: bytes | str | None) -> int:
    if not date:
        return int(time() * 1_000_000)
    try:
        return parse_internaldate(date.encode("ascii") if isinstance(date, str) else date)
    except ValueError:
        raise Bad("Not a date-time") from None


def written(query: Sequence[Any]) -> bytes:
    """Search keys as the stock server parsed them, strings in nested lists, as they were on the wire, or nearly."""
    return b" ".join(b"(" + written(key) + b")" if isinstance(key, list | tuple) else _word(key) for key in query)


def _word(text: str | bytes) -> bytes:
    octets = text if isinstance(text, bytes) else text.encode("utf-8")
    return octets if _SEQUENCE_SET.fullmatch(octets) else responses.astring(octets)
