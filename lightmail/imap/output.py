"""The output side of one connection: what is written waits in the transport, and never much of it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from lightmail import stalls
from lightmail.channel import prompt_push, prompt_write

# Octets up to so many wait for what is written next, to be sent with it.
_HELD_OCTETS: Final = 1 << 16


class Disconnected(Exception):
    """The client has gone. Unwinds a running command; never answered, never logged as an error."""


@implementer(IPushProducer)
class Output:
    """Tells whoever writes to wait while the client does not read (the transport holds 64 KiB and asks to pause).

    ``paused``: the client has to read first. ``lost``: nothing more reaches it.
    """

    __slots__ = ("_drained", "_held", "_push", "_transport", "_write_now", "lost", "paused")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._drained: Deferred[None] | None = None
        self._held = b""
        self.paused = False
        self.lost = False
        self._write_now = prompt_write(transport)
        self._push = prompt_push(transport)
        transport.registerProducer(self, True)
        # Only TCP has it. A response in two pieces would otherwise wait for the client's delayed ACK, 40 ms.
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)

    def write(self, data: bytes) -> None:
        """Hand octets to the transport. Whoever writes much must `drain` after each 64 KiB or so."""
        if not self.lost:
            self._transport.write(self._with_held(data))
            if self.paused:
                # The kernel has room for it, as a rule: then nobody waits a turn of the reactor for nothing.
                self._push()

    def hold(self, data: bytes) -> None:
        """As `write`, of octets behind which more is written soon: short ones leave together with it."""
        if self.lost or len(data) > _HELD_OCTETS:
            self.write(data)
        else:
            self._held = self._with_held(data)

    def write_last(self, data: bytes) -> None:
        """As `write`, of octets behind which nothing comes for now: they leave at once, if none wait before them."""
        if not self.lost:
            self._write_now(self._with_held(data))

    async def drain(self) -> None:
        """Wait until the transport takes more; Disconnected when it never will."""
        while self.paused and not self.lost:
            if self._drained is None:
                self._drained = Deferred()
            await self._drained
        if self.lost:
            raise Disconnected

    def close(self) -> None:
        """Send what was written, then close; what is written from now on is dropped."""
        if self.lost:
            return
        if self._held:
            self.write(b"")
        self.lost = True
        self._wake()
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    # IPushProducer

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer has been sent."""
        stalls.stirred("imap")
        self.paused = False
        self._wake()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.lost = True
        self._wake()

    def _with_held(self, data: bytes) -> bytes:
        if not self._held:
            return data
        held, self._held = self._held, b""
        return held + data

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)
