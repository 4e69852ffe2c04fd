"""The server's end of the socket to a writer process, in the reactor: whole records in, whole records out."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lightmail.objects.datagrams import RECORD_OCTETS

# How many records are read before others of the reactor's descriptors have their turn.
_AT_ONCE: Final = 32
# What Linux counts besides a record's own octets.
_SLACK: Final = 64


@implementer(IReadWriteDescriptor)
class Link:
    """A non-blocking SOCK_SEQPACKET socket. Methods belong to the reactor's thread.

    `received` is called with each record, which is good until it returns; `lost` once, when the other end is closed or
    out of order. What the kernel does not take at once waits here: the caller bounds how much that can be.
    """

    def __init__(
        self, end: socket.socket, received: Callable[[memoryview], None], lost: Callable[[], None], reactor: Any
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._received = received
        self._lost = lost
        self._reactor = reactor
        self._waiting: deque[Sequence[bytes]] = deque()
        self._buffer = memoryview(bytearray(RECORD_OCTETS))
        self._open = True
        self.largest = min(RECORD_OCTETS, end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _SLACK)
        reactor.addReader(self)

    def send(self, pieces: Sequence[bytes]) -> None:
        """Send one record, given in pieces; of at most `largest` octets. If the link is lost, `lost` tells."""
        if self._waiting or not self._sent(pieces):
            self._waiting.append(pieces)
            self._reactor.addWriter(self)

    def finish(self) -> None:
        """Tell the other end that nothing more will come; `lost` is called once that has closed, too."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._end.fileno()

    def logPrefix(self) -> str:
        """Who this is, for Twisted's log."""
        return "writer process"

    def doRead(self) -> None:
        """Called by the reactor when there are records, or the other end is closed."""
        for _ in range(_AT_ONCE):
            try:
                octets = self._end.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                octets = 0
            if octets == 0:
                self._close()
                return
            self._received(self._buffer[:octets])
            if not self._open:
                return

    def doWrite(self) -> None:
        """Called by the reactor when the kernel has room."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor when it stops."""
        self._close()

    def _sent(self, pieces: Sequence[bytes]) -> bool:
        """Whether the record is the kernel's now, or will never be."""
        try:
            self._end.sendmsg(pieces)
        except BlockingIOError:
            return False
        except OSError:
            # The other end is gone, of which reading will tell, too; or the kernel has no memory even for this.
            self._end.shutdown(socket.SHUT_RDWR)
        return True

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._end.close()
        self._waiting.clear()
        self._lost()
