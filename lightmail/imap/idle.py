"""IDLE (RFC 2177): changes are sent as they happen, until the client says DONE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail import traces
from lightmail.errors import MailError, NoSuchMailbox
from lightmail.imap.commands import AUTH, OK, Command, Completion, no_arguments
from lightmail.imap.tokens import Bad

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer

log = Logger()


async def _idle(session: ImapServer, args: None) -> Completion:
    selected = session.selected
    watch = selected.watch(session.wake) if selected is not None else None
    try:
        session.proceed(b"idling")
        line = session.take_line()
        while line is None:
            await _tell(session, selected)
            await session.sleep()
            line = session.take_line()
    finally:
        if watch is not None:
            watch.close()
    if line.strip().upper() != b"DONE":
        raise Bad("Expected DONE")
    return OK


async def _tell(session: ImapServer, selected: SelectedMailbox | None) -> None:
    known = selected.view.exists if selected is not None else 0
    try:
        updates = await session.sync(may_expunge=True)
    except NoSuchMailbox:
        session.bye(b"The selected mailbox has been deleted")
    except MailError as error:
        # The next hint, or the poll's, brings it all.
        log.debug("{session} cannot be told of changes now: {error}", session=session.id, error=error)
    else:
        if selected is not None and updates.exists is not None:
            _note(session, selected, updates.exists + len(updates.expunged) - known)


def _note(session: ImapServer, selected: SelectedMailbox, new: int) -> None:
    """Say in the log that the client has been told of new messages, under the traces of their deliveries, too."""
    if new > 0:
        uid_at, last = selected.view.uid_at, selected.view.exists
        told = map(uid_at, range(last - min(new, traces.MOST) + 1, last + 1))
        log.info(
            "told {address} of {new} new messages in mailbox {mailbox}, up to UID {uid}",
            address=session.owner.address,
            new=new,
            mailbox=selected.mailbox.id,
            uid=uid_at(last),
            session=session.id,
            trace=traces.joined((session.id, selected.index.arrivals.of(told))),
        )


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"IDLE", AUTH, no_arguments, _idle, capabilities=(b"IDLE",), barrier=True),
)
