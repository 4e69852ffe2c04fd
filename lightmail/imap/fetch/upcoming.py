"""What a session will probably FETCH next: the commands that wait, or the messages that follow in order.

It is asked for only when a thread has to be asked for octets anyway, and only as a hint (see ``objects.ahead``):
numbers that come to mean other messages meanwhile, or commands that fail, cost some reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from lightmail.errors import MailError
from lightmail.imap.tokens import Bad
from lightmail.objects.ahead import AHEAD_MESSAGES, AHEAD_OCTETS, SMALL_OCTETS

if TYPE_CHECKING:
    from lightmail.imap.fetch.plan import Plan
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.requests import Request
    from lightmail.imap.sequences import SequenceSet
    from lightmail.imap.server import ImapServer
    from lightmail.index.columns import Rows
    from lightmail.model import BlobRef, ObjectId

# So many commands in a row that began where the one before ended are taken for a client that reads in order; what it
# is thought to want next is fewer octets than what a client has asked for already.
_IN_ORDER: Final = 2
_GUESSED_OCTETS: Final = 256 << 10
_NAMES: Final = frozenset({b"FETCH", b"UID FETCH"})


class Trail:
    """Where a session's FETCHes of octets have been in its mailbox."""

    __slots__ = ("_in_order", "_last")

    def __init__(self) -> None:
        self._last = 0
        self._in_order = 0

    def went(self, rows: Rows) -> None:
        """The session asks for octets of `rows`."""
        if len(rows):
            self._in_order = self._in_order + 1 if rows.seqs[0] == self._last + 1 else 0
            self._last = rows.seqs[-1]

    def next(self, exists: int) -> tuple[int, int] | None:
        """The first and last sequence number of what comes next for a client that reads in order."""
        if self._in_order < _IN_ORDER or self._last >= exists:
            return None
        return self._last + 1, min(self._last + AHEAD_MESSAGES, exists)


class Upcoming:
    """What comes after one FETCH of a session."""

    __slots__ = ("_objects", "_plan", "_selected", "_session")

    def __init__(self, session: ImapServer, selected: SelectedMailbox, plan: Plan) -> None:
        self._session = session
        self._selected = selected
        self._plan = plan
        self._objects: list[ObjectId] | None = None

    def objects(self) -> Sequence[ObjectId]:
        """Small messages whose octets will be asked for, in order."""
        if self._objects is None:
            queued = self._session.queued
            chosen = _queued(self._selected, queued) if queued else self._guessed()
            most = AHEAD_OCTETS if queued else _GUESSED_OCTETS
            self._objects = list(_as_many_as_fit(chosen, most))
        return self._objects

    async def refs(self) -> list[BlobRef]:
        """Where they are; none where that cannot be had now."""
        objects = self.objects()
        if not objects:
            return []
        try:
            refs = await self._session.services.rendered.refs(self._selected.account, objects)
        except MailError:
            return []
        return [refs[of] for of in objects if of in refs]

    def _guessed(self) -> Iterator[Rows]:
        following = self._selected.trail.next(self._selected.view.exists)
        # Whoever reads parts of messages, or their beginnings, may never ask for the rest.
        if following is not None and any(not section.path and section.count is None for section in self._plan.sections):
            yield self._selected.view.rows((following,), by_uid=False)


def _queued(selected: SelectedMailbox, requests: Sequence[Request]) -> Iterator[Rows]:
    """The messages of the FETCHes that wait, up to a command that is none, or wants much."""
    for request in requests:
        if request.name not in _NAMES:
            return
        try:
            args: Any = request.arguments()
            if args.plan.sections:
                yield selected.rows(_few(args.numbers), by_uid=request.name == b"UID FETCH")
        except (Bad, MailError):
            return


def _few(numbers: SequenceSet) -> SequenceSet:
    """`numbers` where they are few; Bad otherwise: the command reads its own octets in one go."""
    if sum(high - low + 1 if high >= low else AHEAD_MESSAGES for low, high in numbers.ranges) > AHEAD_MESSAGES:
        raise Bad("Not a few")
    return numbers


def _as_many_as_fit(chosen: Iterator[Rows], most: int) -> Iterator[ObjectId]:
    left, number = most, 0
    for rows in chosen:
        for of, octets in zip(rows.objects, rows.octets, strict=True):
            if octets > SMALL_OCTETS:
                continue
            left -= octets
            number += 1
            if left < 0 or number > AHEAD_MESSAGES:
                return
            yield of
