"""Changes of flags by a session, told to its client or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from lightmail.errors import MailError
from lightmail.index.keywords import RECENT
from lightmail.index.view import combine
from lightmail.operations.flags import store_flags

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer
    from lightmail.index.columns import Rows
    from lightmail.model import FlagMode


async def change(
    session: ImapServer, selected: SelectedMailbox, rows: Rows, mode: FlagMode, flags: Sequence[bytes]
) -> int:
    """Change the flags of `rows`; how many messages that changed, 0 where it is not known. The next sync tells it.

    Raises a MailError when nothing was changed.
    """
    transactions, account, mailbox = session.services.transactions, selected.account, selected.mailbox.id
    done = await store_flags(transactions, account, mailbox, rows.uids, mode, flags)
    selected.applied(done)
    return done.changed


async def change_silently(
    session: ImapServer, selected: SelectedMailbox, rows: Rows, mode: FlagMode, flags: Sequence[bytes]
) -> None:
    """Change the flags of `rows`, as the view gave them just now, without a sync that tells it: the client knows.

    Where others have changed the same messages, and the client was not told, the sync tells both. Raises as `change`.
    """
    view = selected.view
    pending = view.pending()
    transactions, account, mailbox = session.services.transactions, selected.account, selected.mailbox.id
    done = await store_flags(transactions, account, mailbox, rows.uids, mode, flags)
    level = view.level
    if selected.applied(done) and level:
        view.follow()
        return
    if not all(map(selected.index.keywords.mask, flags)):
        with suppress(MailError):  # the flags are stored: at worst the client hears of them once more
            await selected.refresh()  # a keyword that was new to the mailbox has a bit now
    view.knows({uid: bits for uid, _, bits in outcome(selected, rows, mode, flags) if uid not in pending})


def outcome(
    selected: SelectedMailbox, rows: Rows, mode: FlagMode, flags: Sequence[bytes]
) -> Iterator[tuple[int, int, int]]:
    r"""UID and flags before and after a change, of each of `rows`, from before; ``\Recent`` is left out."""
    wanted = selected.index.bits(flags)
    for uid, bits in zip(rows.uids, rows.flags, strict=True):
        before = bits & ~RECENT
        yield uid, before, combine(before, mode, wanted)
