"""The protocol of ClamAV's daemon, as clamd(8) describes it: a connection for each command.

For threads: every call blocks, up to the seconds that it is given in all.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import BinaryIO, Final

_CHUNK_OCTETS: Final = 64 << 10
_ANSWER_OCTETS: Final = 4096
_SHOWN_CHARACTERS: Final = 200
_STREAM: Final = "stream: "
_CLEAN: Final = "stream: OK"
_FOUND: Final = " FOUND"


class ClamdError(Exception):
    """No verdict: the daemon cannot be reached, does not answer in time, or says that it failed."""


class StreamTooLong(ClamdError):
    """The message has more octets than the daemon's ``StreamMaxLength``."""


def scan(address: str, message: BinaryIO, seconds: float) -> str | None:
    """The signature that the daemon finds in a message, None where it finds none. Raises ClamdError, StreamTooLong.

    `address` is the path of a Unix socket, or host:port.
    """
    with _Conversation(address, seconds) as daemon:
        try:
            # What is short leaves in one piece, the command with it.
            piece = bytearray(b"zINSTREAM\0")
            while chunk := message.read(_CHUNK_OCTETS):
                piece += len(chunk).to_bytes(4, "big")
                piece += chunk
                if len(piece) > _CHUNK_OCTETS:
                    daemon.send(piece)
                    piece.clear()
            daemon.send(piece + bytes(4))
        except ClamdError as stopped:
            # It hangs up on what is too long for it, having said so; where it said nothing, the cause is another.
            # And that it found nothing in a part of the message means nothing.
            answer = daemon.last_words()
            if answer in ("", _CLEAN):
                raise stopped
        else:
            answer = daemon.answer()
    return _signature(answer)


def version(address: str, seconds: float) -> str:
    """What the daemon is and which signatures it has: ``ClamAV 1.0.7/27430/Fri Oct 18 08:35:37 2024``."""
    with _Conversation(address, seconds) as daemon:
        daemon.send(b"zVERSION\0")
        return daemon.answer()


def _signature(answer: str) -> str | None:
    if answer == _CLEAN:
        return None
    if answer.startswith(_STREAM) and answer.endswith(_FOUND):
        return answer[len(_STREAM) : -len(_FOUND)]
    if "size limit exceeded" in answer:
        raise StreamTooLong(answer)
    raise ClamdError(f"it answered: {answer[:_SHOWN_CHARACTERS] or 'nothing'}")


class _Conversation:
    """A connection to the daemon, all of whose calls together end within some seconds. Raises ClamdError."""

    def __init__(self, address: str, seconds: float) -> None:
        self._by = time.monotonic() + seconds
        self._seconds = seconds
        try:
            self._socket = _connected(address, seconds)
        except OSError as error:
            raise ClamdError(f"{address} cannot be reached: {_why(error)}") from None

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, piece: bytes | bytearray) -> None:
        """Send these octets."""
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(piece)
        except OSError as error:
            raise ClamdError(f"the connection broke: {_why(error)}") from None

    def answer(self) -> str:
        """All that the daemon says up to the NUL that ends it, printable ASCII. What is cut off is no answer."""
        said = bytearray()
        try:
            while b"\0" not in said and len(said) < _ANSWER_OCTETS:
                self._socket.settimeout(self._left())
                more = self._socket.recv(_ANSWER_OCTETS)
                if not more:
                    break
                said += more
        except OSError as error:
            raise ClamdError(f"no answer: {_why(error)}") from None
        whole, nul, _ = bytes(said).partition(b"\0")
        text = whole.decode("ascii", "replace").strip()
        text = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
        if not nul:
            raise ClamdError(f"its answer has no end: {text[:_SHOWN_CHARACTERS]}" if text else "it hung up")
        return text

    def last_words(self) -> str:
        """What it said before it hung up, empty where that is nothing."""
        try:
            return self.answer()
        except ClamdError:
            return ""

    def _left(self) -> float:
        left = self._by - time.monotonic()
        if left <= 0:
            raise ClamdError(f"no verdict within {self._seconds:g} s")
        return left


def _connected(address: str, seconds: float) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Python's own time limit makes the socket one that does not block, and a connection that finds the daemon's
        # queue full would fail at once. The kernel's waits for its place.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return "it takes too long"
    return error.strerror or str(error)
