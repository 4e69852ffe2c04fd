"""Runs IMAP conversations written down as text, on several connections to one server.

A transcript is a sequence of lines::

    # a comment
    @limits bad_commands=5                           bounds of the server's configuration
    @imap deleted_tree                               switches of [imap] that are on
    @account alice@example.org secret quota=5000     make an account
    C1: a1 LOGIN alice@example.org secret            send a line on connection 1, opened when it is first named
    S1: a1 OK [CAPABILITY …] Logged in               the next line that connection 1 receives
    S1~ a2 OK …                                      skip lines until this one comes
    C1: a3 APPEND INBOX {…}                          the size is that of the L1 lines that follow
    S1: + …
    L1: Subject: a line of the literal, sent with CRLF
    C1:                                              the rest of the command behind the literal
    S1: a3 OK [APPENDUID «validity» «uid»] …         digits, named; the same name stands for the same digits after
    P1: raw                                          send without CRLF (``\\r``, ``\\n``, ``\\xNN`` are read as escapes)
    @tls 1          do the client's part of a TLS handshake on connection 1
    @closed 1       connection 1 is at its end, nothing more was sent
    @quiet 1        nothing has come on connection 1 that was not expected
    @drop 1         cut connection 1 off

``…`` stands for any text within a line. Server lines are compared as they come over the wire: a literal's lines are
lines of their own. A transcript ends with `quiet` for each connection.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

TIMEOUT_SECONDS = 10.0
QUIET_SECONDS = 0.05

_LINE = re.compile(r"(?P<kind>[CSLP])(?P<number>[0-9]+)(?P<mode>[:~]) ?(?P<text>.*)")
_WILD = re.compile(r"…|«(\w+)»")


class Mismatch(AssertionError):
    """What a server said is not what the transcript expects; the text shows where."""


class Server(Protocol):
    """What a transcript is run against."""

    @property
    def port(self) -> int: ...
    def add_account(self, address: str, password: str, quota_octets: int = 0) -> None: ...


class Connection:
    """A client's end of a connection: lines out, lines in, bounded in time."""

    def __init__(self, port: int) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self._received = b""

    def send(self, octets: bytes) -> None:
        """Send octets."""
        self._socket.settimeout(TIMEOUT_SECONDS)
        self._socket.sendall(octets)

    def line(self) -> bytes:
        """The next line without CRLF; EOFError at the end of the connection."""
        while b"\r\n" not in self._received:
            octets = self._receive(TIMEOUT_SECONDS)
            if not octets:
                raise EOFError(self._received)
            self._received += octets
        line, self._received = self._received.split(b"\r\n", 1)
        return line

    def octets(self, count: int) -> bytes:
        """The next `count` octets; EOFError at the end of the connection."""
        while len(self._received) < count:
            octets = self._receive(TIMEOUT_SECONDS)
            if not octets:
                raise EOFError(self._received)
            self._received += octets
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def pending(self) -> bytes:
        """What has come and was not read, and comes within a moment."""
        with suppress(TimeoutError):
            self._received += self._receive(QUIET_SECONDS)
        return self._received

    def at_end(self) -> bool:
        """Whether the server has closed the connection and nothing is left to read."""
        try:
            return not self._received and not self._receive(TIMEOUT_SECONDS)
        except (ConnectionError, ssl.SSLError):
            return True

    def start_tls(self) -> None:
        """The client's part of a handshake; any certificate will do."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _receive(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        return self._socket.recv(65536)


@dataclass
class Step:
    """One line of a transcript."""

    row: int
    kind: str
    number: int
    text: str
    skip: bool = False


@dataclass
class Run:
    """A transcript being run."""

    server: Server
    connections: dict[int, Connection] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def connection(self, number: int) -> Connection:
        """Connection `number`, opened at its first use."""
        if number not in self.connections:
            self.connections[number] = Connection(self.server.port)
        return self.connections[number]

    def step(self, step: Step, literal: bytes) -> None:
        """Do one line; `literal` is what its ``{…}`` announces."""
        if step.kind == "@":
            self._direct(step)
        elif step.kind == "S":
            self._expect(step)
        else:
            self._send(step, literal)

    def finish(self) -> None:
        """Every connection is quiet; close them."""
        for number in self.connections:
            self._quiet(Step(0, "@", number, "end of the transcript"))

    def close(self) -> None:
        """Close all connections."""
        for connection in self.connections.values():
            connection.close()

    def _send(self, step: Step, literal: bytes) -> None:
        text = _WILD.sub(self._known, step.text) if step.kind == "C" else step.text
        text = text.replace("{…", f"{{{len(literal)}") if step.kind == "C" else text
        self.seen.append(f"{step.kind}{step.number}: {text}")
        octets = (
            text.encode() + b"\r\n" if step.kind != "P" else text.encode().decode("unicode_escape").encode("latin-1")
        )
        self.connection(step.number).send(octets)

    def _known(self, match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group() if name is None else self.names[name]

    def _expect(self, step: Step) -> None:
        connection = self.connection(step.number)
        while True:
            try:
                line = connection.line().decode("utf-8", "backslashreplace")
            except (EOFError, TimeoutError, ConnectionError) as error:
                raise self._mismatch(step, f"{type(error).__name__}: {error}") from None
            self.seen.append(f"S{step.number}: {line}")
            if self._matches(step.text, line):
                return
            if not step.skip:
                raise self._mismatch(step, line)

    def _matches(self, expected: str, line: str) -> bool:
        pattern, position, named = "", 0, []
        for wild in _WILD.finditer(expected):
            pattern += re.escape(expected[position : wild.start()])
            position = wild.end()
            name = wild.group(1)
            if name is None:
                pattern += ".*"
            elif name in self.names:
                pattern += re.escape(self.names[name])
            elif name in named:
                pattern += f"(?P={name})"
            else:
                named.append(name)
                pattern += f"(?P<{name}>[0-9]+)"
        match = re.fullmatch(pattern + re.escape(expected[position:]), line, re.DOTALL)
        if match is None:
            return False
        self.names.update(match.groupdict())
        return True

    def _direct(self, step: Step) -> None:
        verb, *words = step.text.split()
        directions: dict[str, Callable[[Step], None]] = {
            "tls": lambda s: self.connection(s.number).start_tls(),
            "closed": self._closed,
            "quiet": self._quiet,
            "drop": lambda s: self.connections.pop(s.number).close(),
        }
        if verb == "account":
            options = dict(word.split("=", 1) for word in words[2:])
            self.server.add_account(words[0], words[1], int(options.get("quota", 0)))
        else:
            directions[verb](step)

    def _closed(self, step: Step) -> None:
        connection = self.connections.pop(step.number)
        try:
            ended = connection.at_end()
        except TimeoutError:
            ended = False
        pending = connection._received
        connection.close()
        if not ended:
            raise self._mismatch(step, f"still open, received {pending!r}")

    def _quiet(self, step: Step) -> None:
        pending = self.connection(step.number).pending()
        if pending:
            raise self._mismatch(step, repr(pending))

    def _mismatch(self, step: Step, got: str) -> Mismatch:
        before = "\n".join(self.seen[-12:])
        return Mismatch(
            f"row {step.row}\nexpected: {step.kind}{step.number}: {step.text}\ngot:      {got}\nafter:\n{before}"
        )


def read(text: str) -> Iterator[Step]:
    """The steps of a transcript."""
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith(("#", "@limits ", "@imap ")):
            continue
        if line.startswith("@"):
            words = line[1:].split()
            number = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            yield Step(row, "@", number, line[1:])
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"row {row} is no line of a transcript: {line}")
        yield Step(row, match["kind"], int(match["number"]), match["text"], skip=match["mode"] == "~")


def switches(text: str) -> dict[str, bool]:
    """What the ``@imap`` lines of a transcript turn on."""
    return {word: True for line in text.splitlines() if line.startswith("@imap ") for word in line.split()[1:]}


def limits(text: str) -> dict[str, int]:
    """What the ``@limits`` lines of a transcript say."""
    words = [word for line in text.splitlines() if line.startswith("@limits ") for word in line.split()[1:]]
    return {name: int(value) for name, value in (word.split("=", 1) for word in words)}


def run(server: Server, text: str) -> None:
    """Run a transcript; Mismatch where the server does not follow it."""
    steps = list(read(text))
    conversation = Run(server)
    try:
        for position, step in enumerate(steps):
            conversation.step(step, _literal(steps, position))
        conversation.finish()
    finally:
        conversation.close()


def run_file(server: Server, path: Path) -> None:
    """Run the transcript in a file."""
    run(server, path.read_text(encoding="utf-8"))


def _literal(steps: list[Step], position: int) -> bytes:
    """The octets that the ``{…}`` of a line announces: the lines of the same connection's next L block."""
    first = steps[position]
    if first.kind != "C" or "{…" not in first.text:
        return b""
    lines = []
    for step in steps[position + 1 :]:
        if step.number != first.number or step.kind == "S":
            continue
        if step.kind != "L":
            break
        lines.append(step.text.encode() + b"\r\n")
    return b"".join(lines)
