"""IDLE (RFC 2177): changes are sent as they happen, until the client says DONE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail.errors import MailError, NoSuchMailbox
from lightmail.imap.commands import AUTH, OK, Command, Completion, no_arguments
from lightmail.imap.tokens import Bad

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

log = Logger()


async def _idle(session: ImapServer, args: None) -> Completion:
    selected = session.selected
    watch = selected.watch(session.wake) if selected is not None else None
    try:
        session.proceed(b"idling")
        line = session.take_line()
        while line is None:
            await _tell(session)
            await session.sleep()
            line = session.take_line()
    finally:
        if watch is not None:
            watch.close()
    if line.strip().upper() != b"DONE":
        raise Bad("Expected DONE")
    return OK


async def _tell(session: ImapServer) -> None:
    try:
        await session.sync(may_expunge=True)
    except NoSuchMailbox:
        session.bye(b"The selected mailbox has been deleted")
    except MailError as error:
        # The next hint, or the poll's, brings it all.
        log.debug("{session} cannot be told of changes now: {error}", session=session.id, error=error)


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"IDLE", AUTH, no_arguments, _idle, capabilities=(b"IDLE",), barrier=True),
)
