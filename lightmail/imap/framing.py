"""From octets to complete commands (RFC 3501 section 2.2, RFC 7888): lines, literals, and what is refused of both.

Pure: no transport, no clock. The server feeds octets in and takes :class:`Frame` objects out. Between the two it is
asked about each literal that a client announces, because whether one may come, how big, and where to, depends on the
session. Octets of a refused literal are discarded and never read as commands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from lightmail.errors import MailError, TooBig
from lightmail.imap.tokens import Bad

if TYPE_CHECKING:
    from lightmail.objects.spool import Spool

_LITERAL: Final = re.compile(rb"\{([0-9]+)(\+?)\}")
# More digits than this are no size at all, and int() of a long line of them would take its time.
_DIGITS_MAX: Final = 18
_IMPOSSIBLE: Final = 10**_DIGITS_MAX
# What is kept of an overlong line while it is dropped: enough to see the literal that its end may announce.
_TAIL_OCTETS: Final = 64
_HEAD_OCTETS: Final = 300


@dataclass(slots=True)
class Bounds:
    """What one command may have, in octets.

    ``line``: all its lines; ``literal``: all its literals outside spools; ``discard``: what is read of it for nothing
    once it is refused, beyond which the connection has to go.
    """

    line: int
    literal: int
    discard: int


@dataclass(slots=True)
class Frame:
    """One command as it came: the k-th literal follows the k-th text, from whose end ``{n}`` is cut off.

    With `error` the command was refused and holds only what came before; with `fatal` the stream cannot be followed
    any further, and the connection has to be closed.
    """

    texts: list[bytes] = field(default_factory=list)
    literals: list[bytes | Spool] = field(default_factory=list)
    error: Bad | MailError | None = None
    fatal: bool = False

    @property
    def octets(self) -> int:
        """What the frame holds in memory; spools have a bound of their own."""
        octets = sum(map(len, self.texts))
        if self.literals:
            octets += sum(len(literal) for literal in self.literals if isinstance(literal, bytes))
        return octets

    def close(self) -> None:
        """Give back the spools of a command that will not run, or has run."""
        for literal in self.literals:
            if not isinstance(literal, bytes):
                literal.close()


@dataclass(frozen=True, slots=True)
class Announced:
    """A literal that the client wants to send. `waits`: it sends nothing before it is told to go on."""

    octets: int
    waits: bool


class _State(Enum):
    LINE = 1  # a line is being received
    ANNOUNCED = 2  # a literal was announced, and the server has not decided
    LITERAL = 3  # a literal is received into memory
    STREAM = 4  # a literal is received into a spool
    DISCARD = 5  # a literal is received and dropped
    DONE = 6  # the command is complete or refused, and not yet taken
    LOST = 7  # a fatal frame was taken: whatever comes now is no command


class Framer:
    """The input side of one connection.

    After each `feed`, call `take` until it answers None. When it does and `announced` is set, answer with `grant` or
    `refuse` and go on taking.
    """

    __slots__ = (
        "_buffer",
        "_discarded",
        "_frame",
        "_left",
        "_line_octets",
        "_literal_octets",
        "_searched",
        "_state",
        "announced",
        "bounds",
    )

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.announced: Announced | None = None
        self._buffer = bytearray()
        self._frame: Frame | None = None
        self._state = _State.LINE
        self._searched = 0  # the buffer up to here holds no LF
        self._left = 0  # octets of the current literal still to come
        self._line_octets = 0
        self._literal_octets = 0  # of the current command, in memory
        self._discarded = 0

    # -- what the server sees

    @property
    def buffered(self) -> int:
        """Octets received and not taken."""
        return len(self._buffer)

    @property
    def frame(self) -> Frame | None:
        """The command that is being received, as far as it has come; None between commands."""
        return self._frame

    @property
    def spool(self) -> Spool | None:
        """The spool that a literal is streamed to just now."""
        if self._state is not _State.STREAM or self._frame is None:
            return None
        last = self._frame.literals[-1]
        return None if isinstance(last, bytes) else last

    def feed(self, data: bytes) -> None:
        """Take in what the transport received."""
        if self._state is not _State.LOST:
            self._buffer += data

    def take(self) -> Frame | None:
        """The next complete or refused command; None while more octets, or an answer to `announced`, are needed."""
        while self._state is not _State.DONE:
            step = self._STEPS.get(self._state)
            if step is None or not step(self):
                return None
        return self._finish()

    def take_line(self) -> bytes | None:
        """The next line as such, without its CRLF: the client's part of AUTHENTICATE and IDLE. None: not here yet.

        Raises Bad where the line is longer than a command's may be.
        """
        end = self._buffer.find(b"\n")
        if (len(self._buffer) if end < 0 else end) > self.bounds.line:
            raise Bad("Line too long")
        return None if end < 0 else self._cut_line(end)

    def grant(self, spool: Spool | None = None) -> None:
        """Let the announced literal come: into `spool`, or into memory. TooBig where memory's bound forbids it."""
        announced, frame = self._question()
        if spool is not None:
            frame.literals.append(spool)
            self._state = _State.STREAM
        elif self._literal_octets + announced.octets > self.bounds.literal:
            raise TooBig("The literal is too big.")
        else:
            self._literal_octets += announced.octets
            self._state = _State.LITERAL
        self._left = announced.octets
        self.announced = None

    def refuse(self, error: Bad | MailError) -> None:
        """Turn the announced literal down.

        A client that waits will not send the rest of its command. One that does not wait sends it all the same, and
        it is discarded to the command's end. Either way `take` yields the refused command when it is over.
        """
        announced, frame = self._question()
        self.announced = None
        frame.error = error
        self._skip(frame, announced)

    def abandon(self, error: MailError) -> None:
        """Drop what the spool has got of its literal, and discard the rest of the command."""
        frame = self._frame
        if frame is None or self._state is not _State.STREAM:
            raise RuntimeError("no literal is streamed")
        frame.error = error
        frame.close()
        frame.literals.clear()
        self._skip(frame, Announced(self._left, waits=False))

    def clear(self) -> None:
        """Forget everything received and not taken."""
        if self._frame is not None:
            self._frame.close()
        self._buffer = bytearray()
        self._searched = 0
        self._finish()

    # -- the machine: each step does what can be done now, and answers whether it is worth trying another

    def _step_line(self) -> bool:
        end = self._buffer.find(b"\n", self._searched)
        length = len(self._buffer) if end < 0 else end
        frame = self._frame
        if length and frame is None:
            frame = self._frame = Frame()
        if frame is not None and frame.error is None and self._line_octets + length > self.bounds.line:
            frame.error = Bad("Line too long")
            if not frame.texts:
                frame.texts.append(bytes(self._buffer[:_HEAD_OCTETS]))  # has the tag to answer with
        if end >= 0:
            self._line_octets += length
            if frame is not None and frame.error is not None:
                self._discarded += length
            self._take_text(self._cut_line(end))
            return True
        self._searched = length
        if frame is not None and frame.error is not None and length > _TAIL_OCTETS:
            return self._drop(frame, length - _TAIL_OCTETS)
        return False

    def _step_literal(self) -> bool:
        if self._frame is None or len(self._buffer) < self._left:
            return False
        self._frame.literals.append(self._cut(self._left))
        self._state = _State.LINE
        return True

    def _step_stream(self) -> bool:
        frame, spool = self._frame, self.spool
        if frame is None or spool is None:
            return False
        piece = self._cut(min(self._left, len(self._buffer)))
        self._left -= len(piece)
        try:
            spool.write(piece)
        except MailError as error:
            self.abandon(error)
            return True
        if self._left:
            return False
        self._state = _State.LINE
        return True

    def _step_discard(self) -> bool:
        octets = min(self._left, len(self._buffer))
        del self._buffer[:octets]
        self._left -= octets
        if self._left:
            return False
        self._state = _State.LINE
        return True

    _STEPS: Final = {
        _State.LINE: _step_line,
        _State.LITERAL: _step_literal,
        _State.STREAM: _step_stream,
        _State.DISCARD: _step_discard,
    }

    def _take_text(self, text: bytes) -> None:
        """A line has ended: so does the command, unless the line announces a literal."""
        frame = self._frame
        if frame is None or not (text or frame.texts or frame.error):
            self._finish()  # an empty line between commands means nothing
            return
        announced = _announcement(text) if text.endswith(b"}") else None
        if frame.error is not None:
            if announced is not None:
                self._skip(frame, announced)
                return
        elif announced is not None:
            frame.texts.append(text[: text.rindex(b"{")])
            self.announced = announced
            self._state = _State.ANNOUNCED
            return
        else:
            frame.texts.append(text)
        self._state = _State.DONE

    def _skip(self, frame: Frame, announced: Announced) -> None:
        """The command is refused, and has announced more."""
        if announced.waits:
            self._state = _State.DONE
            return
        self._discarded += announced.octets
        if self._discarded > self.bounds.discard:
            self._give_up(frame)
            return
        self._left = announced.octets
        self._state = _State.DISCARD

    def _drop(self, frame: Frame, octets: int) -> bool:
        """Forget `octets` of an overlong line."""
        del self._buffer[:octets]
        self._searched -= octets
        self._discarded += octets
        if self._discarded <= self.bounds.discard:
            return False
        self._give_up(frame)
        return True

    def _give_up(self, frame: Frame) -> None:
        frame.fatal = True
        self._buffer = bytearray()
        self._state = _State.DONE

    def _finish(self) -> Frame | None:
        frame, self._frame = self._frame, None
        self._state = _State.LOST if frame is not None and frame.fatal else _State.LINE
        self.announced = None
        self._left = self._line_octets = self._literal_octets = self._discarded = 0
        return frame

    def _question(self) -> tuple[Announced, Frame]:
        if self.announced is None or self._frame is None:
            raise RuntimeError("no literal was announced")
        return self.announced, self._frame

    def _cut_line(self, end: int) -> bytes:
        self._searched = 0
        return self._cut(end + 1)[:-1].removesuffix(b"\r")

    def _cut(self, octets: int) -> bytes:
        piece = bytes(self._buffer[:octets])
        del self._buffer[:octets]
        return piece


def _announcement(text: bytes) -> Announced | None:
    """The literal that a line ending in ``}`` announces, or None.

    The end of an overlong line may begin inside its ``{n}``: that is taken for a literal of impossible size, for its
    octets must not be read as commands.
    """
    start = text.rfind(b"{")
    if start < 0:
        cut_off = len(text) >= _TAIL_OCTETS and text.rstrip(b"+}").isdigit()
        return Announced(_IMPOSSIBLE, waits=not text.endswith(b"+}")) if cut_off else None
    match = _LITERAL.fullmatch(text, start)
    if match is None:
        return None
    digits, plus = match.groups()
    return Announced(int(digits) if len(digits) <= _DIGITS_MAX else _IMPOSSIBLE, waits=not plus)
