"""What can go wrong below a store function, told apart by what it means for the transaction.

`DuplicateKey` a function may handle itself. `Conflict` and `CommitUnknown` are for whoever runs transactions; beyond
that only `lightmail.errors.MailError` is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightmail.model import MailboxId


class DuplicateKey(Exception):
    """A unique key is taken. The statement did nothing; the transaction is still open and usable."""


class AlreadyThere(Exception):
    """The column or index that is to be added is there: an interrupted migration runs again."""


class Conflict(Exception):
    """The transaction was certainly rolled back, through no fault of its own; the whole may run again.

    `reason` is one of a few words for metrics: ``deadlock``, ``lock-wait``, ``lost-link``, ``busy``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CommitUnknown(Exception):
    """COMMIT was sent and its answer never came. `result` is what the transaction's function had returned."""

    def __init__(self, result: Any) -> None:
        super().__init__("the answer to COMMIT was lost")
        self.result = result


class Forgotten(Exception):
    """Changes since that MODSEQ can no longer be told one by one: read the mailbox anew."""


class OlderEpoch(Exception):
    """The counters of these mailboxes may repeat what a lost tail gave out: they must jump (`store.epochs`) first."""

    def __init__(self, mailboxes: Sequence[MailboxId]) -> None:
        super().__init__("mailboxes of an older epoch")
        self.mailboxes = mailboxes


class LostLink(Exception):
    """The connection broke before COMMIT was sent; the server rolls back what it had. `timed_out`: it went silent."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("connection lost")
        self.timed_out = timed_out
