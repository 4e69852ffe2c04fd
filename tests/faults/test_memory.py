"""What large messages and many idle connections cost a whole server (P10): its memory does not grow with a message."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer
from tests.support.largeblob import attachment
from tests.support.lmtpclient import LmtpClient

USER = "ada@example.org"
LARGE = 49 << 20  # and the fields that the server adds: the largest message that is taken is 50 MiB
SMALL = 3 << 20  # of several frames, over a spool's memory: what the large one takes, but for its size
BOUND = 16 << 20
IDLE_BOUND = 30 << 10
CONNECTIONS = 500


@cache
def message(octets: int) -> bytes:
    return f"Message-ID: <{octets}@large>\r\n".encode() + b"".join(attachment(octets))


def peak_growth(server: MailServer, work: Callable[[], None]) -> int:
    """By how many octets `work` raises the most memory that the server ever had resident."""
    assert server.process is not None
    process = Path(f"/proc/{server.process.pid}")
    try:
        (process / "clear_refs").write_text("5")  # the peak begins anew
    except PermissionError:
        pytest.skip("the peak of a process's memory cannot be reset here")
    before = memory(server, "VmRSS")
    work()
    return memory(server, "VmHWM") - before


def memory(server: MailServer, name: str) -> int:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@contextlib.contextmanager
def imap(server: MailServer) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4(HOST, server.imap, timeout=60) as client:
        client.login(USER, "secret")
        client.select("INBOX")
        yield client


def deliver(server: MailServer, octets: int) -> None:
    with LmtpClient(HOST, server.lmtp) as client:
        (reply,) = client.deliver("sender@example.net", [USER], message(octets))
    assert reply.startswith(b"250"), reply


def append(server: MailServer, octets: int) -> None:
    with imap(server) as client:
        assert client.append("INBOX", None, None, message(octets))[0] == "OK"


def newest(server: MailServer, octets: int) -> str:
    """The last message of INBOX, which has so many octets at least."""
    with imap(server) as client:
        number = client.search(None, "LARGER", str(octets))[1][0].split()[-1]
        return number.decode()


def fetch(server: MailServer, octets: int) -> None:
    number = newest(server, octets)
    with imap(server) as client:
        found = client.fetch(number, "(BODY.PEEK[])")[1][0][1]
    assert found.endswith(message(octets))


def retrieve(server: MailServer, octets: int) -> None:
    number = newest(server, octets)
    client = poplib.POP3(HOST, server.pop3, timeout=60)
    try:
        client.user(USER)
        client.pass_("secret")
        lines = client.retr(int(number))[1]
    finally:
        client.quit()
    assert len(lines) >= message(octets).count(b"\r\n")


def test_a_large_message_costs_no_more_memory_than_a_small_one(server):
    server.start()
    ways = (deliver, append, fetch, retrieve)
    for way in (*ways, *ways):
        way(server, SMALL)
    raised = {way.__name__: peak_growth(server, lambda way=way: way(server, LARGE)) for way in ways}
    assert max(raised.values()) < BOUND, raised
    assert server.stop() == 0


def test_an_idle_connection_is_small(server):
    server.sections["limits"] = {"trusted_networks": "127.0.0.0/8"}
    server.write_config()
    server.start()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(idle(server))
        before = memory(server, "VmRSS")
        for _ in range(CONNECTIONS):
            stack.enter_context(idle(server))
        each = (memory(server, "VmRSS") - before) / CONNECTIONS
    assert each < IDLE_BOUND, f"{each / 1024:.1f} KiB"
    assert server.stop() == 0


@contextlib.contextmanager
def idle(server: MailServer) -> Iterator[None]:
    """A connection with INBOX selected, in IDLE."""
    with socket.create_connection((HOST, server.imap), timeout=60) as client, client.makefile("rb") as answers:
        client.sendall(b"1 LOGIN %b secret\r\n2 SELECT INBOX\r\n3 IDLE\r\n" % USER.encode())
        while not answers.readline().startswith(b"+"):
            pass
        yield
