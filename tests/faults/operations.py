"""What users ask of a server while its stores are in trouble, and the law that holds of each, whatever it answers.

An answer is success or *later*: what a client takes to mean that it may try again. Anything permanent is an error (P8).
What was acknowledged is there once, what was not is there at most once, whole or not at all (P1, P7).
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from tests.integration.servers import HOST
from tests.support.lmtpclient import LmtpClient
from tests.support.mailclients import ImapClient, Pop3Client
from tests.support.stack import Stack

SENDER = "sender@example.net"
LARGE_OCTETS = 300_000  # more than is kept in memory, so that each FETCH asks the store
_serial = count(1)


def message(octets: int = 2_000) -> bytes:
    """A message like no other."""
    number = next(_serial)
    source = random.Random(number)
    lines = [f"{source.getrandbits(288):072x}\r\n" for _ in range(octets // 74)]
    return f"Message-ID: <{number}@faults>\r\nSubject: {number}\r\n\r\n{''.join(lines)}".encode()


def message_id(octets: bytes) -> bytes:
    return octets.split(b"\r\n", 1)[0].split()[1]


class Refused(Exception):
    """A permanent answer to trouble that may pass."""


@dataclass(frozen=True)
class Outcome:
    """What was answered, and after how long."""

    name: str
    done: bool
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} {'done' if self.done else 'later'} {self.seconds:.1f} s"


class Operation(ABC):
    """`prepare` on a healthy server; `act` in trouble; `settle` when that is over. One account each."""

    name: ClassVar[str]

    def __init__(self, stack: Stack) -> None:
        self.server = stack.server
        self.user = f"{self.name.replace(' ', '').lower()}@example.org"
        self.server.account(self.user)

    @abstractmethod
    def prepare(self) -> None:
        """Make ready all but the operation itself."""

    @abstractmethod
    def act(self) -> bool:
        """Ask for it: whether it was done. Refused for a permanent answer."""

    @abstractmethod
    def settle(self, done: bool) -> None:
        """Hold what is there now against what was answered."""

    def login(self) -> ImapClient:
        client = ImapClient(HOST, self.server.imap)
        client.expect(b"LOGIN %b secret" % self.user.encode())
        return client

    def deliver(self, octets: bytes) -> bytes:
        with LmtpClient(HOST, self.server.lmtp) as client:
            (reply,) = client.deliver(SENDER, [self.user], octets)
        return reply

    def copies(self, octets: bytes, mailbox: bytes = b"INBOX") -> int:
        """How often a message is in a mailbox."""
        with self.login() as client:
            client.expect(b"EXAMINE " + mailbox)
            return len(client.uids(b"HEADER Message-ID " + message_id(octets)))


def _imap_done(answer: bytes) -> bool:
    if answer.startswith(b"NO [UNAVAILABLE]"):
        return False
    if not answer.startswith(b"OK"):
        raise Refused(answer)
    return True


class Deliver(Operation):
    name = "LMTP"

    def prepare(self) -> None:
        self._message = message()

    def act(self) -> bool:
        reply = self.deliver(self._message)
        if not reply.startswith((b"250 ", b"4")):
            raise Refused(reply)
        return reply.startswith(b"250")

    def settle(self, done: bool) -> None:
        assert self.copies(self._message) in ((1,) if done else (0, 1))
        if not done:
            assert self.deliver(self._message).startswith(b"250")
            assert self.copies(self._message) == 1


class InSession(Operation):
    """An operation of a session that began before the trouble."""

    _session: ImapClient | None = None

    def prepare(self) -> None:
        self.close()
        self._session = self.login()

    @property
    def session(self) -> ImapClient:
        assert self._session is not None
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def fill(self, mailbox: bytes, octets: int = 2_000) -> list[bytes]:
        """Make a mailbox with three messages."""
        self.session.expect(b"CREATE " + mailbox)
        made = [message(octets) for _ in range(3)]
        for each in made:
            self.session.expect(b"APPEND " + mailbox, each)
        return made

    def goes_on(self) -> None:
        """The session that met the trouble is as good as before."""
        self.session.expect(b"NOOP")


class Append(InSession):
    name = "APPEND"

    def prepare(self) -> None:
        super().prepare()
        self._message = message()

    def act(self) -> bool:
        return _imap_done(self.session.command(b"APPEND Drafts", self._message))

    def settle(self, done: bool) -> None:
        self.goes_on()
        assert self.copies(self._message, b"Drafts") in ((1,) if done else (0, 1))


class Copy(InSession):
    name = "COPY"

    def prepare(self) -> None:
        super().prepare()
        self._to = b"to%d" % next(_serial)
        self.session.expect(b"CREATE " + self._to)
        if self.session.command(b"SELECT from").startswith(b"NO"):
            self.fill(b"from")
            self.session.expect(b"SELECT from")

    def act(self) -> bool:
        return _imap_done(self.session.command(b"COPY 1:3 " + self._to))

    def settle(self, done: bool) -> None:
        self.goes_on()
        with self.login() as client:
            assert client.count(self._to) in ((3,) if done else (0, 3))


class Expunge(InSession):
    name = "EXPUNGE"

    def prepare(self) -> None:
        super().prepare()
        self._mailbox = b"box%d" % next(_serial)
        self.fill(self._mailbox)
        self.session.expect(b"SELECT " + self._mailbox)
        self.session.expect(b"STORE 1:3 +FLAGS.SILENT (\\Deleted)")

    def act(self) -> bool:
        return _imap_done(self.session.command(b"EXPUNGE"))

    def settle(self, done: bool) -> None:
        self.goes_on()
        with self.login() as client:
            assert client.count(self._mailbox) in ((0,) if done else (0, 3))


class FetchBody(InSession):
    name = "FETCH"
    _bodies: Sequence[bytes] = ()

    def prepare(self) -> None:
        super().prepare()
        self._bodies = self._bodies or self.fill(b"large", LARGE_OCTETS)
        self.session.expect(b"SELECT large")
        self._cut = False

    def act(self) -> bool:
        try:
            done = _imap_done(self.session.command(b"FETCH 1:3 BODY.PEEK[]"))
        except ConnectionResetError:
            # A literal that cannot be finished closes the connection; the client sees that it has not got all.
            self._cut = True
            return False
        if done:
            found = [
                line.partition(b"\r\n")[2].removesuffix(b")") for line in self.session.untagged if b"FETCH" in line
            ]
            assert found == list(self._bodies)
        return done

    def settle(self, done: bool) -> None:
        if self._cut:
            self.prepare()
        assert self.act()


class Login(Operation):
    name = "LOGIN"

    def prepare(self) -> None:
        pass

    def act(self) -> bool:
        with ImapClient(HOST, self.server.imap) as client:
            return _imap_done(client.command(b"LOGIN %b secret" % self.user.encode()))

    def settle(self, done: bool) -> None:
        self.login().close()


class Quit(Operation):
    name = "POP3 QUIT"

    def prepare(self) -> None:
        assert self.deliver(message()).startswith(b"250")
        self._client = self._opened()
        _, number, _ = self._client.command(b"STAT").split()
        self._had = int(number)
        assert self._client.command(b"DELE %d" % self._had).startswith(b"+OK")

    def _opened(self) -> Pop3Client:
        client = Pop3Client(HOST, self.server.pop3)
        client.command(b"USER " + self.user.encode())
        answer = client.command(b"PASS secret")
        if answer.startswith(b"+OK"):
            return client
        # A lease that could not be given back runs out by itself; others need not wait for it.
        assert b"[IN-USE]" in answer, answer
        client.close()
        self.user = f"quit{next(_serial)}@example.org"
        self.server.account(self.user)
        assert self.deliver(message()).startswith(b"250")
        return self._opened()

    def act(self) -> bool:
        answer = self._client.command(b"QUIT")
        self._client.close()
        if answer.startswith(b"-ERR [SYS/TEMP]"):
            return False
        if not answer.startswith(b"+OK"):
            raise Refused(answer)
        return True

    def settle(self, done: bool) -> None:
        with self.login() as client:
            left = client.count(b"INBOX")
        assert left in ((self._had - 1,) if done else (self._had - 1, self._had))


ALL: tuple[type[Operation], ...] = (Deliver, Append, Copy, Expunge, FetchBody, Login, Quit)
WRITES = (Deliver.name, Append.name, Copy.name, Expunge.name, Quit.name)


class Crew:
    """All operations on one server."""

    def __init__(self, stack: Stack) -> None:
        self.operations = {kind.name: kind(stack) for kind in ALL}
        self._threads = ThreadPoolExecutor(len(ALL), "client")

    def close(self) -> None:
        """End the sessions."""
        self._threads.shutdown()
        for operation in self.operations.values():
            if isinstance(operation, InSession):
                operation.close()

    def prepare(self, names: Sequence[str] = ()) -> None:
        for name in names or self.operations:
            self.operations[name].prepare()

    def act(self, name: str) -> Outcome:
        """One operation."""
        began = time.monotonic()
        done = self.operations[name].act()
        return Outcome(name, done, time.monotonic() - began)

    def act_together(self, meanwhile: Callable[[], None] = lambda: None) -> list[Outcome]:
        """All of them at once; `meanwhile` is called when they have begun."""
        running = [self._threads.submit(self.act, name) for name in self.operations]
        meanwhile()
        return [each.result() for each in running]

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.operations[outcome.name].settle(outcome.done)

    def recover(self, within_seconds: float) -> float:
        """How long until everything works again; AssertionError when that takes too long."""
        began, probe = time.monotonic(), self.operations[Login.name]
        while time.monotonic() - began < within_seconds:
            with suppress(AssertionError, OSError):
                assert probe.deliver(message()).startswith(b"250")
                probe.login().close()
                return time.monotonic() - began
            time.sleep(0.05)
        raise AssertionError(f"the server has not recovered within {within_seconds} s")
