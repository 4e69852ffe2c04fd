"""The poll that repairs lost hints: once a second it asks the store how far the watched mailboxes have come.

It alone makes several processes on one store see each other's changes; with hints between them it only repairs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from lightmail.model import MailboxId
from lightmail.notify.hints import GONE, Notifier
from lightmail.rounds import Rounds

# Reads highest_modseq of mailboxes; those that are gone are missing from the answer.
ReadModseqs: TypeAlias = Callable[[Sequence[MailboxId]], Awaitable[Mapping[MailboxId, int]]]

# Mailboxes per statement.
_AT_ONCE: Final = 1024
_DEADLINE_SECONDS: Final = 30.0


class Poll(Rounds):
    """Turns what `read_modseqs` says of the watched mailboxes into hints, every `interval_seconds`.

    While the store does not answer the poll goes on trying. Those who watch a mailbox that the store no longer has are
    woken too, so that their pull finds out.
    """

    def __init__(
        self,
        notifier: Notifier,
        read_modseqs: ReadModseqs,
        *,
        reactor: Any,
        interval_seconds: float = 1.0,
    ) -> None:
        super().__init__(
            self.poll_once,
            reactor=reactor,
            interval_seconds=interval_seconds,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="changes to mailboxes cannot be polled",
            recovery="changes to mailboxes are polled again",
        )
        self._notifier = notifier
        self._read = read_modseqs

    async def poll_once(self) -> None:
        """One round: ask for every watched mailbox and pass on what is new. Raises what the reading raises."""
        watched = self._notifier.watched()
        for start in range(0, len(watched), _AT_ONCE):
            wanted = watched[start : start + _AT_ONCE]
            modseqs = await self._read(wanted)
            for mailbox in wanted:
                self._notifier.changed(mailbox, modseqs.get(mailbox, GONE))
