"""IMAP and POP3 clients of a few lines, for tests that must see each answer as it came and how long it took."""

from __future__ import annotations

import re
import socket
from types import TracebackType
from typing import BinaryIO, Self

_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n\Z")


class Connection:
    """A connection that says lines and hears lines. OSError where the server is gone or silent for too long."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 120) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        self._answers: BinaryIO = self._socket.makefile("rb")
        try:
            self.greeting = self.line()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send octets as they are."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """One line, with its CRLF."""
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server hung up")
        return line

    def octets(self, count: int) -> bytes:
        """So many octets."""
        data = self._answers.read(count)
        if len(data) < count:
            raise ConnectionResetError("the server hung up")
        return data


class ImapClient(Connection):
    """Commands and the responses that complete them: ``answer`` is the last of these, ``untagged`` came before it."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 120) -> None:
        self.untagged: list[bytes] = []
        self.answer = b""
        super().__init__(host, port, timeout_seconds)

    def response(self) -> bytes:
        """One response with its literals, without its last CRLF."""
        text = self.line()
        while match := _LITERAL.search(text):
            text += self.octets(int(match[1])) + self.line()
        return text[:-2]

    def command(self, text: bytes, literal: bytes | None = None) -> bytes:
        """Send a command, with a literal at its end if there is one; its tagged response without the tag."""
        self.untagged = []
        if literal is not None:
            text += b" {%d}" % len(literal)
        self.send(b"t " + text + b"\r\n")
        while True:
            said = self.response()
            if said.startswith(b"t "):
                self.answer = said[2:]
                return self.answer
            if said.startswith(b"+") and literal is not None:
                self.send(literal + b"\r\n")
            else:
                self.untagged.append(said)

    def expect(self, text: bytes, literal: bytes | None = None) -> bytes:
        """As `command`, where anything but OK is an error."""
        answer = self.command(text, literal)
        assert answer.startswith(b"OK"), (text, answer)
        return answer

    def uids(self, criteria: bytes) -> list[int]:
        """What UID SEARCH finds in the selected mailbox."""
        self.expect(b"UID SEARCH " + criteria)
        return [int(uid) for line in self.untagged if line.startswith(b"* SEARCH") for uid in line.split()[2:]]

    def count(self, mailbox: bytes) -> int:
        """How many messages a mailbox has, by STATUS."""
        self.expect(b"STATUS %b (MESSAGES)" % mailbox)
        (line,) = [line for line in self.untagged if line.startswith(b"* STATUS")]
        return int(line.split()[-1].rstrip(b")"))


class Pop3Client(Connection):
    """Commands and the first lines of their answers."""

    def command(self, text: bytes) -> bytes:
        """The first line of the answer, without its CRLF."""
        self.send(text + b"\r\n")
        return self.line()[:-2]

    def text(self) -> bytes:
        """The rest of an answer that ends with a dot."""
        return b"".join(iter(self.line, b".\r\n"))
