"""Where the messages of an open mailbox come from: a mailbox of the store, or one of the `Deleted` tree.

A `SelectedMailbox` is the same for both, and so is all that reads messages through its index. What differs is here: how
the index is kept up to date, who says that it is behind, what becomes of a message that is copied, what may be changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from lightmail.errors import ReadOnly
from lightmail.operations import copy as operations

if TYPE_CHECKING:
    from lightmail.errors import MailError
    from lightmail.imap.services import ImapServices
    from lightmail.index.mailbox import MailboxIndex
    from lightmail.model import Account, MailboxId
    from lightmail.notify.hints import Wake
    from lightmail.operations.copy import Copied


class Watching(Protocol):
    """An interest in changes, to be closed once it is not wanted any more."""

    def close(self) -> None: ...


class Origin(Protocol):
    """What a `SelectedMailbox` stands on, until `release`.

    ``gives_up``: whoever copies a message takes it out, so that COPY and MOVE are one, and MOVE is no change.
    """

    @property
    def index(self) -> MailboxIndex: ...

    @property
    def gives_up(self) -> bool: ...

    async def refresh(self, *, force: bool) -> None:
        """Bring the index level with what is known of the store; with `force`, with the store itself. MailError."""

    def watch(self, wake: Wake) -> Watching:
        """Call `wake` when `refresh` may find something, until the watch is closed."""

    async def transfer(self, uids: Sequence[int], destination: MailboxId, *, moving: bool) -> Copied:
        """Copy or move messages. Raises MailError."""

    def refusal(self) -> MailError:
        """What to say to those who want to change what is read-only."""

    def release(self) -> None:
        """Let go of everything."""


class StoreMailbox:
    """A mailbox of the store; its index is shared by all sessions of this process."""

    gives_up: Final = False

    def __init__(self, services: ImapServices, account: Account, index: MailboxIndex) -> None:
        self.index: Final = index
        self._services = services
        self._account = account

    async def refresh(self, *, force: bool) -> None:
        """Bring the shared index up to date."""
        await self._services.indexes.refresh(self.index, force=force)

    def watch(self, wake: Wake) -> Watching:
        """Hints at the mailbox."""
        return self._services.notifier.watch(self.index.mailbox, wake)

    async def transfer(self, uids: Sequence[int], destination: MailboxId, *, moving: bool) -> Copied:
        """COPY or MOVE."""
        transfer = operations.move if moving else operations.copy
        return await transfer(self._services.transactions, self._account, self.index.mailbox, uids, destination)

    def refusal(self) -> MailError:
        """It was opened by EXAMINE."""
        return ReadOnly()

    def release(self) -> None:
        """Give the index back."""
        self._services.indexes.release(self.index)
