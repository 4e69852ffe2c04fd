"""Telling a session what has changed in its selected mailbox (RFC 3501 sections 5.2, 5.5 and 7.4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from lightmail.errors import MailError
from lightmail.index.view import NOTHING
from lightmail.operations.select import claim_recent

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer
    from lightmail.index.keywords import Keywords
    from lightmail.index.view import Flagged, Updates

_LINES_AT_ONCE: Final = 1000


async def poll(session: ImapServer) -> None:
    """Ask the store itself what is new, for a client that asks (RFC 3501 section 6.1.2): hints may be a second late.

    Never fails: what cannot be read now is told later.
    """
    if session.selected is not None:
        with suppress(MailError):
            await session.selected.refresh(force=True)


async def announce(
    session: ImapServer, selected: SelectedMailbox, may_expunge: bool, *, with_uids: bool = True
) -> Updates:
    """Bring the session's view of the mailbox up to date, and send what that changes; what was sent.

    Flags come with their messages' UIDs but where a client has just asked for them by sequence numbers.

    Costs next to nothing while nothing changes. Raises a MailError before anything is sent, or not at all.
    """
    index, view = selected.index, selected.view
    await selected.refresh()
    if view.unannounced and not selected.read_only:
        await _claim(session, selected)
    updates = view.updates(may_expunge)
    if updates is not NOTHING and updates:
        for piece in _pieces(updates, index.keywords, selected.read_only, with_uids):
            await session.write(piece)
    return updates


async def _claim(session: ImapServer, selected: SelectedMailbox) -> None:
    r"""Make the new messages \Recent here, if no other session was the first to be told of them.

    Of the many that may watch a mailbox in this process one asks the store: the others know without it.
    """
    index, last = selected.index, selected.index.uids[-1]
    if max(index.recent_uid, index.claimed) >= last:
        return
    index.claimed = last
    try:
        for uids in await claim_recent(session.services.transactions, selected.account, selected.mailbox):
            selected.view.add_recent(uids)
    except MailError:
        index.claimed = 0  # nobody has claimed them: they are \Recent for whoever comes next


def _pieces(updates: Updates, keywords: Keywords, read_only: bool, with_uids: bool) -> Iterator[bytes]:
    """The untagged responses that tell of `updates`, in pieces to be written one after another."""
    gone, flags = updates.expunged, updates.flags
    for start in range(0, len(gone), _LINES_AT_ONCE):
        yield b"".join([b"* %d EXPUNGE\r\n" % seq for seq in gone[start : start + _LINES_AT_ONCE]])
    lines = flag_lines(keywords, read_only) if updates.keywords_changed else []
    if updates.exists is not None:
        lines.append(b"* %d EXISTS\r\n" % updates.exists)
    if updates.recent is not None:
        lines.append(b"* %d RECENT\r\n" % updates.recent)
    if lines:
        yield b"".join(lines)
    for start in range(0, len(flags), _LINES_AT_ONCE):
        yield _flag_responses(flags.part(start, start + _LINES_AT_ONCE), keywords.text, with_uids)


def _flag_responses(flags: Flagged, text: Mapping[int, bytes], with_uids: bool) -> bytes:
    """A FETCH response for each message, all of them in one formatting: of what most STOREs change all is alike."""
    columns: list[Iterable[int | bytes]] = [flags.seqs, flags.uids] if with_uids else [flags.seqs]
    kinds = set(flags.bits)
    if len(kinds) == 1:
        names = text[kinds.pop()].replace(b"%", b"%%")
    else:
        names = b"%b"
        columns.append([text[bits] for bits in flags.bits])
    form = (b"* %d FETCH (UID %d FLAGS (" if with_uids else b"* %d FETCH (FLAGS (") + names + b"))\r\n"
    return form * len(flags) % tuple(chain.from_iterable(zip(*columns, strict=True)))


def flag_lines(keywords: Keywords, read_only: bool) -> list[bytes]:
    r"""The FLAGS response and the PERMANENTFLAGS code (RFC 3501 section 7.1), ``\*`` while keywords can be made."""
    names = b" ".join(keywords.names)
    if read_only:
        permanent = b""
    else:
        permanent = names if keywords.full else names + b" \\*"
    return [b"* FLAGS (%b)\r\n" % names, b"* OK [PERMANENTFLAGS (%b)] Flags that stay\r\n" % permanent]
