"""Steps over rows alone: messages, mailboxes, accounts, keyword bits."""

from __future__ import annotations

from typing import Final

from lightmail.jobs.garbage.step import Done, Moment
from lightmail.operations import progress as job_progress
from lightmail.operations import purge, retire
from lightmail.operations.purge import Purged
from lightmail.operations.transactions import Transactions
from lightmail.store import keywords, progress

KEYWORDS: Final = "garbage/keywords"
# Keywords of mailboxes looked at in one batch.
_SLICE: Final = 2000


class RowSteps:
    """The steps over rows."""

    def __init__(self, tx: Transactions) -> None:
        self._tx = tx

    async def messages(self, moment: Moment) -> Done:
        """Remove messages that were expunged or moved away before the window, and condemn their objects."""
        return _done(await purge.purge_messages(self._tx, moment.undelete_us, moment.now_us, moment.batch))

    async def mailboxes(self, moment: Moment) -> Done:
        """Remove mailboxes and accounts that were deleted before the window."""
        return _done(await purge.purge_mailboxes(self._tx, moment.undelete_us, moment.now_us, moment.batch))

    async def keywords(self, moment: Moment) -> Done:
        """Look at crowded mailboxes for keyword bits that nothing uses, once a day, and free those that have rested."""
        freed = await retire.free(self._tx, moment.now_us, moment.batch)
        retired = await self._look(moment)
        return Done({"keyword bit freed": freed, "keyword retired": retired})

    async def _look(self, moment: Moment) -> int:
        database = self._tx.database
        state = await database.read("garbage", progress.read_txn, KEYWORDS) or {"after": 0, "began_us": moment.now_us}
        if state["after"] is None:
            if moment.now_us < state["began_us"] + retire.LOOK_AGAIN_US:
                return 0
            state = {"after": 0, "began_us": moment.now_us}
        end, crowded = await database.read(
            "crowded-mailboxes", keywords.crowded_txn, state["after"], _SLICE, retire.CROWDED
        )
        retired = 0
        for mailbox, account in crowded:
            retired += await retire.look(self._tx, account, mailbox, moment.now_us)
        await job_progress.write(database, KEYWORDS, {**state, "after": end})
        return retired


def _done(purged: Purged) -> Done:
    return Done(
        {
            "message": purged.messages,
            "mailbox": purged.mailboxes,
            "account": purged.accounts,
            "object condemned": purged.objects,
        }
    )
