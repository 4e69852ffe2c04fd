"""Opening and closing a mailbox (RFC 3501 sections 6.3.1, 6.3.2, 6.4.1, 6.4.2; UNSELECT, RFC 3691)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lightmail.imap.commands import AUTH, OK, SELECT, Command, Completion, no_arguments
from lightmail.imap.sync import flag_lines, poll
from lightmail.imap.tokens import Tokens, mailbox_name
from lightmail.operations.expunge import expunge

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer


def _parse_name(tokens: Tokens) -> bytes:
    """The name as it was written: one that names nothing closes the mailbox that is open like any that is not there."""
    tokens.sp()
    name = tokens.astring()
    tokens.end()
    return name


async def _select(session: ImapServer, name: bytes) -> Completion:
    selected = await _open(session, name, read_only=False)
    return Completion(code=b"READ-ONLY" if selected.read_only else b"READ-WRITE")


async def _examine(session: ImapServer, name: bytes) -> Completion:
    await _open(session, name, read_only=True)
    return Completion(code=b"READ-ONLY")


async def _open(session: ImapServer, name: bytes, read_only: bool) -> SelectedMailbox:
    """Open `name` and say what is in it. A mailbox that was open is closed even where this fails (RFC 3501, 6.3.1)."""
    session.deselect()
    if session.account is None:
        raise RuntimeError("nobody is logged in")
    selected = await session.account.open(mailbox_name(name), read_only)
    session.select(selected)
    await session.write(_greeting(selected))
    return selected


def _greeting(selected: SelectedMailbox) -> bytes:
    index, view = selected.index, selected.view
    lines = flag_lines(index.keywords, selected.read_only)
    lines.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (view.exists, view.recent))
    unseen = index.first_unseen()
    if unseen:
        lines.append(b"* OK [UNSEEN %d] First unseen\r\n" % unseen)
    lines.append(b"* OK [UIDVALIDITY %d] UIDs valid\r\n" % index.uidvalidity)
    lines.append(b"* OK [UIDNEXT %d] Predicted next UID\r\n" % index.uidnext)
    return b"".join(lines)


async def _close(session: ImapServer, args: None) -> Completion:
    r"""Expunge without a word what is \Deleted, unless the mailbox is read-only, and leave it."""
    selected = session.selected
    if selected is not None and not selected.read_only:
        await expunge(session.services.transactions, selected.account, selected.mailbox.id, None)
    session.deselect()
    return OK


async def _unselect(session: ImapServer, args: None) -> Completion:
    session.deselect()
    return OK


async def _check(session: ImapServer, args: None) -> Completion:
    # What was answered OK is on disk already; clients use it as NOOP.
    await poll(session)
    return OK


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"SELECT", AUTH, _parse_name, _select),
    Command(b"EXAMINE", AUTH, _parse_name, _examine),
    Command(b"CLOSE", SELECT, no_arguments, _close),
    Command(b"UNSELECT", SELECT, no_arguments, _unselect, capabilities=(b"UNSELECT",)),
    Command(b"CHECK", SELECT, no_arguments, _check),
)
