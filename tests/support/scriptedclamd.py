"""A daemon at the other end of a socket that does what a test says, where the real one would not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

Script: TypeAlias = Callable[[socket.socket], None]


@contextmanager
def daemon(script: Script, path: Path | None = None, host: str = "127.0.0.1", backlog: int = 16) -> Iterator[str]:
    """The address of a daemon that runs `script` over each connection, one after another; its end waits for nobody."""
    family = socket.AF_UNIX if path is not None else socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    place: Any = str(path) if path is not None else (host, 0)
    listener.bind(place)
    listener.listen(backlog)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    if not over.is_set():
                        script(connection)

    thread = threading.Thread(target=serve, name="scripted clamd")
    thread.start()
    try:
        if path is not None:
            yield str(path)
        else:
            shown = f"[{host}]" if ":" in host else host
            yield f"{shown}:{listener.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as last:
            last.settimeout(1)
            last.connect(listener.getsockname())
        thread.join(10)
        listener.close()


def exactly(connection: socket.socket, octets: int) -> bytes:
    """So many octets; fewer where the other end hangs up before."""
    taken = b""
    while len(taken) < octets and (more := connection.recv(octets - len(taken))):
        taken += more
    return taken


def stream(connection: socket.socket) -> list[bytes]:
    """The chunks of an INSTREAM command, read as clamd(8) describes it."""
    assert exactly(connection, 10) == b"zINSTREAM\0"
    chunks: list[bytes] = []
    while (length := int.from_bytes(exactly(connection, 4), "big")) != 0:
        chunks.append(exactly(connection, length))
    return chunks


def answering(answer: bytes) -> Script:
    """Take a message in, or the command VERSION, and say this."""

    def script(connection: socket.socket) -> None:
        if connection.recv(10, socket.MSG_PEEK).startswith(b"zINSTREAM"):
            stream(connection)
        else:
            exactly(connection, len(b"zVERSION\0"))
        connection.sendall(answer)

    return script
