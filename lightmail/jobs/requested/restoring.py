"""The job that restores deleted messages: what a filter chooses, batch after batch, each in a transaction of its own.

A message that is back is chosen by no filter any more, so that a job which is started again does the rest. What is
deleted after it was asked for is left alone: nobody meant that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError

from lightmail.errors import NoSuchAccount, OverQuota
from lightmail.flights import Flight
from lightmail.jobs.requested.work import NAMED, Hands, Told, Work
from lightmail.model import AccountId
from lightmail.operations import undelete as operations
from lightmail.operations.undelete import Outcome, Plan
from lightmail.operations.undelete_choice import choice
from lightmail.store import accounts


async def undelete(hands: Hands, work: Work) -> dict[str, Any]:
    """Restore deleted messages of an account."""
    tx = hands.transactions
    account = await tx.database.read("jobs", accounts.by_id_txn, AccountId(work.arguments["account_id"]))
    if account is None:
        raise NoSuchAccount
    filters, into = choice(work.arguments)
    filters = replace(filters, until_us=min(filters.until_us, work.asked_us + 1))
    planned = await operations.plan(tx, account, filters, into)
    told = _Restoring(work.told, planned)
    restoring = Flight(operations.restore(tx, work.asker, account, filters, planned, told.heard, told.outcome))
    try:
        await told.until_landed(restoring)
    except OverQuota:
        work.told.came(told.result(full=True))
        raise
    return told.result(ended=True)


class _Restoring:
    """What is told of a job that restores what is planned, and its end where it is not wanted any more."""

    def __init__(self, told: Told, planned: Plan) -> None:
        self.outcome = Outcome()
        self._told = told
        self._planned = planned
        self._seen = 0
        self._unwanted = False

    def heard(self, count: int) -> None:
        """So many more were restored, or found gone. CancelledError, to end it, where it is not wanted any more."""
        self._seen += count
        self._told.count(self.outcome.into, self._seen, self._planned.messages)
        self._told.came(self.result())
        if self._unwanted:
            raise CancelledError

    async def until_landed(self, restoring: Flight[Outcome]) -> None:
        """Wait until it has ended. Who waits may be cancelled: it goes on to the end of its batch, which is counted."""
        try:
            await restoring.result()
        except CancelledError:
            self._unwanted = True
            await restoring.result()

    def result(self, *, full: bool = False, ended: bool = False) -> dict[str, Any]:
        """What came of it: messages that are back, that had no room any more, and that were gone when it came to them.

        With `full`, what is left has no room; with `ended`, what is left was gone, too.
        """
        seen = self._planned.messages if ended else self._seen
        mailboxes = [{"mailbox": name, "restored": count} for name, count in self.outcome.restored.items()]
        return {
            "restored": self.outcome.messages,
            "over_quota": max(self._planned.messages - seen, 0) if full else 0,
            "gone": max(seen - self.outcome.messages, 0),
            "mailboxes": mailboxes[:NAMED],
        }
