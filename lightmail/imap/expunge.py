r"""EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lightmail.imap.commands import OK, SELECT, Command, Completion, no_arguments
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Tokens
from lightmail.model import DELETED
from lightmail.operations.expunge import expunge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightmail.imap.server import ImapServer


def _read_uids(tokens: Tokens) -> SequenceSet:
    tokens.sp()
    numbers = tokens.sequence_set()
    tokens.end()
    return numbers


async def _expunge(session: ImapServer, uids: Sequence[int] | None) -> Completion:
    r"""Remove what is \Deleted, of `uids` or of the whole mailbox, and tell it: these EXPUNGEs are not held back."""
    selected = session.mbox
    assert selected is not None
    gone = await expunge(session.services.transactions, selected.account, selected.mailbox.id, uids)
    selected.applied(gone.change)
    await session.tell(may_expunge=True)
    return OK


async def run_expunge(session: ImapServer, args: None) -> Completion:
    r"""Remove all messages that are \Deleted."""
    if session.mbox is not None:
        session.mbox.check_writable()
    return await _expunge(session, None)


async def run_uid_expunge(session: ImapServer, numbers: SequenceSet) -> Completion:
    r"""Remove the messages of a set that are \Deleted."""
    selected = session.mbox
    assert selected is not None
    selected.check_writable()
    await selected.refresh()
    rows = selected.rows(numbers, by_uid=True)
    uids = [uid for uid, bits in zip(rows.uids, rows.flags, strict=True) if bits & DELETED]
    return await _expunge(session, uids) if uids else OK


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"EXPUNGE", SELECT, no_arguments, run_expunge, uses_seqs=True),
    Command(b"UID EXPUNGE", SELECT, _read_uids, run_uid_expunge, capabilities=(b"UIDPLUS",)),
)
