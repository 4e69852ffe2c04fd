"""Who wants to know that a mailbox changed, in this process.

A hint is no promise: it may be early, late, doubled or lost. Whoever gets one pulls the changes from the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from twisted.logger import Logger

from lightmail.model import MailboxId

Wake: TypeAlias = Callable[[], None]

# The modification sequence to hint at for a mailbox that no longer exists: whoever pulls will find out.
GONE: Final = (1 << 63) - 1

log = Logger()


class Watch:
    """One interest in one mailbox, until `close`."""

    __slots__ = ("_notifier", "mailbox", "wake")

    def __init__(self, notifier: Notifier, mailbox: MailboxId, wake: Wake | None) -> None:
        self._notifier: Notifier | None = notifier
        self.mailbox: Final = mailbox
        self.wake: Final = wake

    def close(self) -> None:
        """No wakes from now on, not even for a hint that has been given already. Closing twice does nothing."""
        if self._notifier is not None:
            self._notifier._forget(self)
            self._notifier = None


class _Watched:
    """What is known of a watched mailbox: who watches it, and the highest modification sequence heard of."""

    __slots__ = ("modseq", "pending", "watches")

    def __init__(self) -> None:
        self.modseq = 0
        self.pending = False
        self.watches: dict[Watch, None] = {}


class Notifier:
    """Passes hints to the sessions of this process. All methods belong to the reactor's thread.

    Wakes come in a later turn of the reactor, so that whoever made a change has its answer first; hints that come in
    one turn make one wake. Memory is bound to the number of open watches.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._mailboxes: dict[MailboxId, _Watched] = {}

    def watch(self, mailbox: MailboxId, wake: Wake | None) -> Watch:
        """Call `wake` after changes to `mailbox`; it must be quick, and pull later what it wants to know.

        None: nobody is to be woken, `latest` is to be known.
        """
        watched = self._mailboxes.get(mailbox)
        if watched is None:
            watched = self._mailboxes[mailbox] = _Watched()
        watch = Watch(self, mailbox, wake)
        watched.watches[watch] = None
        return watch

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        """Hint that `mailbox` has reached `modseq`; what was heard before changes nothing."""
        watched = self._mailboxes.get(mailbox)
        if watched is None or modseq <= watched.modseq:
            return
        watched.modseq = modseq
        if not watched.pending and any(watch.wake is not None for watch in watched.watches):
            watched.pending = True
            self._reactor.callLater(0, self._wake, watched)

    def latest(self, mailbox: MailboxId) -> int:
        """The highest modification sequence that was hinted at while `mailbox` is watched; 0 for none."""
        watched = self._mailboxes.get(mailbox)
        return watched.modseq if watched is not None else 0

    def watched(self) -> list[MailboxId]:
        """The mailboxes that anybody watches."""
        return list(self._mailboxes)

    def _wake(self, watched: _Watched) -> None:
        watched.pending = False
        for watch in list(watched.watches):
            if watch.wake is None or watch not in watched.watches:
                continue  # closed by a wake before it
            try:
                watch.wake()
            except Exception:
                log.failure("a session could not be told of a change to mailbox {mailbox}", mailbox=watch.mailbox)

    def _forget(self, watch: Watch) -> None:
        watched = self._mailboxes.get(watch.mailbox)
        if watched is None:
            return
        watched.watches.pop(watch, None)
        if not watched.watches:
            del self._mailboxes[watch.mailbox]
