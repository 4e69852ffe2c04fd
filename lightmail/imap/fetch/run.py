r"""FETCH and UID FETCH (RFC 3501 section 6.4.5): plan, prefetch, render, window by window.

A message that cannot be read does not keep the others from the client: it is left out, and the command ends with NO
and the reason. Octets are at hand before their literal is announced; only of a message that wants more than
HELD_OCTETS are sections sent while they are read, and should that fail the connection is closed, for the literal cannot
be finished.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, cast

from twisted.logger import Logger

from lightmail.errors import Corruption, ExpungeIssued, MailError
from lightmail.imap.commands import OK, SELECT, Command, Completion
from lightmail.imap.fetch.items import Item, read_items
from lightmail.imap.fetch.plan import STREAMED_OCTETS, Plan, batches, make_plan, windows
from lightmail.imap.fetch.prefetch import Loaded, MessageWants, Range, load, message_wants, read_batch
from lightmail.imap.fetch.render import answers, gathered, pieces
from lightmail.imap.fetch.sections import Section
from lightmail.imap.fetch.upcoming import Upcoming
from lightmail.imap.fetch.window import Window, chosen
from lightmail.imap.flagging import change_silently
from lightmail.imap.output import Disconnected
from lightmail.imap.sequences import SequenceSet
from lightmail.imap.tokens import Tokens
from lightmail.index.view import combine
from lightmail.model import SEEN, SYSTEM_FLAGS, BlobRef, FlagMode
from lightmail.turns import Turn

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer
    from lightmail.index.columns import Rows

log = Logger()

# From so many messages on a FETCH counts as a listing, whose field lists are worth remembering.
_LISTING_MESSAGES: Final = 100
# A list of items up to this size is remembered with its plan.
_USUAL_OCTETS: Final = 256


@dataclass(frozen=True, slots=True)
class FetchArgs:
    """Which messages, and how to answer what is asked of them."""

    numbers: SequenceSet
    plan: Plan


def read_fetch(tokens: Tokens, by_uid: bool) -> FetchArgs:
    """``SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")``"""
    tokens.sp()
    numbers = tokens.sequence_set()
    tokens.sp()
    text = tokens.short_rest(_USUAL_OCTETS)
    if text is not None:
        return FetchArgs(numbers, _usual_plan(text, by_uid))
    return FetchArgs(numbers, _read_plan(tokens, by_uid))


# Clients say the same few things again and again; what is made of them never changes.
@lru_cache(maxsize=256)
def _usual_plan(text: bytes, by_uid: bool) -> Plan:
    return _read_plan(Tokens([text]), by_uid)


def _read_plan(tokens: Tokens, by_uid: bool) -> Plan:
    items = read_items(tokens)
    tokens.end()
    return make_plan(items, with_uid=by_uid)


async def run_fetch(session: ImapServer, args: FetchArgs, by_uid: bool) -> Completion:
    r"""Answer a FETCH; sections that are not PEEKed set \Seen first, for all messages at once."""
    selected = session.mbox
    assert selected is not None
    rows = selected.rows(args.numbers, by_uid)
    plan = args.plan
    if plan.sets_seen and not selected.read_only:
        plan = await _set_seen(session, selected, rows, plan)
    if len(rows) >= _LISTING_MESSAGES:
        for fields in plan.lists:
            selected.index.listed(fields)
    fetch = Fetch(session, selected, plan)
    await fetch.send(rows)
    failure = fetch.failure(by_uid)
    if failure is not None:
        raise failure
    return OK


async def _set_seen(session: ImapServer, selected: SelectedMailbox, rows: Rows, plan: Plan) -> Plan:
    """Set \\Seen where it is not, in `rows` too; the plan with FLAGS where that changed any message.

    While flags cannot be written the messages are answered nevertheless, unseen as they stay: octets that are at hand
    are worth more to a reader than the side effect of having read them.
    """
    unseen = [at for at, bits in enumerate(rows.flags) if not bits & SEEN]
    if not unseen:
        return plan
    try:
        # The answers tell it, so the sync that follows need not.
        await change_silently(session, selected, chosen(rows, unseen), FlagMode.ADD, SYSTEM_FLAGS[:1])
    except MailError as error:
        if not error.transient:
            raise
        return plan
    flags = cast("array[int]", rows.flags)
    flags[:] = array("q", [combine(bits, FlagMode.ADD, SEEN) for bits in flags])
    return plan.with_flags()


class Fetch:
    """One FETCH on its way to the client."""

    def __init__(self, session: ImapServer, selected: SelectedMailbox, plan: Plan) -> None:
        self._session = session
        self._selected = selected
        self._plan = plan
        self._upcoming = Upcoming(session, selected, plan)
        self._turn = Turn(session.services.database.reactor)
        self._send = session.write
        self._errors: list[MailError] = []

    def failure(self, by_uid: bool) -> MailError | None:
        """Why some messages were left out, the gravest reason; None if none was.

        A UID that names no message any more is no error (RFC 3501 section 6.4.8).
        """
        grave = [error for error in self._errors if not isinstance(error, ExpungeIssued)]
        if grave:
            return grave[0]
        return self._errors[0] if self._errors and not by_uid else None

    async def send(self, rows: Rows) -> None:
        """Send what can be had of `rows`."""
        plan, session, upcoming = self._plan, self._session, self._upcoming
        if len(rows) == 1:
            self._send = session.answer
        if plan.sections:
            self._selected.trail.went(rows)
        for start, stop in windows(plan, rows.octets):
            part = rows.part(start, stop)
            try:
                loaded = await load(
                    session.services, self._selected.account, plan, part, self._selected.index, upcoming.objects
                )
            except MailError as error:
                # Neither the database nor what it says of these messages: the next ones will not fare better.
                self._errors.append(error)
                return
            self._note_missing(loaded)
            if plan.sections:
                await self._send_octets(loaded)
            else:
                await self._send_window(loaded.window)
            await self._turn.offer()

    def _note_missing(self, loaded: Loaded) -> None:
        for uid in loaded.missing:
            if self._selected.index.position(uid) < 0:
                self._errors.append(ExpungeIssued())
            else:
                log.error(
                    "message {uid} of mailbox {mailbox} has no rendering", uid=uid, mailbox=self._selected.mailbox.id
                )
                self._errors.append(Corruption())

    async def _send_window(self, window: Window) -> None:
        made = answers(self._plan, window)
        for piece in gathered(made) if self._plan.sections else pieces(b"".join(made)):
            await self._send(piece)

    # Octets of objects

    async def _send_octets(self, loaded: Loaded) -> None:
        wants = loaded.wants
        for start, stop in batches([message.octets for message in wants]):
            batch, window = wants[start:stop], loaded.window.part(start, stop)
            if batch[0].large:
                await self._send_large(window, batch[0])
            else:
                await self._send_batch(window, batch)
            await self._turn.offer()

    async def _send_batch(self, window: Window, wants: Sequence[MessageWants]) -> None:
        """Messages whose octets are held in memory together."""
        answered = await self._read(window, wants)
        if answered:
            await self._send_window(answered)

    async def _read(self, window: Window, wants: Sequence[MessageWants]) -> Window | None:
        """The window with its cuts, less the messages that cannot be read."""
        sections = self._plan.sections
        try:
            read = await read_batch(self._session.services, sections, wants, self._selected.ahead, self._upcoming.refs)
        except MailError as error:
            self._errors.append(error)
            return None
        columns = [octets for octets in read if not isinstance(octets, MailError)]
        if len(columns) < len(read):
            self._errors += [octets for octets in read if isinstance(octets, MailError)]
            good = [at for at, octets in enumerate(read) if not isinstance(octets, MailError)]
            window.rows = chosen(window.rows, good)
        window.cuts = {section: [octets[at] for octets in columns] for at, section in enumerate(sections)}
        return window

    async def _send_large(self, window: Window, wants: MessageWants) -> None:
        """One message with sections that are sent while they are read."""
        sections = self._plan.sections
        streamed = {
            section: pair
            for section, pair in zip(sections, wants.ranges, strict=True)
            if pair is not None and pair[1] - pair[0] > STREAMED_OCTETS and not section.selects_fields
        }
        held = [None if section in streamed else pair for section, pair in zip(sections, wants.ranges, strict=True)]
        answered = await self._read(window, [message_wants(wants.ref, held)])
        if answered is None or not answered.rows.uids:
            return
        answer = Large(self._session, self._plan, answered)
        try:
            await answer.send(wants, streamed)
        except MailError as error:
            if answer.begun:
                log.error("message {uid} broke off: {error}", uid=answered.rows.uids[0], error=error)
                self._session.transport.abortConnection()
                raise Disconnected from error
            self._errors.append(error)


class Large:
    """The answer for one message, item by item; ``begun`` says whether any of it has been sent."""

    def __init__(self, session: ImapServer, plan: Plan, window: Window) -> None:
        self._session = session
        self._plan = plan
        self._window = window
        self._held = b"* %d FETCH (" % window.rows.seqs[0]
        self.begun = False

    async def send(self, wants: MessageWants, streamed: Mapping[Section, Range]) -> None:
        """Send all items, those in `streamed` while they are read."""
        for number, item in enumerate(self._plan.items):
            if number:
                self._held += b" "
            if item.section is not None and item.section in streamed:
                await self._stream(item, wants.ref, *streamed[item.section])
            else:
                (value,) = item.column(self._window)
                self._held += item.slot % value
        await self._flush(b")\r\n")

    async def _stream(self, item: Item, ref: BlobRef, start: int, stop: int) -> None:
        left = stop - start
        self._held += item.slot % (b"{%d}\r\n" % left)
        async for octets in self._session.services.blobs.chunks(ref, start, stop):
            left -= len(octets)
            if left < 0:
                break
            await self._flush(octets.replace(b"\0", b"\x80"))
        if left:
            raise Corruption

    async def _flush(self, octets: bytes) -> None:
        """Send what is held back, and `octets`."""
        self.begun = True
        held, self._held = self._held, b""
        if held:
            await self._session.write(held)
        for piece in pieces(octets):
            await self._session.write(piece)


COMMANDS: Final[tuple[Command[FetchArgs], ...]] = (
    Command(b"FETCH", SELECT, partial(read_fetch, by_uid=False), partial(run_fetch, by_uid=False), uses_seqs=True),
    Command(b"UID FETCH", SELECT, partial(read_fetch, by_uid=True), partial(run_fetch, by_uid=True)),
)
