"""What a session has received and not yet run: commands in their order, and literals that wait for a decision.

Framing runs ahead of the commands, so that it is known what waits, but only so far: then the transport is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail.errors import MailError, ServerBug
from lightmail.imap import table
from lightmail.imap.framing import Bounds, Framer
from lightmail.imap.output import Disconnected
from lightmail.imap.requests import Request
from lightmail.imap.tokens import Bad

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

log = Logger()

_QUEUE_COMMANDS: Final = 64
_QUEUE_OCTETS: Final = 1 << 17
_BUFFER_OCTETS: Final = 1 << 16


class Intake:
    """The input side of one session. After everything that may have made room, call `advance`.

    ``barred``: the command that runs, or is the last in the queue, decides what comes after it (see
    :class:`~lightmail.imap.commands.Command`), so nothing is framed until `unbar`.
    """

    __slots__ = ("_flushing", "_framer", "_numbered", "_octets", "_queue", "_reading", "_transport", "barred")

    def __init__(self, transport: Any, bounds: Bounds) -> None:
        self._transport = transport
        self._framer = Framer(bounds)
        self._queue: list[Request] = []  # short, and a tenth of what an empty deque takes
        self._octets = 0
        self._numbered = 0  # how many of the queue hold sequence numbers
        self._flushing = False
        self._reading = True
        self.barred = False

    @property
    def queued(self) -> tuple[Request, ...]:
        """The commands that wait, in order."""
        return tuple(self._queue)

    @property
    def pending(self) -> bool:
        """Whether there is anything to do: a command to run, a literal to decide on, a spool to flush."""
        return bool(self._queue) or self.announced or self.spool_full

    @property
    def announced(self) -> bool:
        """Whether the client has announced a literal. To be decided once nothing is queued before it."""
        return self._framer.announced is not None

    @property
    def spool_full(self) -> bool:
        """Whether the literal that is being received has filled the memory it may take."""
        spool = self._framer.spool
        return spool is not None and spool.needs_flush

    @property
    def numbers_in_use(self) -> bool:
        """Whether a command that waits, framed or not, may hold sequence numbers."""
        return self._numbered > 0 or self._framer.frame is not None or self._framer.buffered > 0

    def rebound(self, bounds: Bounds) -> None:
        """Other bounds from the next octets on."""
        self._framer.bounds = bounds

    def receive(self, data: bytes) -> None:
        """Take in octets from the transport."""
        self._framer.feed(data)
        self.advance()

    def advance(self) -> None:
        """Queue the commands that are complete, up to a bound and up to one that no other may overtake."""
        while not (
            self.barred or self._flushing or len(self._queue) >= _QUEUE_COMMANDS or self._octets >= _QUEUE_OCTETS
        ):
            frame = self._framer.take()
            if frame is None:
                return
            request = Request(frame, table.COMMANDS)
            self._queue.append(request)
            self._octets += frame.octets
            self._numbered += request.uses_seqs
            self.barred = frame.fatal or (request.row is not None and request.row.barrier)

    def next(self) -> Request | None:
        """Take the next command from the queue; whoever takes it closes its frame."""
        if not self._queue:
            return None
        request = self._queue.pop(0)
        self._octets -= request.frame.octets
        self._numbered -= request.uses_seqs
        return request

    def unbar(self) -> None:
        """The command that barred the others has run."""
        self.barred = False

    def take_line(self) -> bytes | None:
        """The next line as such, None when there is none yet. Bad where it is too long."""
        return self._framer.take_line()

    def regulate(self, busy: bool) -> None:
        """Stop reading while much waits for a busy session, go on when it is gone."""
        crowded = self._flushing or (busy and self._framer.buffered > _BUFFER_OCTETS)
        if crowded == self._reading:
            self._reading = not crowded
            if crowded:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    def clear(self) -> None:
        """Forget everything received and not taken, and read on."""
        self._framer.clear()
        for request in self._queue:
            request.frame.close()
        self._queue.clear()
        self._octets = self._numbered = 0

    async def admit(self, session: ImapServer) -> None:
        """Decide about the literal that the client has announced, and tell it to go on if it waits for that."""
        framer = self._framer
        announced, frame = framer.announced, framer.frame
        if announced is None or frame is None:
            return
        request = Request(frame, table.COMMANDS)
        row = request.row
        spool = None
        try:
            if row is not None and row.accept is not None and session.state in row.states:
                spool = await row.accept(session, request.tokens(), announced.octets)
            if framer.announced is not announced:  # the session has ended meanwhile
                if spool is not None:
                    spool.close()
                raise Disconnected
            framer.grant(spool)
        except (MailError, Bad) as error:
            framer.refuse(error)
        except Disconnected:
            raise
        except Exception:
            log.failure("{session} failed to take a literal", session=session.id)
            framer.refuse(ServerBug())
        else:
            if announced.waits:
                session.proceed(b"OK")

    async def flush(self) -> None:
        """Move what a spool holds in memory to its file, while nothing more is read."""
        spool = self._framer.spool
        if spool is None:
            return
        self._flushing = True
        self.regulate(busy=True)
        try:
            await spool.flush()
        except MailError as error:
            if self._framer.spool is spool:
                self._framer.abandon(error)
        finally:
            self._flushing = False
        self.regulate(busy=True)
