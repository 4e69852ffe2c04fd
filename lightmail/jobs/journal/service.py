"""The journal as a service: a round every so often, or as soon as there is a segment's worth of changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from lightmail.config import JournalConfig
from lightmail.errors import MailError
from lightmail.jobs.journal.writer import Journal
from lightmail.model import MailboxId
from lightmail.objects.backends import ObjectStore
from lightmail.operations.transactions import Hints
from lightmail.rounds import Rounds
from lightmail.store.database import Database
from lightmail.threads import BoundedPool

log = Logger()

# The first round of a large store writes all of it.
_DEADLINE_SECONDS: Final = 6 * 3600.0
_LAST_ROUND_SECONDS: Final = 8.0
# What stopping takes at most.
JOURNAL_STOP_SECONDS: Final = 15.0


class CountedHints:
    """Passes hints on, and counts them: about so many changes were committed here."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._bound = 0
        self._count = 0
        self._full: Callable[[], None] | None = None

    def call_at(self, bound: int, full: Callable[[], None] | None) -> None:
        """Call `full` at every `bound` hints from now on; None: never."""
        self._bound, self._count, self._full = bound, 0, full

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        """The mailbox is at `modseq` now."""
        self._hints.changed(mailbox, modseq)
        self._count += 1
        if self._full is not None and self._count >= self._bound:
            self._count = 0
            self._full()


class JournalService:
    """Goes round until it is stopped, and once more then."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        pool: BoundedPool,
        config: JournalConfig,
        hints: CountedHints,
        *,
        reactor: Any,
    ) -> None:
        self._reactor = reactor
        self._hints = hints
        self._changes = config.segment_changes
        self._journal = Journal(
            database, store, pool, interval_seconds=config.interval_seconds, changes=config.segment_changes
        )
        self._rounds = Rounds(
            self._journal.round,
            reactor=reactor,
            interval_seconds=config.interval_seconds,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="the journal cannot be written",
            recovery="the journal is written again",
        )

    async def start(self) -> None:
        """Begin to go round."""
        self._hints.call_at(self._changes, self._rounds.hasten)
        self._rounds.startService()

    async def stop(self) -> None:
        """Stop. What sessions did last is journalled if that takes no longer than some seconds."""
        self._hints.call_at(0, None)
        stopping = self._rounds.stopService()
        if stopping is not None:
            await stopping
        try:
            await Deferred.fromCoroutine(self._journal.close()).addTimeout(_LAST_ROUND_SECONDS, self._reactor)
        except (MailError, WaitedTooLong) as error:
            log.warn("the journal's last round: {error!r}", error=error)
