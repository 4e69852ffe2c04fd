"""A small LMTP client that says for each recipient what became of the message, and can be cut off at any moment."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO


class LmtpClient:
    """One connection. Methods raise OSError where the server goes away."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 60) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        self._replies: BinaryIO = self._socket.makefile("rb")
        try:
            self.reply()
            self.say(b"LHLO client.example.net")
            while self._line()[3:4] == b"-":
                pass
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LmtpClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._replies.close()
        self._socket.close()

    def say(self, *lines: bytes) -> None:
        """Send lines."""
        self._socket.sendall(b"".join(line + b"\r\n" for line in lines))

    def reply(self) -> bytes:
        """One reply of one line, such as ``250 2.0.0 Delivered``."""
        return self._line()

    def _line(self) -> bytes:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server hung up")
        return line[:-2]

    def deliver(self, sender: str, recipients: Sequence[str], message: bytes) -> list[bytes]:
        """Deliver a CRLF-true message that ends in CRLF; the reply for each recipient, of RCPT where that failed."""
        said, taken = self.hand_in(sender, recipients, message)
        return [self.reply() if taken and reply.startswith(b"250") else reply for reply in said]

    def hand_in(self, sender: str, recipients: Sequence[str], message: bytes) -> tuple[list[bytes], bool]:
        """Send all of a message: what was said to each RCPT, and whether replies to the message follow."""
        self.say(
            b"MAIL FROM:<%b>" % sender.encode(),
            *(b"RCPT TO:<%b>" % recipient.encode() for recipient in recipients),
            b"DATA",
        )
        self.reply()
        said = [self.reply() for _ in recipients]
        if not self.reply().startswith(b"354"):
            self.say(b"RSET")
            self.reply()
            return said, False
        self._socket.sendall((b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return said, True
