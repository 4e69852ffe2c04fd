"""Both directions of a connection whose conversation runs as one coroutine: LMTP and POP3.

What a peer sends ahead waits here in a bounded buffer, so that pipelined commands run one at a time and in order;
what it does not read holds the conversation up instead of filling memory. Every wait has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from lightmail import stalls

# Beyond this much unread input the transport is paused; one more read of the transport may still come.
INPUT_OCTETS: Final = 64 << 10
# Replies are gathered until the conversation waits, or until they are this long: each send is a system call.
OUTPUT_OCTETS: Final = 16 << 10
# How long a peer may take to read the last reply before its connection is cut.
LINGER_SECONDS: Final = 10.0
# An overlong line is read to its end, to be refused once; so much of one without an end is enough.
ENDLESS_LINE_OCTETS: Final = 1 << 20


def prompt_write(transport: Any) -> Callable[[bytes], None]:
    """How to write what nothing follows for now: at once, where the transport itself can (`app.transports`).

    What wraps a transport, as TLS does, hands on every attribute that it does not have, but what it wraps must never
    be written to.
    """
    prompt = getattr(type(transport), "write_now", None)
    return transport.write if prompt is None else partial(prompt, transport)


def prompt_push(transport: Any) -> Callable[[], None]:
    """How to have sent what waits, without a turn of the reactor: does nothing where the transport itself cannot."""
    push = getattr(type(transport), "push", None)
    return _nothing if push is None else partial(push, transport)


def _nothing() -> None:
    pass


class Closed(Exception):
    """The connection is gone; the conversation ends without another word."""


class TimedOut(Exception):
    """The peer did not send, or did not read, in time."""


class Draining(Exception):
    """The session is to end, and the peer was between two commands; the argument says why."""


class LineTooLong(Exception):
    """A line above its bound; it has been dropped to its end, and the conversation may go on."""


class EndlessLine(Exception):
    """A line above its bound whose end never came: there is no telling where the next would begin."""


class Transport(Protocol):
    """What a channel needs of a Twisted transport."""

    def write(self, data: bytes, /) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: object, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...


class Timer(Protocol):
    """What a channel needs of Twisted's delayed calls."""

    def active(self) -> bool: ...
    def cancel(self) -> None: ...
    def reset(self, seconds: float, /) -> None: ...


class Clock(Protocol):
    """What a channel needs of the reactor."""

    def seconds(self) -> float: ...
    def callLater(self, delay: float, callable: Callable[..., Any], /) -> Timer: ...


@implementer(IPushProducer)
class Channel:
    """Reads and writes for one coroutine. The protocol that owns it calls `received` and `lost`.

    `timeout_seconds` is the deadline of each single wait for input or for the peer to read, and `by` the moment
    (of the clock; None for never) at which any wait ends, however often a little came; both may be changed.
    Waiting raises Closed, TimedOut, or (for a line only) Draining or EndlessLine.
    """

    def __init__(self, transport: Transport, clock: Clock, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.by: float | None = None
        self._transport = transport
        self._clock = clock
        self._buffer = b""
        self._at = 0
        self._scanned = 0
        self._arrivals = 0
        self._paused_input = False
        self._full_output = False
        self._output: list[bytes] = []
        self._output_octets = 0
        self._lost = False
        self._closing = False
        self._draining: str | None = None
        self._waiting: Deferred[None] | None = None
        self._for_line = False
        self._for_output = False
        self._timer: Timer | None = None
        self._write_now = prompt_write(transport)
        transport.registerProducer(self, True)
        # Only TCP has it. Replies are gathered here; the kernel gathering more would cost a delayed ACK, 40 ms.
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)

    # What the protocol tells

    def received(self, data: bytes) -> None:
        """Take in octets from the transport."""
        stalls.stirred("a conversation")
        if self._closing:
            return
        self._buffer = self._buffer[self._at :] + data
        self._scanned -= self._at
        self._at = 0
        self._arrivals += 1
        if self._waiting is not None and not self._for_output:
            self._wake()
        elif len(self._buffer) > INPUT_OCTETS and not self._paused_input:
            self._paused_input = True
            self._transport.pauseProducing()

    def lost(self) -> None:
        """The connection is gone: whatever waits, and whoever will, gets Closed."""
        self._lost = self._closing = True
        self._buffer = b""
        self._at = self._scanned = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    # What the conversation asks for

    @property
    def is_closed(self) -> bool:
        """True once nothing more can be said."""
        return self._closing

    async def line(self, most: int) -> bytes:
        """The next line without its CRLF; a bare LF or CR is part of it.

        One of more than `most` octets is dropped: LineTooLong at its end, or EndlessLine where that does not come.
        """
        while True:
            end = self._buffer.find(b"\r\n", self._scanned)
            # A CR that arrived last may be half of the end.
            stop = end if end >= 0 else len(self._buffer) - self._buffer.endswith(b"\r")
            if stop - self._at > most:
                await self._skip_line()
                raise LineTooLong
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = self._scanned = end + 2
                return line
            self._scanned = max(self._at, len(self._buffer) - 1)
            self._for_line = True
            try:
                await self._more()
            finally:
                self._for_line = False

    def next_line_if(self, prefix: bytes, most: int) -> bytes | None:
        """The next line if it is here already, begins with `prefix` (in any case) and has at most `most` octets."""
        if self._buffer[self._at : self._at + len(prefix)].upper() != prefix:
            return None
        end = self._buffer.find(b"\r\n", self._at, self._at + most + 2)
        if end < 0:
            return None
        line = self._buffer[self._at : end]
        self._at = self._scanned = end + 2
        return line

    async def some(self, most: int | None = None) -> bytes:
        """At least one octet of input and at most `most`, as much as there is."""
        while self._at == len(self._buffer):
            await self._more()
        start = self._at
        stop = len(self._buffer) if most is None else min(len(self._buffer), start + most)
        self._at = self._scanned = stop
        return self._buffer if stop - start == len(self._buffer) else self._buffer[start:stop]

    def unread(self, data: bytes) -> None:
        """Put octets back that `some` gave but that belong to what comes next."""
        self._buffer = data + self._buffer[self._at :]
        self._at = self._scanned = 0

    def forget_input(self) -> None:
        """Drop everything that was sent ahead: what arrived in the clear must not survive the start of TLS."""
        self._buffer = b""
        self._at = self._scanned = 0

    def write(self, data: bytes) -> None:
        """Say something. It is on its way when the conversation next waits; after much of it, await `drained`."""
        if self._closing:
            return
        self._output.append(data)
        self._output_octets += len(data)

    def flush(self) -> None:
        """Hand what was written to the transport now."""
        if self._output and not self._lost:
            self._write_now(b"".join(self._output))
        self._output.clear()
        self._output_octets = 0

    async def drained(self) -> None:
        """Return once the peer has read enough that more may be written."""
        if self._output_octets >= OUTPUT_OCTETS:
            self.flush()
        while self._full_output and not self._lost:
            self._for_output = True
            try:
                await self._wait()
            finally:
                self._for_output = False
        if self._lost:
            raise Closed

    def close(self) -> None:
        """Send what is written, then close; a peer that does not read is cut off after LINGER_SECONDS."""
        if self._closing:
            return
        self._closing = True
        self.flush()
        self._set_timer(LINGER_SECONDS)
        self._transport.unregisterProducer()
        # A paused transport would not notice that the peer is gone.
        self._resume_input()
        self._transport.loseConnection()

    def abort(self) -> None:
        """Cut the connection at once."""
        if not self._lost:
            self._closing = True
            self._transport.abortConnection()

    def drain(self, why: str) -> None:
        """Let the conversation end at its next command: waiting for a line raises Draining(why) from now on."""
        self._draining = why
        if self._waiting is not None and self._for_line:
            self._wake()

    # IPushProducer: the transport tells how the peer reads

    def pauseProducing(self) -> None:
        """The peer reads slowly: hold the conversation up."""
        self._full_output = True

    def resumeProducing(self) -> None:
        """The peer has caught up."""
        stalls.stirred("a conversation")
        self._full_output = False
        if self._waiting is not None and self._for_output:
            self._wake()

    def stopProducing(self) -> None:
        """The transport is being closed; `lost` follows."""

    # Inside

    async def _skip_line(self) -> None:
        """Drop the input up to and with the next CRLF; EndlessLine when too much went by without one."""
        dropped = 0
        while True:
            end = self._buffer.find(b"\r\n", self._at)
            if end >= 0:
                self._at = self._scanned = end + 2
                return
            keep = 1 if self._buffer.endswith(b"\r") else 0
            dropped += len(self._buffer) - keep - self._at
            if dropped > ENDLESS_LINE_OCTETS:
                raise EndlessLine
            self._at = self._scanned = len(self._buffer) - keep
            await self._more()

    async def _more(self) -> None:
        """Wait until more input has arrived."""
        if self._closing:
            raise Closed
        if self._draining is not None and self._for_line:
            raise Draining(self._draining)
        self.flush()
        self._resume_input()
        before = self._arrivals
        while self._arrivals == before:
            await self._wait()
            if self._closing:
                raise Closed
            if self._draining is not None and self._for_line:
                raise Draining(self._draining)

    def _resume_input(self) -> None:
        if self._paused_input and not self._lost:
            self._paused_input = False
            self._transport.resumeProducing()

    async def _wait(self) -> None:
        if self._lost:
            raise Closed
        seconds = self.timeout_seconds
        if self.by is not None:
            seconds = min(seconds, self.by - self._clock.seconds())
            if seconds <= 0:
                raise TimedOut
        self._set_timer(seconds)
        self._waiting = Deferred()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _set_timer(self, seconds: float) -> None:
        # One timer for all waits: moving it costs a tenth of making it.
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)
        else:
            self._timer = self._clock.callLater(seconds, self._expired)

    def _expired(self) -> None:
        self._timer = None
        if self._closing:
            self._transport.abortConnection()
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(TimedOut())
