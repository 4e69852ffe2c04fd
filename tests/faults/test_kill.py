"""A server that is killed again and again while mail comes in: nothing acknowledged is lost, doubled or torn (P1)."""

from __future__ import annotations

import imaplib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from tests.integration.servers import HOST, MailServer
from tests.support.lmtpclient import LmtpClient

# Each kill takes about a second; LIGHTMAIL_KILLS=100 for a long evening.
ROUNDS = int(os.environ.get("LIGHTMAIL_KILLS", "10"))
POSTMEN = 4
RECIPIENTS = ("ada@example.org", "bob@example.org")
SENDER = "sender@example.net"


def message(number: int) -> bytes:
    """Message `number`, always the same: some kilobytes, now and then over a spool's memory."""
    source = random.Random(number)
    lines = 20_000 if number % 40 == 7 else source.randrange(1, 200)
    body = "".join(f"{number} {line} {source.random()} {'.' * 50}\r\n" for line in range(lines))
    return f"Message-ID: <{number}@kill>\r\nSubject: {number}\r\n\r\n{body}".encode()


class Sender:
    """What is to be sent, and what the server has taken on. Like Postfix, it sends again what was not answered."""

    def __init__(self) -> None:
        self.deferred: list[int] = []
        self.accepted: Counter[tuple[int, str]] = Counter()
        self.appended: dict[int, int] = {}
        self.interrupted = 0
        self.refusals: list[bytes] = []
        self._numbers = count(1)
        self._lock = threading.Lock()

    def post(self, port: int, only_deferred: bool = False) -> None:
        """Deliver one message after another until the server is gone, or nothing is deferred any more."""
        with suppress(OSError), LmtpClient(HOST, port) as client:
            while (number := self._take(only_deferred)) is not None:
                try:
                    replies = client.deliver(SENDER, RECIPIENTS, message(number))
                except OSError:
                    with self._lock:
                        self.interrupted += 1
                        self.deferred.append(number)
                    raise
                self._note(number, replies)

    def append(self, port: int) -> None:
        """Append one message after another to ada's mailbox Drafts until the server is gone."""
        with suppress(OSError, imaplib.IMAP4.abort):
            client = imaplib.IMAP4(HOST, port, timeout=60)
            try:
                client.login(RECIPIENTS[0], "secret")
                while True:
                    number = next(self._numbers)
                    status, data = client.append("Drafts", None, None, message(number))
                    assert status == "OK", data
                    self.appended[number] = int(data[0].split()[2].rstrip(b"]"))
            finally:
                client.shutdown()

    def _take(self, only_deferred: bool) -> int | None:
        with self._lock:
            if self.deferred:
                return self.deferred.pop()
            return None if only_deferred else next(self._numbers)

    def _note(self, number: int, replies: list[bytes]) -> None:
        with self._lock:
            for recipient, reply in zip(RECIPIENTS, replies, strict=True):
                if reply.startswith(b"250"):
                    self.accepted[number, recipient] += 1
                else:
                    self.refusals.append(reply)


def mail(server: MailServer, user: str, mailbox: str) -> list[tuple[int, bytes]]:
    """(UID, octets) of all messages of a mailbox."""
    found: list[tuple[int, bytes]] = []
    with imaplib.IMAP4(HOST, server.imap, timeout=60) as client:
        client.login(user, "secret")
        client.select(mailbox, readonly=True)
        _, (uids,) = client.uid("SEARCH", "ALL")
        numbers = uids.split()
        for start in range(0, len(numbers), 100):
            status, data = client.uid("FETCH", b",".join(numbers[start : start + 100]).decode(), "(UID BODY.PEEK[])")
            assert status == "OK", data
            found += [(int(item[0].split(b"UID ")[1].split()[0]), item[1]) for item in data if isinstance(item, tuple)]
        assert [uid for uid, _ in found] == [int(number) for number in numbers]
    return found


def number_of(octets: bytes) -> int:
    start = octets.index(b"Message-ID: <") + 13
    return int(octets[start : octets.index(b"@kill>", start)])


def assert_whole(octets: bytes, number: int) -> None:
    """The octets are message `number` behind trace fields of the server's own."""
    sent = message(number)
    assert octets.endswith(sent), f"message {number} is torn: {len(octets)} octets of {len(sent)}"
    fields = octets[: -len(sent)].replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ").split(b"\r\n")[:-1]
    assert {field.partition(b":")[0] for field in fields} <= {b"Return-Path", b"Received"}


def one_life(server: MailServer, sender: Sender, end: Callable[[], None]) -> None:
    """Let everybody send to a server that was started, until `end` has brought its end about."""
    threads = [threading.Thread(target=sender.post, args=(server.lmtp,)) for _ in range(POSTMEN)]
    threads.append(threading.Thread(target=sender.append, args=(server.imap,)))
    for thread in threads:
        thread.start()
    end()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def expect_all_there(server: MailServer, sender: Sender) -> None:
    """Start the server, send what was deferred, and find everything acknowledged once and whole, and nothing else."""
    server.start()
    sender.post(server.lmtp, only_deferred=True)
    assert sender.deferred == []
    assert sender.refusals == []
    for recipient in RECIPIENTS:
        stored = mail(server, recipient, "INBOX")
        assert len({uid for uid, _ in stored}) == len(stored)
        found = Counter(number_of(octets) for _, octets in stored)
        assert found == {number: 1 for number, to in sender.accepted if to == recipient}
        for _, octets in stored:
            assert_whole(octets, number_of(octets))
    drafts = dict(mail(server, RECIPIENTS[0], "Drafts"))
    for number, uid in sender.appended.items():
        assert drafts.get(uid) == message(number), f"message {number} was appended as UID {uid}"
    for octets in drafts.values():
        assert octets == message(number_of(octets))
    assert sender.appended
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def test_what_was_acknowledged_is_there_once_and_whole(server):
    sender = Sender()
    moments = random.Random(ROUNDS)

    def kill() -> None:
        time.sleep(moments.uniform(0.02, 0.6))
        server.kill()

    for _ in range(ROUNDS):
        server.start()
        one_life(server, sender, kill)
    assert sender.interrupted >= ROUNDS, "no kill came in the middle of a delivery"
    expect_all_there(server, sender)
