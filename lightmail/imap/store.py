"""STORE and UID STORE (RFC 3501 section 6.4.6): one set-based change, then the flags as they are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lightmail.errors import MailError
from lightmail.imap.commands import OK, SELECT, Command, Completion
from lightmail.imap.fetch.items import FLAGS
from lightmail.imap.fetch.plan import INDEX_MESSAGES, make_plan
from lightmail.imap.fetch.render import answers
from lightmail.imap.fetch.window import Window, chosen
from lightmail.imap.flags import settable
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Bad, Tokens
from lightmail.index.keywords import RECENT
from lightmail.index.view import combine
from lightmail.model import FlagMode
from lightmail.operations.flags import store_flags

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer
    from lightmail.index.columns import Rows
    from lightmail.index.mailbox import MailboxIndex

_MODES: Final = {mode.value.encode("ascii"): mode for mode in FlagMode}


@dataclass(frozen=True, slots=True)
class StoreArgs:
    """Which messages' flags to change, how, and whether to keep silent about it (``.SILENT``)."""

    numbers: SequenceSet
    mode: FlagMode
    silent: bool
    flags: tuple[bytes, ...]


def read_store(tokens: Tokens) -> StoreArgs:
    """``SP sequence-set SP ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag)))``"""
    tokens.sp()
    numbers = tokens.sequence_set()
    tokens.sp()
    word = tokens.word()
    silent = word.endswith(b".SILENT")
    mode = _MODES.get(word.removesuffix(b".SILENT"))
    if mode is None:
        raise Bad("Unknown STORE item")
    tokens.sp()
    if tokens.peek() == b"(":
        flags = tokens.flag_list()
    else:
        flags = [tokens.flag()]
        while not tokens.at_end and tokens.skip(b" ") and not tokens.at_end:
            flags.append(tokens.flag())
    tokens.end()
    return StoreArgs(numbers, mode, silent, settable(flags))


async def run_store(session: ImapServer, args: StoreArgs, by_uid: bool) -> Completion:
    """Change the flags, and tell those of every message named unless silent.

    The changes are told by a sync, as are those that other sessions have made meanwhile; being silent is to say that
    the client knows its own. What was asked for but changed nothing is told here.
    """
    selected = session.mbox
    assert selected is not None
    selected.check_writable()
    rows = selected.rows(args.numbers, by_uid)
    if not rows.uids:
        return OK
    told = selected.view.told(rows.uids)
    await store_flags(
        session.services.transactions, selected.account, selected.mailbox.id, rows.uids, args.mode, args.flags
    )
    if args.silent:
        if not all(map(selected.index.keywords.mask, args.flags)):
            with suppress(MailError):  # the flags are stored: at worst the client hears of them once more
                await selected.refresh()  # a keyword that was new to the mailbox has a bit now
        selected.view.knows(_changed(selected, args, told))
    else:
        await session.tell(may_expunge=False)
        await _tell_unchanged(session, selected, rows, _changed(selected, args, told), by_uid)
    return OK


def _changed(selected: SelectedMailbox, args: StoreArgs, flags: Mapping[int, int]) -> dict[int, int]:
    """What the change makes of `flags` by UID, once its keywords are known."""
    bits = selected.index.bits(args.flags)
    return {uid: combine(before, args.mode, bits) for uid, before in flags.items()}


async def _tell_unchanged(
    session: ImapServer, selected: SelectedMailbox, rows: Rows, expected: Mapping[int, int], by_uid: bool
) -> None:
    """Send the flags of those messages that had them before already (`rows` is from before) and have them still.

    Where the sync brought other flags, from another session, it has told them.
    """
    index = selected.index
    before = zip(rows.uids, rows.flags, strict=True)
    same = [at for at, (uid, bits) in enumerate(before) if expected.get(uid) == bits & ~RECENT == _now(index, uid)]
    plan = make_plan((FLAGS,), with_uid=by_uid)
    for start in range(0, len(same), INDEX_MESSAGES):
        window = Window(chosen(rows, same[start : start + INDEX_MESSAGES]), selected.index.keywords.text)
        await session.write(b"".join(answers(plan, window)))


def _now(index: MailboxIndex, uid: int) -> int | None:
    position = index.position(uid)
    return index.columns.flags[position] if position >= 0 else None


COMMANDS: Final[tuple[Command[StoreArgs], ...]] = (
    Command(b"STORE", SELECT, read_store, partial(run_store, by_uid=False), uses_seqs=True),
    Command(b"UID STORE", SELECT, read_store, partial(run_store, by_uid=True)),
)
