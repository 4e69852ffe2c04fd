"""When and from where app passwords were last used, written down every minute: no login waits for it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred

from lightmail.auth.uses import LastUses
from lightmail.errors import MailError
from lightmail.operations.app_passwords import note_uses
from lightmail.rounds import Rounds
from lightmail.store.database import Database

_INTERVAL_SECONDS: Final = 60.0
_DEADLINE_SECONDS: Final = 30.0


class AppPasswordUses(Rounds):
    """Writes `uses` down every minute, and once more when it stops."""

    def __init__(self, database: Database, uses: LastUses, *, reactor: Any) -> None:
        self._write = partial(note_uses, database, uses)
        super().__init__(
            self._write,
            reactor=reactor,
            interval_seconds=_INTERVAL_SECONDS,
            deadline_seconds=_DEADLINE_SECONDS,
            trouble="the last uses of app passwords cannot be written down",
            recovery="the last uses of app passwords are written down again",
        )

    def stopService(self) -> Deferred[None]:
        """Stop; the result fires when what was used until now is written down, or cannot be."""
        stopping = super().stopService()

        async def end() -> None:
            if stopping is not None:
                await stopping
            with suppress(MailError):
                await self._write()

        return Deferred.fromCoroutine(end())
