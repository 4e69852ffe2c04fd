"""The poll that repairs lost hints: once a second it asks the store how far the watched mailboxes have come.

It alone makes several processes on one store see each other's changes; with hints between them it only repairs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from lightmail.errors import MailError
from lightmail.model import MailboxId
from lightmail.notify.hints import GONE, Notifier

# Reads highest_modseq of mailboxes; those that are gone are missing from the answer.
ReadModseqs: TypeAlias = Callable[[Sequence[MailboxId]], Awaitable[Mapping[MailboxId, int]]]

# Mailboxes per statement.
_AT_ONCE: Final = 1024
_DEADLINE_SECONDS: Final = 30.0

log = Logger()


class Poll(Service):
    """Turns what `read_modseqs` says of the watched mailboxes into hints, every `interval_seconds`.

    The next round is timed from the end of the last, so a slow store is not asked faster than it answers. While the
    store does not answer the poll goes on trying, and logs the outage once and its end once. Those who watch a
    mailbox that the store no longer has are woken too, so that their pull finds out.
    """

    def __init__(
        self,
        notifier: Notifier,
        read_modseqs: ReadModseqs,
        *,
        reactor: Any,
        interval_seconds: float = 1.0,
    ) -> None:
        self._notifier = notifier
        self._read = read_modseqs
        self._reactor = reactor
        self._interval = interval_seconds
        self._timer: Any = None
        self._round: Deferred[None] | None = None
        self._failing = False

    def startService(self) -> None:
        """Begin to poll."""
        super().startService()  # type: ignore[no-untyped-call]
        self._schedule()

    def stopService(self) -> Deferred[None] | None:
        """Stop polling; fires when a round under way has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is None:
            return None
        ended: Deferred[None] = Deferred()
        self._round.addBoth(lambda _: ended.callback(None))
        self._round.cancel()
        return ended

    async def poll_once(self) -> None:
        """One round: ask for every watched mailbox and pass on what is new. Raises what the reading raises."""
        watched = self._notifier.watched()
        for start in range(0, len(watched), _AT_ONCE):
            wanted = watched[start : start + _AT_ONCE]
            modseqs = await self._read(wanted)
            for mailbox in wanted:
                self._notifier.changed(mailbox, modseqs.get(mailbox, GONE))

    def _schedule(self) -> None:
        if self.running:
            self._timer = self._reactor.callLater(self._interval, self._begin)

    def _begin(self) -> None:
        self._timer = None
        polling = Deferred.fromCoroutine(self.poll_once())
        polling.addTimeout(_DEADLINE_SECONDS, self._reactor)
        self._round = polling.addCallbacks(self._succeeded, self._failed)
        self._round.addBoth(self._ended)

    def _succeeded(self, _: None) -> None:
        if self._failing:
            self._failing = False
            log.info("changes to mailboxes are polled again")

    def _failed(self, failure: Any) -> None:
        if failure.check(CancelledError) and not self.running:
            return
        if self._failing:
            return
        self._failing = True
        if failure.check(MailError, TimeoutError):
            log.warn("changes to mailboxes cannot be polled: {error}", error=failure.value)
        else:
            log.failure("changes to mailboxes cannot be polled", failure=failure)

    def _ended(self, _: None) -> None:
        self._round = None
        self._schedule()
