"""STORE and UID STORE (RFC 3501 section 6.4.6): one set-based change, then the flags as they are."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lightmail.imap.commands import OK, SELECT, Command, Completion
from lightmail.imap.fetch.items import FLAGS
from lightmail.imap.fetch.plan import INDEX_MESSAGES, make_plan
from lightmail.imap.fetch.render import answers
from lightmail.imap.fetch.window import Window, chosen
from lightmail.imap.flagging import change, change_silently, outcome
from lightmail.imap.flags import settable
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Bad, Tokens
from lightmail.model import FlagMode

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
    if args.silent:
        await change_silently(session, selected, rows, args.mode, args.flags)
        return OK
    changed = await change(session, selected, rows, args.mode, args.flags)
    told = await session.tell(may_expunge=False, with_uids=by_uid)
    if changed < len(rows):
        await _tell_unchanged(session, selected, rows, args, {uid for _, uid, _ in told.flags}, by_uid)
    return OK


async def _tell_unchanged(
    session: ImapServer, selected: SelectedMailbox, rows: Rows, args: StoreArgs, told: Set[int], by_uid: bool
) -> None:
    """Send the flags of those messages that had them before already (`rows` is from before) and have them still.

    Those `told` of are left out: where the sync brought other flags, from another session, it has told them.
    """
    index = selected.index
    same = [
        at
        for at, (uid, before, after) in enumerate(outcome(selected, rows, args.mode, args.flags))
        if uid not in told and before == after == _now(index, uid)
    ]
    plan = make_plan((FLAGS,), with_uid=by_uid)
    for start in range(0, len(same), INDEX_MESSAGES):
        window = Window(chosen(rows, same[start : start + INDEX_MESSAGES]), index.keywords.text)
        await session.write(b"".join(answers(plan, window)))


def _now(index: MailboxIndex, uid: int) -> int | None:
    position = index.position(uid)
    return index.columns.flags[position] if position >= 0 else None


COMMANDS: Final[tuple[Command[StoreArgs], ...]] = (
    Command(b"STORE", SELECT, read_store, partial(run_store, by_uid=False), uses_seqs=True),
    Command(b"UID STORE", SELECT, read_store, partial(run_store, by_uid=True)),
)
