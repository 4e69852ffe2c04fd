"""Connections that can send at once what is written last, instead of in the reactor's next turn.

Twisted's transport asks the kernel whether it may write before it does: two calls of epoll_ctl, one of epoll_wait and a
turn of the reactor, about 50 us, for an answer of fifty octets that the kernel has always room for.
"""

# mypy: disallow-untyped-calls=False
# (the methods of Twisted's transports have no annotations)

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import tcp, unix

if TYPE_CHECKING:
    _Base = tcp.Connection
else:
    _Base = object


class _Prompt(_Base):
    def write_now(self, data: bytes) -> None:
        """As `write`, for whoever has nothing more to say for now: sent at once where nothing waits before it."""
        if not self.connected or self.disconnecting or self.TLS or self.dataBuffer or self._tempDataLen:
            self.write(data)
            return
        sent = self.writeSomeData(data)
        # Where the connection turns out to be lost, the reactor is to find out, as it would have.
        rest = data[sent:] if isinstance(sent, int) else data
        if rest:
            self.write(rest)

    def push(self) -> None:
        """Send what waits, as the reactor would in its next turn; a producer that was paused goes on if all is sent."""
        if self.connected and not self.disconnecting and not self.TLS:
            # Where the connection turns out to be lost, the reactor finds out in its own time.
            self.doWrite()


class TcpTransport(_Prompt, tcp.Server):
    """What a listening TCP port makes for each client."""


class UnixTransport(_Prompt, unix.Server):
    """What a listening Unix socket makes for each client."""
