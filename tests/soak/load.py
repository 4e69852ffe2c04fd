"""Clients of every kind, each in a thread, that note what they are told and check what they get."""

from __future__ import annotations

import random
import re
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.integration.servers import HOST, MailServer
from tests.soak.ledger import Ledger, message, number_of
from tests.support.lmtpclient import LmtpClient
from tests.support.mailclients import ImapClient, Pop3Client

PASSWORD = b"secret"
INBOX, DRAFTS, ARCHIVE = "INBOX", "Drafts", "Archive"
MAILBOXES = (INBOX, DRAFTS, ARCHIVE)
# A mailbox with more messages than this is cut down to half.
FULL = 60
_UID = re.compile(rb"UID ([0-9]+)")


class Soak:
    """What the clients share. ``troubled``: faults are about, so that *later* is a good answer."""

    def __init__(self, server: MailServer, users: Sequence[str], pop_user: str, *, troubled: bool) -> None:
        self.server = server
        self.users = users
        self.pop_user = pop_user
        self.troubled = troubled
        self.ledger = Ledger()
        self.over = threading.Event()
        self.deferred: deque[tuple[int, tuple[str, ...]]] = deque()
        self.problems: list[str] = []
        self.tally: Counter[str] = Counter()

    def heard(self, what: str, answer: bytes, good: bytes, later: Sequence[bytes]) -> bool:
        """Note an answer: whether it is success."""
        if answer.startswith(good):
            self.tally[f"{what} done"] += 1
            return True
        self.tally[f"{what} later"] += 1
        if not (self.troubled and answer.startswith(tuple(later))):
            self.problems.append(f"{what}: {answer.decode(errors='replace')[:200]}")
        return False

    def lost(self, what: str, error: OSError) -> None:
        """Note a connection that ended in the middle of something."""
        self.tally[f"{what} lost"] += 1
        if not self.troubled and not isinstance(error, HungUp):
            self.problems.append(f"{what}: {error!r}")


class Later(Exception):
    """The session cannot go on: the server asked to come again."""


class HungUp(OSError):
    """The client went away in the middle, as it meant to."""


class Client(ABC, threading.Thread):
    """Does its `round` again and again, at most `pause_seconds` apart, until the soak is over."""

    pause_seconds = 0.1

    def __init__(self, soak: Soak, seed: int) -> None:
        super().__init__(name=f"{type(self).__name__.lower()} {seed}")
        self.soak = soak
        self.dice = random.Random(seed)
        self.user = soak.users[seed % len(soak.users)]

    def run(self) -> None:
        while not self.soak.over.wait(self.dice.random() * self.pause_seconds):
            try:
                self.round()
            except Later:
                pass
            except OSError as error:
                self.soak.lost(type(self).__name__, error)
            except Exception as error:
                self.soak.problems.append(f"{self.name}: {error!r}")

    @abstractmethod
    def round(self) -> None:
        """One session, or a part of one."""

    def busy(self, times: int) -> bool:
        """Whether a session goes on, on the average for so many rounds."""
        return not self.soak.over.is_set() and self.dice.random() > 1 / times

    # IMAP

    @contextmanager
    def session(self, mailbox: str = "") -> Iterator[ImapClient]:
        """A session that has logged in, and selected a mailbox if one is named. Later where that cannot be now."""
        with ImapClient(HOST, self.soak.server.imap) as client:
            if not self.ask(client, b"LOGIN %b %b" % (self.user.encode(), PASSWORD)):
                raise Later
            if mailbox and not self.select(client, mailbox):
                raise Later
            yield client

    def ask(self, client: ImapClient, command: bytes, literal: bytes | None = None) -> bool:
        """Send a command: whether it was done."""
        answer = client.command(command, literal)
        name = command.split()[command.startswith(b"UID")].decode()
        return self.soak.heard(name, answer, b"OK", (b"NO [UNAVAILABLE]",))

    def select(self, client: ImapClient, mailbox: str) -> bool:
        return self.ask(client, b"SELECT " + mailbox.encode())

    def messages(self, client: ImapClient, section: bytes = b"HEADER.FIELDS (MESSAGE-ID)") -> dict[int, bytes]:
        """That section of every message of the selected mailbox, by UID."""
        if not self.ask(client, b"UID FETCH 1:* (UID BODY.PEEK[%b])" % section):
            return {}
        return dict(filter(None, map(_fetched, client.untagged)))


def _fetched(response: bytes) -> tuple[int, bytes] | None:
    head, _, body = response.partition(b"}\r\n")
    match = _UID.search(head) or _UID.search(response)
    return (int(match[1]), body[:-1]) if match and body else None


class Postman(Client):
    """Delivers over LMTP to one to three users, sends again what was deferred, and now and then hangs up."""

    def round(self) -> None:
        with LmtpClient(HOST, self.soak.server.lmtp) as client:
            while self.busy(20):
                self.one(client)
                self.soak.over.wait(self.dice.random() * 0.1)

    def one(self, client: LmtpClient) -> None:
        try:
            number, users = self.soak.deferred.popleft()
        except IndexError:
            everybody = [*self.soak.users, self.soak.pop_user]
            number, users = self.soak.ledger.new(), tuple(self.dice.sample(everybody, self.dice.choice((1, 1, 2, 3))))
        for user in users:
            self.soak.ledger.sent((user, INBOX), number)
        try:
            if self.dice.random() < 0.01:
                client.hand_in("soak@example.net", users, message(number))
                raise HungUp
            replies = client.deliver("soak@example.net", users, message(number))
        except OSError:
            self.soak.deferred.append((number, users))
            raise
        left = tuple(user for user, reply in zip(users, replies, strict=True) if not self.took(user, number, reply))
        if left:
            self.soak.deferred.append((number, left))

    def took(self, user: str, number: int, reply: bytes) -> bool:
        if self.soak.heard("LMTP", reply, b"250", (b"451 ",)):
            self.soak.ledger.acknowledge((user, INBOX), number)
            return True
        return False

    def deliver_deferred(self) -> None:
        """Deliver what is deferred, when all trouble is over."""
        with LmtpClient(HOST, self.soak.server.lmtp) as client:
            for _ in range(len(self.soak.deferred)):
                number, users = self.soak.deferred.popleft()
                for user, reply in zip(users, client.deliver("soak@example.net", users, message(number)), strict=True):
                    if not self.took(user, number, reply):
                        self.soak.problems.append(f"message {number} to {user} stays deferred: {reply!r}")


class Appender(Client):
    """Appends to Drafts; does not repeat what was not acknowledged."""

    def round(self) -> None:
        with self.session() as client:
            while self.busy(20):
                number, place = self.soak.ledger.new(), (self.user, DRAFTS)
                self.soak.ledger.sent(place, number)
                if self.ask(client, b"APPEND Drafts (\\Draft)", message(number)):
                    self.soak.ledger.acknowledge(place, number)
                self.soak.over.wait(self.dice.random() * 0.3)


class Reader(Client):
    """Lists, reads, searches and flags as a mail client does; every body must be the one that was sent."""

    def round(self) -> None:
        with self.session(self.dice.choice(MAILBOXES)) as client:
            while self.busy(10):
                uids = list(self.messages(client))
                if uids:
                    self.read(client, self.dice.choice(uids))
                self.ask(client, b"NOOP")
                self.soak.over.wait(self.dice.random() * 0.5)
            self.ask(client, b"LOGOUT")

    def read(self, client: ImapClient, uid: int) -> None:
        self.ask(client, b"UID FETCH %d:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)" % uid)
        if self.ask(client, b"UID FETCH %d (UID BODY[])" % uid):
            for found in filter(None, map(_fetched, client.untagged)):
                number = number_of(found[1])
                if number is None or not found[1].endswith(message(number)):
                    self.soak.problems.append(f"{self.user}: UID {found[0]} is not the message {number} that was sent")
        flag = self.dice.choice((b"\\Seen", b"\\Flagged", b"\\Answered", b"$Label%d" % self.dice.randrange(8)))
        self.ask(client, b"UID STORE %d %bFLAGS (%b)" % (uid, self.dice.choice((b"+", b"-")), flag))
        self.ask(client, self.dice.choice((b"UID SEARCH UNSEEN", b"UID SEARCH SUBJECT soak", b"UID SEARCH FLAGGED")))


class Copier(Client):
    """Copies from INBOX to Archive, each message once. It is the only one that copies for its user."""

    pause_seconds = 0.5

    def round(self) -> None:
        place = (self.user, ARCHIVE)
        with self.session(INBOX) as client:
            while self.busy(10):
                numbers = {uid: number_of(text) for uid, text in self.messages(client).items()}
                new = [(uid, n) for uid, n in numbers.items() if n is not None and not self.soak.ledger.known(place, n)]
                for uid, number in self.dice.sample(new, min(3, len(new))):
                    self.soak.ledger.sent(place, number)
                    # OK to a message that was expunged meanwhile says nothing: COPYUID says that it was copied.
                    if self.ask(client, b"UID COPY %d Archive" % uid) and b"COPYUID" in client.answer:
                        self.soak.ledger.acknowledge(place, number)
                self.soak.over.wait(self.dice.random())


class Keeper(Client):
    """Expunges the older half of a mailbox that is full. It is the only one that removes for its user."""

    pause_seconds = 1.0

    def round(self) -> None:
        with self.session() as client:
            for mailbox in MAILBOXES:
                if self.select(client, mailbox):
                    self.keep(client, (self.user, mailbox))

    def keep(self, client: ImapClient, place: tuple[str, str]) -> None:
        found = {uid: number_of(text) for uid, text in self.messages(client).items()}
        if len(found) <= FULL:
            return
        old = sorted(found)[: len(found) // 2]
        numbers = [number for uid in old if (number := found[uid]) is not None]
        self.soak.ledger.removing(place, numbers)
        listed = b",".join(b"%d" % uid for uid in old)
        flagged = self.ask(client, b"UID STORE %b +FLAGS.SILENT (\\Deleted)" % listed)
        # Not EXPUNGE: a copy of a message that was to go elsewhere carries its flag along.
        if flagged and self.ask(client, b"UID EXPUNGE " + listed):
            self.soak.ledger.removed(place, numbers)


class Idler(Client):
    """Waits in IDLE for what comes, for some seconds at a time."""

    pause_seconds = 2.0

    def round(self) -> None:
        with self.session(INBOX) as client:
            for _ in range(self.dice.randrange(1, 5)):
                client.send(b"t IDLE\r\n")
                line = client.response()
                while not line.startswith((b"+", b"t ")):
                    line = client.response()
                if line.startswith(b"t "):
                    self.soak.heard("IDLE", line[2:], b"OK", (b"NO [UNAVAILABLE]",))
                    return
                self.soak.over.wait(1 + self.dice.random() * 4)
                client.send(b"DONE\r\n")
                while not (line := client.response()).startswith(b"t "):
                    continue
                self.soak.heard("IDLE", line[2:], b"OK", (b"NO [UNAVAILABLE]",))


class Collector(Client):
    """Fetches a maildrop over POP3 and removes what it has fetched, at QUIT."""

    pause_seconds = 3.0

    def round(self) -> None:
        place = (self.soak.pop_user, INBOX)
        with Pop3Client(HOST, self.soak.server.pop3) as client:
            client.command(b"USER " + self.soak.pop_user.encode())
            later = (b"-ERR [SYS/TEMP]", b"-ERR [IN-USE]")
            if not self.soak.heard("POP3 PASS", client.command(b"PASS " + PASSWORD), b"+OK", later):
                return
            numbers = []
            count = int(client.command(b"STAT").split()[1])
            for index in range(1, min(count, 20) + 1):
                if not self.soak.heard("RETR", client.command(b"RETR %d" % index), b"+OK", later[:1]):
                    continue
                text = client.text()
                number = number_of(text)
                if number is None or not text.endswith(message(number)):
                    self.soak.problems.append(f"POP3: not the message {number} that was sent")
                elif self.soak.heard("DELE", client.command(b"DELE %d" % index), b"+OK", later[:1]):
                    numbers.append(number)
            self.soak.ledger.removing(place, numbers)
            if self.soak.heard("QUIT", client.command(b"QUIT"), b"+OK", later[:1]):
                self.soak.ledger.removed(place, numbers)


def clients(soak: Soak) -> list[Client]:
    """One of each kind for every user, or for the whole."""
    count = len(soak.users)
    made: list[Client] = [Postman(soak, seed) for seed in range(2)]
    made += [kind(soak, seed) for kind in (Keeper, Copier, Reader) for seed in range(count)]
    made += [kind(soak, seed) for kind in (Appender, Idler) for seed in range(0, count, 2)]
    return [*made, Collector(soak, 0)]
