"""COPY and MOVE, and their UID forms (RFC 3501 section 6.4.7, RFC 6851), with COPYUID (RFC 4315)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lightmail.errors import ExpungeIssued, NoSuchDestination
from lightmail.imap import deleted
from lightmail.imap.commands import SELECT, Command, Completion
from lightmail.imap.sequences import SequenceSet, write_set
from lightmail.imap.tokens import Tokens
from lightmail.store.mailboxes import by_name_txn

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer
    from lightmail.model import MailboxId
    from lightmail.operations.copy import Copied

_NOTHING: Final = Completion(text=b"There was nothing to copy")


@dataclass(frozen=True, slots=True)
class CopyArgs:
    """Which messages, and the name of the mailbox they go to."""

    numbers: SequenceSet
    destination: str


def read_copy(tokens: Tokens) -> CopyArgs:
    """``SP sequence-set SP mailbox``"""
    tokens.sp()
    numbers = tokens.sequence_set()
    tokens.sp()
    destination = tokens.mailbox()
    tokens.end()
    return CopyArgs(numbers, destination)


async def _destination(session: ImapServer, name: str) -> MailboxId:
    found = await session.services.database.read("copy target", by_name_txn, session.owner.id, name)
    if found is None:
        await deleted.refuse(session.services, session.owner, name)
        raise NoSuchDestination
    return found.id


def _copyuid(copied: Copied) -> bytes:
    return b"COPYUID %d %b %b" % (copied.uidvalidity, write_set(copied.source_uids), write_set(copied.uids))


async def run_copy(session: ImapServer, args: CopyArgs, by_uid: bool) -> Completion:
    """Copy all of the messages or none; those that were expunged meanwhile are no longer there to be copied."""
    selected = session.mbox
    assert selected is not None
    uids = selected.rows(args.numbers, by_uid).uids
    destination = await _destination(session, args.destination)
    if not uids:
        return _NOTHING
    copied = await selected.transfer(uids, destination, moving=False)
    if copied.uids:
        return Completion(code=_copyuid(copied))
    if by_uid:
        return _NOTHING
    raise ExpungeIssued


async def run_move(session: ImapServer, args: CopyArgs, by_uid: bool) -> Completion:
    """Move the messages. COPYUID comes before the EXPUNGEs, which belong to the command and are not held back."""
    selected = session.mbox
    assert selected is not None
    if not selected.gives_up:
        selected.check_writable()
    uids = selected.rows(args.numbers, by_uid).uids
    destination = await _destination(session, args.destination)
    if not uids:
        return _NOTHING
    moved = await selected.transfer(uids, destination, moving=True)
    if moved.uids:
        selected.applied(moved.change)
        session.untagged(b"OK", b"[%b]" % _copyuid(moved), b"Moved")
    elif not by_uid:
        raise ExpungeIssued
    await session.tell(may_expunge=True)
    return Completion() if moved.uids else _NOTHING


COMMANDS: Final[tuple[Command[CopyArgs], ...]] = (
    Command(b"COPY", SELECT, read_copy, partial(run_copy, by_uid=False), uses_seqs=True),
    Command(b"UID COPY", SELECT, read_copy, partial(run_copy, by_uid=True)),
    Command(b"MOVE", SELECT, read_copy, partial(run_move, by_uid=False), uses_seqs=True, capabilities=(b"MOVE",)),
    Command(b"UID MOVE", SELECT, read_copy, partial(run_move, by_uid=True)),
)
