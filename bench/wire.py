"""Small IMAP, LMTP and POP3 clients on asyncio: they send, collect the whole answer and leave parsing for later."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import deque
from collections.abc import Iterable

DEADLINE_SECONDS = 300
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_tags = itertools.count(1)


class WrongAnswer(Exception):
    """A server answered what the protocol, or the mail that was put in, does not allow."""


class Connection:
    """One TCP connection with a deadline on every wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._rest = b""  # what `until` has read beyond its line

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Connection:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return cls(*await asyncio.open_connection(*address, limit=1 << 26))

    async def line(self) -> bytes:
        if b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            return line + b"\n"
        rest, self._rest = self._rest, b""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return rest + await self.reader.readuntil(b"\n")

    async def lines(self, count: int) -> list[bytes]:
        """Exactly `count` lines: all that the server has to say before it is its turn to wait."""
        data, self._rest = self._rest, b""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while data.count(b"\n") < count:
                piece = await self.reader.read(1 << 16)
                if not piece:
                    raise WrongAnswer(f"connection closed after {data[-200:]!r}")
                data += piece
        return data.splitlines()

    async def until(self, mark: bytes) -> bytes:
        """All octets up to and with the first line that starts with `mark`."""
        data = bytearray(self._rest)
        needle = b"\n" + mark
        start = 0
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                at = 0 if data.startswith(mark) else data.find(needle, start) + 1
                end = data.find(b"\n", at) + 1 if at or data.startswith(mark) else 0
                if end:
                    self._rest = bytes(data[end:])
                    return bytes(data[:end])
                start = max(0, len(data) - len(needle)) if not at else at - 1
                piece = await self.reader.read(1 << 20)
                if not piece:
                    raise WrongAnswer(f"connection closed after {bytes(data[-200:])!r}")
                data += piece

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()


class Imap:
    """An IMAP session; `command` gives the whole answer once its tagged line is there."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def login(cls, address: tuple[str, int], user: str, password: str) -> Imap:
        session = cls(await Connection.open(address))
        greeting = await session.connection.line()
        if not greeting.startswith(b"* OK"):
            raise WrongAnswer(f"greeting {greeting!r}")
        await session.command(f'LOGIN "{user}" "{password}"'.encode())
        return session

    async def command(self, text: bytes) -> bytes:
        tag = b"t%d" % next(_tags)
        self.connection.send(b"%s %s\r\n" % (tag, text))
        return await self._answer(tag, text)

    async def pipeline(self, texts: Iterable[bytes], window: int) -> list[bytes]:
        """The answers to commands of which `window` are under way at a time."""
        waiting: deque[tuple[bytes, bytes]] = deque()
        answers: list[bytes] = []
        for text in texts:
            if len(waiting) == window:
                answers.append(await self._answer(*waiting.popleft()))
            tag = b"t%d" % next(_tags)
            self.connection.send(b"%s %s\r\n" % (tag, text))
            waiting.append((tag, text))
        while waiting:
            answers.append(await self._answer(*waiting.popleft()))
        return answers

    async def append(self, mailbox: str, message: bytes) -> bytes:
        """APPEND with a non-synchronising literal."""
        return await self.command(appending(mailbox, message))

    async def _answer(self, tag: bytes, text: bytes) -> bytes:
        answer = await self.connection.until(tag + b" ")
        last = answer[answer.rfind(tag + b" ") :]
        if not last.startswith(tag + b" OK"):
            raise WrongAnswer(f"{text[:60]!r} was answered {last[:200]!r}")
        return answer

    async def logout(self) -> None:
        answer = await self.command(b"LOGOUT")
        if b"* BYE" not in answer:
            raise WrongAnswer("LOGOUT without BYE")
        self.connection.close()


class Lmtp:
    """An LMTP session (RFC 2033)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Lmtp:
        session = cls(await Connection.open(address))
        await session._reply(b"220")
        session.connection.send(b"LHLO bench.example\r\n")
        await session._reply(b"250")
        return session

    async def deliver(self, recipients: list[str], stuffed: bytes) -> None:
        """One message, dot-stuffed already; every recipient must be answered 250."""
        envelope = [b"MAIL FROM:<sender@example.net>", *(b"RCPT TO:<%s>" % r.encode() for r in recipients), b"DATA"]
        self.connection.send(b"\r\n".join(envelope) + b"\r\n")
        _expect(await self.connection.lines(len(recipients) + 2), [b"250"] * (len(recipients) + 1) + [b"354"])
        self.connection.send(stuffed + b".\r\n")
        _expect(await self.connection.lines(len(recipients)), [b"250"] * len(recipients))

    async def quit(self) -> None:
        self.connection.send(b"QUIT\r\n")
        await self._reply(b"221")
        self.connection.close()

    async def _reply(self, code: bytes) -> None:
        while True:
            line = await self.connection.line()
            if not line.startswith(code):
                raise WrongAnswer(f"wanted {code!r}, got {line!r}")
            if line[3:4] == b" ":
                return


def _expect(lines: list[bytes], codes: list[bytes]) -> None:
    if [line[:3] for line in lines] != codes:
        raise WrongAnswer(f"LMTP answered {lines!r}, wanted {codes!r}")


class Pop3:
    """A POP3 session (RFC 1939)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def login(cls, address: tuple[str, int], user: str, password: str) -> Pop3:
        session = cls(await Connection.open(address))
        await session._ok()
        for text in (f"USER {user}", f"PASS {password}"):
            await session.command(text.encode())
        return session

    async def command(self, text: bytes) -> bytes:
        self.connection.send(text + b"\r\n")
        return await self._ok()

    async def retrieve_all(self, total: int, window: int) -> list[bytes]:
        """Messages 1 to `total`, dots unstuffed; `window` commands are under way at a time."""
        got: list[bytes] = []
        asked = 0
        while len(got) < total:
            while asked < min(total, len(got) + window):
                asked += 1
                self.connection.send(b"RETR %d\r\n" % asked)
            got.append(await self._body())
        return got

    async def _body(self) -> bytes:
        await self._ok()
        async with asyncio.timeout(DEADLINE_SECONDS):
            data = await self.connection.reader.readuntil(b"\r\n.\r\n")
        return data[:-3].replace(b"\r\n..", b"\r\n.")

    async def quit(self) -> None:
        await self.command(b"QUIT")
        self.connection.close()

    async def _ok(self) -> bytes:
        line = await self.connection.line()
        if not line.startswith(b"+OK"):
            raise WrongAnswer(f"POP3 answered {line!r}")
        return line


def appending(mailbox: str, message: bytes) -> bytes:
    """The command that appends a message, literal and all (RFC 7888)."""
    return b"APPEND %s {%d+}\r\n%s" % (mailbox.encode(), len(message), message)


def stuff(message: bytes) -> bytes:
    """`message` as DATA sends it: a dot before each line that starts with one, and a line end last."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"


def fetch_items(answer: bytes) -> list[tuple[bytes, list[bytes]]]:
    """The untagged FETCH responses of an answer, each as its text without literals and the list of its literals."""
    items: list[tuple[bytes, list[bytes]]] = []
    position = 0
    while position < len(answer):
        text, literals = b"", []
        while True:
            end = answer.find(b"\r\n", position)
            end = len(answer) if end < 0 else end + 2
            piece = answer[position:end]
            position = end
            text += piece
            literal = _LITERAL.search(piece, max(0, len(piece) - 16))
            if not literal:
                break
            octets = int(literal.group(1))
            literals.append(answer[position : position + octets])
            position += octets
        if text.startswith(b"* ") and b" FETCH (" in text[:40]:
            items.append((text, literals))
    return items
