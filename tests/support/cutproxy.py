"""A TCP proxy before a MySQL server that can lose a COMMIT: its answer, or the COMMIT itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

_COM_QUERY_COMMIT = b"\x03COMMIT"


class Loss(Enum):
    """What becomes of the next COMMIT."""

    NOTHING = 0
    ANSWER = 1  # the server commits, the client never hears of it
    COMMIT = 2  # the server sees the connection close instead, and rolls back
    SILENCE = 3  # the server gets nothing, but the connection to it stays: the transaction keeps its locks


class CutProxy:
    """Forwards connections to `target`; the next COMMIT meets `loss`, and then its connection to the client ends.

    While `refusing` it takes no new connections; while `stalled` is set it swallows what clients say.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.loss = Loss.NOTHING
        self.cuts = 0
        self.refusing = False
        self.stalled = threading.Event()
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept)

    def close(self) -> None:
        """End everything."""
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def release(self) -> None:
        """Close the connections to the server that a SILENCE left open."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            cut = threading.Event()
            self._spawn(self._to_server, client, server, cut)
            self._spawn(self._to_client, client, server, cut)

    def _to_server(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                # A COMMIT is a packet of its own, sent in one piece: four octets of header, then the command.
                if data[4:] == _COM_QUERY_COMMIT and self.loss is not Loss.NOTHING:
                    loss, self.loss = self.loss, Loss.NOTHING
                    self.cuts += 1
                    cut.set()
                    if loss is Loss.ANSWER:
                        server.sendall(data)
                        # The server's answer, which nobody gets, says that it has committed.
                        return
                    client.shutdown(socket.SHUT_RDWR)
                    if loss is Loss.COMMIT:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                if not self.stalled.is_set():
                    server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if cut.is_set():
                    break
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_proxy(target: tuple[str, int]) -> Iterator[CutProxy]:
    """A proxy that is closed at the end."""
    proxy = CutProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
